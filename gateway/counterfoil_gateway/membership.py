"""Who belongs to the network: admission, enrolment, keys, suspension.

A member counts from its enrolment on, under the record key in force. Judgement is made on a
snapshot of the registry that is read anew whenever the store changed, so that what an operator's
command writes is obeyed by the running gateway within a second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

from counterfoil import dsse, group, wire
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason, VerificationError
from counterfoil.exposure import InstitutionKind
from counterfoil.fields import check_bytes, check_name
from counterfoil.invitation import ENROLMENT_TOKEN_BYTES, Invitation
from counterfoil.keys import PublicKey
from counterfoil.limits import MAX_CLOCK_SKEW_SECONDS
from counterfoil.membership import (
    ENROLMENT_PAYLOAD_TYPE,
    ROTATION_PAYLOAD_TYPE,
    EnrolmentStatement,
    Member,
    MemberRole,
    MemberState,
    Network,
    RecordKeyRotation,
)
from counterfoil.timestamps import micros
from counterfoil_daemon.lifecycle import Stop

from .authority import Authority, Leaf
from .store import values as v
from .store.base import Store

POLL_SECONDS = 0.25
"""How often the store is asked whether anyone changed the members."""


class Membership:
    """The rules of belonging. `refresh` must run before anything is judged."""

    def __init__(
        self,
        *,
        identity: v.Identity,
        store: Store,
        authority: Authority,
        now: Callable[[], datetime],
        certificate_validity: timedelta,
        policy: Callable[[], tuple[str, bytes]],
    ) -> None:
        self._identity = identity
        self._store = store
        self._authority = authority
        self._now = now
        self._validity = certificate_validity
        self._policy = policy
        self._registry = v.Registry({}, None)
        self._keys: dict[bytes, PublicKey] = {}
        self._mark = -1

    async def refresh(self) -> None:
        """Reads the registry anew if the store changed."""
        mark = await self._store.change_mark()
        if mark != self._mark:
            self._registry = await self._store.registry()
            self._mark = mark

    async def watch(self, stop: Stop) -> None:
        """Refreshes until the daemon ends."""
        while not await stop.wait(POLL_SECONDS):
            await self.refresh()

    @property
    def token_epoch(self) -> v.TokenEpoch:
        """The epoch in force; TOKEN_EPOCH_MISMATCH before an evaluator is enrolled."""
        epoch = self._registry.token_epoch
        if epoch is None:
            raise CounterfoilError(
                Reason.TOKEN_EPOCH_MISMATCH, "no evaluator is enrolled yet", field="token_epoch"
            )
        return epoch

    def active(self, lender: str) -> v.Member:
        """A member in good standing. LENDER_UNKNOWN, LENDER_SUSPENDED."""
        member = self._registry.members.get(lender)
        if member is None or member.state is MemberState.ADMITTED:
            raise CounterfoilError(Reason.LENDER_UNKNOWN, "no such member", field="lender")
        if member.state is MemberState.SUSPENDED:
            raise CounterfoilError(
                Reason.LENDER_SUSPENDED, "the member is suspended", field="lender"
            )
        return member

    def is_active(self, lender: str) -> bool:
        """Whether a member is in good standing."""
        member = self._registry.members.get(lender)
        return member is not None and member.state is MemberState.ACTIVE

    def record_key(self, lender: str) -> PublicKey:
        """The record key in force of a member in good standing."""
        raw = self.active(lender).record_key or b""
        key = self._keys.get(raw)
        if key is None:
            key = self._keys[raw] = PublicKey.load(raw)
        return key

    def check_binding(
        self, peer: str, *, network: str, lender: str, token_epoch: int | None = None
    ) -> None:
        """What a member signed must be for this network, by itself, and in the epoch in force.

        NETWORK_MISMATCH, LENDER_MISMATCH, TOKEN_EPOCH_MISMATCH.
        """
        if network != self._identity.network:
            raise InvalidInput(Reason.NETWORK_MISMATCH, "of another network", field="network")
        if lender != peer:
            raise InvalidInput(
                Reason.LENDER_MISMATCH, "not the lender of the certificate", field="lender"
            )
        if token_epoch is not None and token_epoch != self.token_epoch.epoch:
            raise InvalidInput(
                Reason.TOKEN_EPOCH_MISMATCH, "not the epoch in force", field="token_epoch"
            )

    def network(self) -> Network:
        """What nodes pin."""
        epoch = self._registry.token_epoch
        version, policy_hash = self._policy()
        return Network(
            network=self._identity.network,
            gateway=self._identity.gateway,
            answer_key=self._identity.answer_key,
            ca_certificate_pem=self._authority.certificate_pem,
            token_epoch=epoch.epoch if epoch else 0,
            token_public_key=epoch.public_key if epoch else b"",
            policy_version=version,
            policy_hash=policy_hash,
        )

    def members(self) -> tuple[Member, ...]:
        """Every member by name."""
        return tuple(
            Member(
                m.lender, m.institution_kind, tuple(sorted(m.roles)), m.state, m.record_key or b""
            )
            for _, m in sorted(self._registry.members.items())
        )

    # --- the operator's doing ---------------------------------------------------------------

    async def admit(
        self,
        lender: str,
        kind: InstitutionKind,
        roles: frozenset[MemberRole],
        *,
        token: bytes,
        life: timedelta,
        grpc_address: str,
        enrol_address: str,
    ) -> Invitation:
        """Admits a lender, or invites one anew that has not enrolled. ALREADY_EXISTS."""
        check_name(lender, "lender")
        check_bytes(token, ENROLMENT_TOKEN_BYTES, "token")
        now = self._now()
        await self._store.admit(
            v.Admission(
                lender=lender,
                institution_kind=kind,
                roles=roles | {MemberRole.LENDER},
                token_hash=hashlib.sha256(token).digest(),
                expire_us=micros(now + life),
                admitted_us=micros(now),
            )
        )
        return Invitation(
            network=self._identity.network,
            gateway=self._identity.gateway,
            lender=lender,
            grpc_address=grpc_address,
            enrol_address=enrol_address,
            ca_certificate_pem=self._authority.certificate_pem,
            answer_key=self._identity.answer_key,
            enrolment_token=token,
            expire_time=now + life,
        )

    async def suspend(self, lender: str, reason: str) -> None:
        """Takes a member's right to publish and ask. LENDER_UNKNOWN."""
        await self._set_state(lender, MemberState.SUSPENDED, reason)

    async def reinstate(self, lender: str, reason: str) -> None:
        """Gives it back. LENDER_UNKNOWN."""
        await self._set_state(lender, MemberState.ACTIVE, reason)

    async def _set_state(self, lender: str, state: MemberState, reason: str) -> None:
        await self._store.set_state(lender, state, reason, micros(self._now()))

    # --- the members' doing -----------------------------------------------------------------

    async def enrol(
        self, token: bytes, certificate_request: bytes, envelope: Envelope
    ) -> tuple[str, Network]:
        """Makes an invited lender a member: its certificate (PEM) and what to pin.

        ENROLMENT_TOKEN_INVALID, SIGNATURE_*, NETWORK_MISMATCH, LENDER_MISMATCH, CSR_INVALID,
        ROLE_MISSING, KEY_IN_USE. The same statement again returns what it returned.
        """
        token_hash = hashlib.sha256(check_bytes(token, ENROLMENT_TOKEN_BYTES, "token")).digest()
        invitation = await self._store.invitation(token_hash)
        now = self._now()
        if invitation is None or invitation.expire_us <= micros(now):
            raise _bad_token("the one-time token is unknown or has lapsed")
        statement = _possessed(envelope)
        if statement.network != self._identity.network:
            raise InvalidInput(Reason.NETWORK_MISMATCH, "of another network", field="network")
        if statement.lender != invitation.lender:
            raise InvalidInput(
                Reason.LENDER_MISMATCH, "not the lender that was invited", field="lender"
            )
        request_hash = hashlib.sha256(certificate_request).digest()
        if statement.enrolment_token_hash != token_hash:
            raise _bad_token("the statement is bound to another token")
        if statement.certificate_request_hash != request_hash:
            raise InvalidInput(
                Reason.CSR_INVALID,
                "the statement is bound to another request",
                field="certificate_request_hash",
            )
        statement_hash = hashlib.sha256(envelope.payload).digest()
        if invitation.statement_hash is not None:
            if invitation.statement_hash != statement_hash or invitation.certificate_pem is None:
                raise _bad_token("the one-time token was used")
            return invitation.certificate_pem, self.network()
        await self.refresh()
        admitted = self._registry.members[invitation.lender]
        evaluates = MemberRole.EVALUATOR in admitted.roles
        if evaluates is not bool(statement.evaluator_public_key):
            raise InvalidInput(
                Reason.ROLE_MISSING,
                "an evaluator, and only an evaluator, brings a pseudonym key",
                field="evaluator_public_key",
            )
        if evaluates:
            group.check_point(statement.evaluator_public_key, "evaluator_public_key")
        leaf = self._issue(invitation.lender, certificate_request, now)
        await self._store.enrol(
            v.Enrolment(
                token_hash=token_hash,
                statement_hash=statement_hash,
                envelope=wire.envelope_to_bytes(envelope),
                record_key=statement.record_key,
                evaluator_public_key=statement.evaluator_public_key or None,
                certificate=_certificate(invitation.lender, leaf, now),
                received_us=micros(now),
            )
        )
        self._mark = -1
        await self.refresh()
        return leaf.pem, self.network()

    async def rotate(self, peer: str, envelope: Envelope) -> Member:
        """Replaces the caller's record key. SIGNATURE_*, *_MISMATCH, CLOCK_SKEW, KEY_IN_USE."""
        old = self.record_key(peer)
        rotation = RecordKeyRotation.decode(dsse.verify(envelope, ROTATION_PAYLOAD_TYPE, old))
        self.check_binding(peer, network=rotation.network, lender=rotation.lender)
        if rotation.old_key != old.raw:
            raise InvalidInput(Reason.SIGNATURE_INVALID, "not the key in force", field="old_key")
        dsse.verify(envelope, ROTATION_PAYLOAD_TYPE, PublicKey.load(rotation.new_key))
        now = self._now()
        if abs(rotation.create_time_us - micros(now)) > MAX_CLOCK_SKEW_SECONDS * 1_000_000:
            raise InvalidInput(Reason.CLOCK_SKEW, "not signed just now", field="create_time")
        await self._store.rotate(
            v.Rotation(
                lender=peer,
                old_key=rotation.old_key,
                new_key=rotation.new_key,
                envelope=wire.envelope_to_bytes(envelope),
                received_us=micros(now),
            )
        )
        self._mark = -1
        await self.refresh()
        return next(member for member in self.members() if member.lender == peer)

    async def renew(self, peer: str, certificate_request: bytes) -> str:
        """A new certificate (PEM) for a member in good standing. CSR_INVALID."""
        self.active(peer)
        now = self._now()
        leaf = self._issue(peer, certificate_request, now)
        await self._store.add_certificate(_certificate(peer, leaf, now))
        return leaf.pem

    def _issue(self, lender: str, certificate_request: bytes, now: datetime) -> Leaf:
        return self._authority.issue_member(
            self._identity.network, lender, certificate_request, now, self._validity
        )


def _possessed(envelope: Envelope) -> EnrolmentStatement:
    """An enrolment statement that is signed by the very record key it names.

    The payload is read before its signature is checked because it names the key; nothing is
    believed of it until the signature holds.
    """
    if envelope.payload_type != ENROLMENT_PAYLOAD_TYPE:
        raise VerificationError(
            Reason.PAYLOAD_TYPE_MISMATCH,
            "not an enrolment statement",
            expected=ENROLMENT_PAYLOAD_TYPE,
            actual=envelope.payload_type,
        )
    statement = EnrolmentStatement.decode(envelope.payload)
    dsse.verify(envelope, ENROLMENT_PAYLOAD_TYPE, PublicKey.load(statement.record_key))
    return statement


def _bad_token(message: str) -> CounterfoilError:
    return CounterfoilError(Reason.ENROLMENT_TOKEN_INVALID, message, field="enrolment_token")


def _certificate(lender: str, leaf: Leaf, now: datetime) -> v.Certificate:
    return v.Certificate(lender, leaf.serial, leaf.pem, micros(now), micros(leaf.not_after))
