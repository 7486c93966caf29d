"""A gateway's inside without its ports: real store, real keys, a clock that tests turn."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from counterfoil import answer_codec, dsse, oprf
from counterfoil.answer import PAYLOAD_TYPE as ANSWER_PAYLOAD_TYPE
from counterfoil.answer import Answer
from counterfoil.batch import RECEIPT_PAYLOAD_TYPE, BatchReceipt, SealedBatch
from counterfoil.dsse import Envelope
from counterfoil.exposure import InstitutionKind
from counterfoil.exposure_codec import encode
from counterfoil.invitation import Invitation
from counterfoil.keys import PrivateKey
from counterfoil.membership import ENROLMENT_PAYLOAD_TYPE, EnrolmentStatement, MemberRole
from counterfoil.timestamps import micros, seconds
from counterfoil_gateway.assess import Assessor
from counterfoil_gateway.authority import Authority
from counterfoil_gateway.ingest import Ingest
from counterfoil_gateway.membership import Membership
from counterfoil_gateway.relay import Relay
from counterfoil_gateway.store import values as v
from counterfoil_gateway.store.sqlite import SqliteStore
from support.exposures import plain_exposure
from support.gateways import Lender, certificate_request
from support.profiles import POLICY

CREATED = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
NETWORK = "test"
GATEWAY = "gateway"


class Clock:
    """Stands still until a test turns it."""

    def __init__(self) -> None:
        self.time = CREATED + timedelta(hours=1)

    def __call__(self) -> datetime:
        return self.time

    def turn(self, **forward: float) -> None:
        """Goes forward by days, hours, seconds."""
        self.time += timedelta(**forward)


@dataclass
class House:
    """All parts of one gateway, put together as `server.serve` does."""

    store: SqliteStore
    identity: v.Identity
    answer_key: PrivateKey
    authority: Authority
    clock: Clock
    random: random.Random
    membership: Membership
    ingest: Ingest
    assessor: Assessor
    relay: Relay

    async def invite(
        self, name: str, *, evaluator: bool = False, life: timedelta = timedelta(hours=1)
    ) -> Invitation:
        """Admits a bank."""
        roles = frozenset({MemberRole.EVALUATOR} if evaluator else ())
        return await self.membership.admit(
            name,
            InstitutionKind.BANK,
            roles,
            token=self.random.randbytes(32),
            life=life,
            grpc_address="localhost:1",
            enrol_address="localhost:2",
        )

    async def enrol(self, name: str, *, evaluator: bool = False) -> Lender:
        """An enrolled bank."""
        invitation = await self.invite(name, evaluator=evaluator)
        application = Application.of(invitation, evaluator=evaluator)
        pem, network = await self.membership.enrol(
            invitation.enrolment_token, application.request, application.envelope()
        )
        return Lender(
            name=name,
            address=invitation.grpc_address,
            network=network,
            key=application.key,
            ca=b"",
            certificate=pem.encode(),
            tls_key=b"",
            as_of=seconds(self.clock()) - 60,
        )

    async def publish(self, lender: Lender, /, *records: bytes, **changes: object) -> BatchReceipt:
        """Publishes the lender's next batch and returns its verified receipt."""
        sealed = lender.seal(records, **changes)
        receipt = await self.send(lender, sealed)
        lender.accepted(sealed)
        payload = dsse.verify(receipt, RECEIPT_PAYLOAD_TYPE, self.answer_key.public)
        return BatchReceipt.decode(payload)

    async def send(self, lender: Lender, sealed: SealedBatch) -> Envelope:
        """Publishes a sealed batch."""
        return await self.ingest.publish(lender.name, sealed.envelope, sealed.salts, sealed.records)

    def record(self, token: bytes, **changes: object) -> bytes:
        """A record of a bank about a borrower, an hour old."""
        effective = seconds(self.clock()) - 3_600
        fields: dict[str, object] = {
            "token": token,
            "effective_time": effective,
            "events": (),
        }
        return encode(plain_exposure(**(fields | changes)))

    def inquiry(self, lender: Lender, token: bytes, /, **changes: object) -> Envelope:
        """A signed inquiry made just now."""
        now = micros(self.clock())
        times: dict[str, object] = {"create_time_us": now, "expire_time_us": now + 60_000_000}
        return lender.sign(lender.inquiry(token, **(times | changes)))

    async def ask(self, lender: Lender, token: bytes, /, **changes: object) -> Answer:
        """The verified answer to an inquiry made just now."""
        return self.read(
            await self.assessor.assess(lender.name, self.inquiry(lender, token, **changes))
        )

    def read(self, envelope: Envelope) -> Answer:
        """A verified answer."""
        return answer_codec.decode(
            dsse.verify(envelope, ANSWER_PAYLOAD_TYPE, self.answer_key.public)
        )


@dataclass
class Application:
    """What an invited lender sends; a test spoils what it wants."""

    key: PrivateKey
    request: bytes
    statement: EnrolmentStatement

    @classmethod
    def of(cls, invitation: Invitation, *, evaluator: bool = False) -> Application:
        """An honest application."""
        key = PrivateKey.generate()
        request, _ = certificate_request()
        return cls(
            key,
            request,
            EnrolmentStatement(
                network=invitation.network,
                lender=invitation.lender,
                record_key=key.public.raw,
                certificate_request_hash=hashlib.sha256(request).digest(),
                enrolment_token_hash=hashlib.sha256(invitation.enrolment_token).digest(),
                evaluator_public_key=oprf.generate_key_pair()[1] if evaluator else b"",
            ),
        )

    def envelope(self) -> Envelope:
        """The signed statement."""
        return dsse.sign(ENROLMENT_PAYLOAD_TYPE, self.statement.encode(), self.key)


@asynccontextmanager
async def build(folder: Path) -> AsyncIterator[House]:
    """A new gateway on a store in `folder`; its randomness is seeded."""
    answer_key = PrivateKey.generate()
    clock = Clock()
    chance = random.Random(14)
    identity = v.Identity(NETWORK, GATEWAY, answer_key.public.raw, micros(CREATED))
    await SqliteStore.create(folder / "gateway.db", identity)
    store = await SqliteStore.open(folder / "gateway.db")
    try:
        authority = Authority.generate(NETWORK, CREATED)
        membership = Membership(
            identity=identity,
            store=store,
            authority=authority,
            now=clock,
            certificate_validity=timedelta(days=90),
            policy=lambda: (POLICY.version, POLICY.hash),
        )
        yield House(
            store=store,
            identity=identity,
            answer_key=answer_key,
            authority=authority,
            clock=clock,
            random=chance,
            membership=membership,
            ingest=Ingest(
                identity=identity,
                store=store,
                membership=membership,
                answer_key=answer_key,
                now=clock,
            ),
            assessor=Assessor(
                identity=identity,
                store=store,
                membership=membership,
                policy=POLICY,
                answer_key=answer_key,
                now=clock,
                random_bytes=chance.randbytes,
            ),
            relay=Relay(membership),
        )
    finally:
        await store.close()


def token(number: int) -> bytes:
    """Borrower `number`."""
    return number.to_bytes(32, "big")


__all__ = ["CREATED", "GATEWAY", "NETWORK", "Application", "Clock", "House", "build", "token"]
