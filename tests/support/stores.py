"""A gateway's parts over a real store, without ports: with the clock in the test's hand."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from counterfoil import batch, exposure_codec
from counterfoil.batch import SealedBatch
from counterfoil.exposure import Exposure, InstitutionKind
from counterfoil.keys import PrivateKey
from counterfoil.membership import MemberRole
from counterfoil.timestamps import micros
from counterfoil_gateway.store import values as v
from counterfoil_gateway.store.base import Store

START = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)


@dataclass
class Clock:
    """Time that passes when the test says so."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> None:
        """Lets time pass."""
        self.now += timedelta(**amount)


def identity(answer_key: PrivateKey) -> v.Identity:
    """A gateway of the network `test`."""
    return v.Identity("test", "gateway", answer_key.public.raw, micros(START))


@dataclass
class Furnisher:
    """A lender with its key and chain, writing straight into a store."""

    name: str
    key: PrivateKey = field(default_factory=PrivateKey.generate)
    sequence: int = 0
    previous: bytes = b""

    async def join(
        self, store: Store, *, evaluator_key: bytes | None = None, token: bytes = b""
    ) -> None:
        """Is admitted and enrolled."""
        token_hash = hashlib.sha256(token or self.name.encode()).digest()
        roles = {MemberRole.LENDER} | ({MemberRole.EVALUATOR} if evaluator_key else set())
        await store.admit(self.admission(token_hash, frozenset(roles)))
        await store.enrol(self.enrolment(token_hash, evaluator_key))

    def admission(
        self, token_hash: bytes, roles: frozenset[MemberRole] = frozenset({MemberRole.LENDER})
    ) -> v.Admission:
        """The operator's word."""
        return v.Admission(
            self.name,
            InstitutionKind.BANK,
            roles,
            token_hash,
            micros(START + timedelta(days=1)),
            micros(START),
        )

    def enrolment(self, token_hash: bytes, evaluator_key: bytes | None = None) -> v.Enrolment:
        """What enrolling makes true."""
        return v.Enrolment(
            token_hash=token_hash,
            statement_hash=hashlib.sha256(b"statement" + token_hash).digest(),
            envelope=b"enrolment of " + self.name.encode(),
            record_key=self.key.public.raw,
            evaluator_public_key=evaluator_key,
            certificate=v.Certificate(
                self.name, token_hash.hex()[:16], "PEM", micros(START), micros(START) + 1
            ),
            received_us=micros(START),
        )

    def seal(self, *exposures: Exposure, **changes: object) -> SealedBatch:
        """The next batch."""
        fields: dict[str, object] = {
            "network": "test",
            "lender": self.name,
            "sequence": self.sequence + 1,
            "previous_statement_hash": self.previous,
            "token_epoch": 1,
            "as_of": int(START.timestamp()),
            "complete_as_of": None,
            "records": [exposure_codec.encode(exposure) for exposure in exposures],
            "key": self.key,
            "random_bytes": bytes,
        }
        return batch.seal(**(fields | changes))  # type: ignore[arg-type]

    def new_batch(self, sealed: SealedBatch) -> v.NewBatch:
        """As ingest hands it to the store."""
        leaves = batch.leaves_of(sealed.salts, sealed.records)
        decoded = [exposure_codec.decode(record) for record in sealed.records]
        return v.NewBatch(
            lender=self.name,
            record_key=self.key.public.raw,
            envelope=b"envelope of " + sealed.envelope.payload,
            statement=sealed.statement,
            statement_hash=batch.statement_hash(sealed.envelope.payload),
            salts=sealed.salts,
            records=tuple(
                v.NewRecord(exposure.token, leaf, exposure.effective_time, record)
                for exposure, leaf, record in zip(decoded, leaves, sealed.records, strict=True)
            ),
        )

    def went_on(self, sealed: SealedBatch) -> None:
        """Goes on from an accepted batch."""
        self.sequence = sealed.statement.sequence
        self.previous = batch.statement_hash(sealed.envelope.payload)

    async def publish(self, store: Store, *exposures: Exposure, **changes: object) -> v.StoredBatch:
        """Seals and stores the next batch."""
        sealed = self.seal(*exposures, **changes)
        stored = await store.accept_batch(self.new_batch(sealed), receipt)
        self.went_on(sealed)
        return stored


def receipt(index: int) -> v.Receipt:
    """A receipt for an entry."""
    return v.Receipt(b"receipt %d" % index, micros(START) + index)


def answered(lender: str, token: bytes, number: int, **changes: object) -> v.AnsweredInquiry:
    """An answered inquiry."""
    fields: dict[str, object] = {
        "inquiry_hash": hashlib.sha256(b"%d" % number).digest(),
        "lender": lender,
        "nonce": number.to_bytes(16, "big"),
        "token": token,
        "application_reference": number.to_bytes(16, "big"),
        "credit_seeking": True,
        "asked_us": micros(START) + number,
        "received_us": micros(START) + number,
        "interval_number": 1,
        "policy_hash": b"\x05" * 32,
        "commitment_salt": b"\x06" * 32,
        "records_used": b"used",
        "envelope": b"envelope",
        "answer": b"answer",
    }
    return v.AnsweredInquiry(**(fields | changes))  # type: ignore[arg-type]


def database(folder: Path) -> Path:
    """Where a test's store lies."""
    return folder / "gateway.db"
