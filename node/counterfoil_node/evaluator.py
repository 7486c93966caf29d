"""This node's evaluator role: it holds the pseudonym key (all of it for now, a share later) and
evaluates blinded identifiers for members of the network.

It sees neither identifier nor token. What it guards is the rate: each request is signed by a known
lender, is evaluated once, and counts against a durable daily quota.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from counterfoil import dsse, oprf
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason, VerificationError
from counterfoil.evaluation import PAYLOAD_TYPE, EvaluationRequest, PartialEvaluation
from counterfoil.keys import PublicKey
from counterfoil.limits import MAX_CLOCK_SKEW_SECONDS
from counterfoil.membership import Member, MemberState
from counterfoil.timestamps import micros

from .store.evaluations import EvaluationLedger


@dataclass(frozen=True, slots=True)
class Share:
    """What this evaluator evaluates with. Its repr shows no secret."""

    token_epoch: int
    generation: int
    secret: bytes

    def __repr__(self) -> str:
        return f"Share(token_epoch={self.token_epoch}, generation={self.generation})"


class MemberKeys:
    """Who may ask, by the key id of their record key in force."""

    def __init__(self) -> None:
        self._by_key_id: Mapping[str, tuple[Member, PublicKey]] = {}

    def replace(self, members: tuple[Member, ...]) -> None:
        """Takes a new member list. A key that does not load speaks for nobody."""
        known = {}
        for member in members:
            if not member.record_key:
                continue
            try:
                key = PublicKey.load(member.record_key)
            except VerificationError:
                continue
            known[key.key_id] = (member, key)
        self._by_key_id = known

    def find(self, envelope: Envelope) -> tuple[Member, PublicKey] | None:
        """The member whose key one of the signatures names."""
        for signature in envelope.signatures:
            found = self._by_key_id.get(signature.key_id)
            if found is not None:
                return found
        return None


class Evaluator:
    """Evaluates signed requests."""

    def __init__(
        self,
        network: str,
        lender: str,
        share: Share,
        members: MemberKeys,
        ledger: EvaluationLedger,
        now: Callable[[], datetime],
    ) -> None:
        self._network = network
        self._lender = lender
        self.share = share
        self._members = members
        self._ledger = ledger
        self._now = now

    def knows(self, envelope: Envelope) -> bool:
        """Whether the signer is in the member list; when not, a fresh list may help."""
        return self._members.find(envelope) is not None

    async def evaluate(self, envelope: Envelope) -> PartialEvaluation:
        """Evaluates a request once; raises CounterfoilError with the reason to tell.

        Checks, cheap ones first: signer, signature, network, lender, epoch, generation, clock,
        expiry; then replay and quota, durably; only then the points.
        """
        request = self._check(envelope)
        await self._ledger.charge(
            request.lender,
            request.nonce,
            # Remembered past its expiry for as long as a clock may be off.
            request.expire_time_us + MAX_CLOCK_SKEW_SECONDS * 1_000_000,
            len(request.blinded_elements),
            micros(self._now()),
        )
        evaluated, proof = await asyncio.to_thread(
            oprf.blind_evaluate, self.share.secret, request.blinded_elements
        )
        return PartialEvaluation(self._lender, self.share.generation, tuple(evaluated), proof)

    def _check(self, envelope: Envelope) -> EvaluationRequest:
        found = self._members.find(envelope)
        if found is None:
            raise CounterfoilError(
                Reason.LENDER_UNKNOWN, "no member signs with this key", field="lender"
            )
        member, key = found
        request = EvaluationRequest.decode(dsse.verify(envelope, PAYLOAD_TYPE, key))
        if member.state is not MemberState.ACTIVE:
            raise CounterfoilError(
                Reason.LENDER_SUSPENDED, "the lender is not in good standing", field="lender"
            )
        if request.lender != member.lender:
            raise InvalidInput(
                Reason.LENDER_MISMATCH, "signed by another lender's key", field="lender"
            )
        if request.network != self._network:
            raise InvalidInput(Reason.NETWORK_MISMATCH, "for another network", field="network")
        if (request.token_epoch, request.generation) != (
            self.share.token_epoch,
            self.share.generation,
        ):
            raise InvalidInput(
                Reason.TOKEN_EPOCH_MISMATCH,
                "not the epoch and generation that this evaluator serves",
                field="token_epoch",
            )
        now = micros(self._now())
        if request.create_time_us > now + MAX_CLOCK_SKEW_SECONDS * 1_000_000:
            raise InvalidInput(
                Reason.CLOCK_SKEW, "signed at a time that is yet to come", field="create_time"
            )
        if request.expire_time_us <= now:
            raise InvalidInput(Reason.EVALUATION_EXPIRED, "the request lapsed", field="expire_time")
        return request
