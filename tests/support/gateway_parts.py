"""The gateway's parts over a store in a test's hand: no ports, no processes, a clock that obeys."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import timedelta

from counterfoil import answer_codec, dsse
from counterfoil.answer import Answer
from counterfoil.exposure import ProductKind
from counterfoil.inquiry import PAYLOAD_TYPE, Inquiry, Purpose
from counterfoil.keys import PrivateKey
from counterfoil.timestamps import micros
from counterfoil_gateway.assess import Assessor
from counterfoil_gateway.authority import Authority
from counterfoil_gateway.ingest import Ingest
from counterfoil_gateway.membership import Membership
from counterfoil_gateway.relay import Relay
from counterfoil_gateway.store.base import Store

from .profiles import POLICY
from .stores import START, Clock, Furnisher, identity


@dataclass
class Parts:
    """Ingest, assessor, relay and members, wired as the composition root does."""

    store: Store
    answer_key: PrivateKey
    clock: Clock = field(default_factory=Clock)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        who = identity(self.answer_key)
        self.membership = Membership(
            identity=who,
            store=self.store,
            authority=Authority.generate("test", START),
            now=self.clock,
            certificate_validity=timedelta(days=1),
            policy=lambda: (POLICY.version, POLICY.hash),
        )
        self.ingest = Ingest(
            identity=who,
            store=self.store,
            membership=self.membership,
            answer_key=self.answer_key,
            now=self.clock,
        )
        self.assessor = Assessor(
            identity=who,
            store=self.store,
            membership=self.membership,
            policy=POLICY,
            answer_key=self.answer_key,
            now=self.clock,
            random_bytes=lambda count: b"\x07" * count,
        )
        self.relay = Relay(self.membership)

    def inquiry(self, asker: Furnisher, token: bytes, **changes: object) -> Inquiry:
        """An honest inquiry, each about another application."""
        number = next(self.numbers)
        now = micros(self.clock())
        fields: dict[str, object] = {
            "network": "test",
            "audience": "gateway",
            "lender": asker.name,
            "token": token,
            "token_epoch": 1,
            "nonce": number.to_bytes(16, "big"),
            "create_time_us": now,
            "expire_time_us": now + 1_000_000,
            "purpose": Purpose.CREDIT_APPLICATION,
            "consent_commitment": b"\x01" * 32,
            "application_reference": number.to_bytes(16, "big"),
            "product_kind": ProductKind.CASH_LOAN,
            "amount_minor": 1,
            "currency": "USD",
            "time_zone": "UTC",
        }
        return Inquiry(**(fields | changes))  # type: ignore[arg-type]

    async def ask(self, asker: Furnisher, token: bytes, **changes: object) -> Answer:
        """Asks and verifies the answer as a node does."""
        envelope = dsse.sign(
            PAYLOAD_TYPE, self.inquiry(asker, token, **changes).encode(), asker.key
        )
        signed = await self.assessor.assess(asker.name, envelope)
        return answer_codec.verify(
            signed,
            self.answer_key.public,
            network="test",
            issuer="gateway",
            inquiry_payload=envelope.payload,
        )
