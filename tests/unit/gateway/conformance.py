"""What the conformance suite needs: a way to each database, and plain values to fill it with.

Values here are well-formed and nothing more: a store believes what it is given, so signatures and
envelopes are bytes that only have to come back as they went in.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from counterfoil.batch import BatchStatement
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import InstitutionKind
from counterfoil.membership import MemberRole
from counterfoil_gateway.store import values as v
from counterfoil_gateway.store.base import Store
from counterfoil_gateway.store.sqlite import SqliteStore, ignore_failure

CREATED_US = 1_790_000_000_000_000
AS_OF = 1_790_000_000
IDENTITY = v.Identity("test", "gateway", b"\xa0" * 32, CREATED_US)
LENDER = frozenset({MemberRole.LENDER})
EVALUATOR = LENDER | {MemberRole.EVALUATOR}


class Backend(Protocol):
    """One database under test. A new one joins the suite by implementing this."""

    async def create(self) -> None:
        """Makes an empty store that belongs to IDENTITY."""

    async def open(self, on_failure: Callable[[BaseException], None] = ignore_failure) -> Store:
        """Opens it; several may be open at once, as a daemon and a command are."""

    def break_commits(self) -> None:
        """From now on every commit that appends an entry fails."""

    def mend_commits(self) -> None:
        """Undoes `break_commits`."""


class SqliteBackend:
    """SQLite in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "gateway.db"

    async def create(self) -> None:
        await SqliteStore.create(self.path, IDENTITY)

    async def open(
        self, on_failure: Callable[[BaseException], None] = ignore_failure
    ) -> SqliteStore:
        return await SqliteStore.open(self.path, on_failure=on_failure)

    def break_commits(self) -> None:
        # A deferred reference to nobody is found out by COMMIT, and not before.
        self.execute(
            "CREATE TABLE broken (lender_id INTEGER"
            " REFERENCES members DEFERRABLE INITIALLY DEFERRED);"
            "CREATE TRIGGER break_commits AFTER INSERT ON entries"
            " BEGIN INSERT INTO broken VALUES (-1); END;"
        )

    def mend_commits(self) -> None:
        self.execute("DROP TRIGGER break_commits; DROP TABLE broken;")

    def execute(self, script: str) -> None:
        """Runs SQL over a connection of its own."""
        with closing(sqlite3.connect(self.path)) as database:
            database.executescript(script)


def digest(*parts: object) -> bytes:
    """32 bytes that differ for different parts."""
    return hashlib.sha256(repr(parts).encode()).digest()


def admission(lender: str, roles: frozenset[MemberRole] = LENDER, try_: int = 1) -> v.Admission:
    """An admission; its one-time token is the `try_`-th of the lender."""
    return v.Admission(
        lender=lender,
        institution_kind=InstitutionKind.BANK,
        roles=roles,
        token_hash=digest("token", lender, try_),
        expire_us=CREATED_US + 1_000_000,
        admitted_us=CREATED_US,
    )


def certificate(lender: str, serial: str = "") -> v.Certificate:
    """A certificate as text that nobody reads."""
    serial = serial or digest("serial", lender).hex()
    return v.Certificate(lender, serial, f"pem {serial}", CREATED_US, CREATED_US + 9_000_000)


def enrolment(lender: str, *, evaluates: bool = False) -> v.Enrolment:
    """The enrolment that an admission invites to, with the lender's first key."""
    return v.Enrolment(
        token_hash=digest("token", lender, 1),
        statement_hash=digest("statement", lender),
        envelope=b"enrolment of " + lender.encode(),
        record_key=record_key(lender),
        evaluator_public_key=digest("public", lender) if evaluates else None,
        certificate=certificate(lender),
        received_us=CREATED_US + 1,
    )


def record_key(lender: str, number: int = 1) -> bytes:
    """The `number`-th record key of a lender."""
    return digest("key", lender, number)


def rotation(lender: str, number: int = 2) -> v.Rotation:
    """The rotation to a lender's `number`-th key."""
    return v.Rotation(
        lender=lender,
        old_key=record_key(lender, number - 1),
        new_key=record_key(lender, number),
        envelope=b"rotation of " + lender.encode(),
        received_us=CREATED_US + 2,
    )


def logged_policy(number: int = 1) -> v.LoggedPolicy:
    """A policy."""
    return v.LoggedPolicy(digest("policy", number), f"v{number}", b"policy", CREATED_US)


def record(number: int, content: bytes = b"record") -> v.NewRecord:
    """A record about borrower `number`."""
    return v.NewRecord(token(number), digest("leaf", number, content), AS_OF, content)


def token(number: int) -> bytes:
    """Borrower `number`."""
    return digest("borrower", number)


def new_batch(
    lender: str,
    sequence: int,
    records: tuple[v.NewRecord, ...] = (),
    *,
    complete: bool = True,
    key: int = 1,
    variant: str = "",
    after: int | None = None,
) -> v.NewBatch:
    """A lender's batch; `variant` tells other bytes under the same number apart.

    `after`: the number of the batch that it names as the one before it.
    """
    after = sequence - 1 if after is None else after
    return v.NewBatch(
        lender=lender,
        record_key=record_key(lender, key),
        envelope=f"batch {lender} {sequence} {variant}".encode(),
        statement=BatchStatement(
            network=IDENTITY.network,
            lender=lender,
            sequence=sequence,
            previous_statement_hash=batch_hash(lender, after) if after else b"",
            record_count=len(records),
            merkle_root=digest("root", lender, sequence, variant),
            token_epoch=1,
            as_of=AS_OF + sequence,
            complete_as_of=AS_OF + sequence if complete else None,
        ),
        statement_hash=batch_hash(lender, sequence, variant),
        salts=b"s" * 32 * len(records),
        records=records,
    )


def batch_hash(lender: str, sequence: int, variant: str = "") -> bytes:
    """The statement hash of `new_batch`."""
    return digest("batch", lender, sequence, variant)


def seal(index: int) -> v.Receipt:
    """A receipt that names its entry."""
    return v.Receipt(f"receipt for entry {index}".encode(), CREATED_US + 100 + index)


def conflict(lender: str, sequence: int, number: int) -> v.Conflict:
    """The `number`-th other statement under a sequence number."""
    statement = digest("conflict", lender, sequence, number)
    return v.Conflict(lender, sequence, statement, b"evidence", CREATED_US + number)


def answered(lender: str, number: int, about: int = 1, **changes: object) -> v.AnsweredInquiry:
    """An answered inquiry about a borrower, received `number` microseconds after creation."""
    plain = v.AnsweredInquiry(
        inquiry_hash=digest("inquiry", lender, number),
        lender=lender,
        nonce=digest("nonce", lender, number)[:16],
        token=token(about),
        application_reference=digest("reference", lender, number)[:16],
        credit_seeking=True,
        asked_us=CREATED_US + number - 1,
        received_us=CREATED_US + number,
        interval_number=1,
        policy_hash=digest("policy", 1),
        commitment_salt=b"c" * 32,
        records_used=b"used",
        envelope=b"inquiry",
        answer=b"answer",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


async def enrol(store: Store, *lenders: str) -> None:
    """Admits and enrols lenders that evaluate nothing."""
    for lender in lenders:
        await store.admit(admission(lender))
        await store.enrol(enrolment(lender))


async def refused(work: Awaitable[object]) -> Reason:
    """The reason that something is refused with."""
    with pytest.raises(CounterfoilError) as error:
        await work
    return error.value.reason


async def contents(store: Store) -> tuple[object, ...]:
    """All that can be read of a small store, to tell that nothing changed."""
    registry = await store.registry()
    lenders = sorted(registry.members)
    return (
        await store.counts(),
        await store.entries(0, 1_000),
        registry,
        [await store.head(lender) for lender in lenders],
        [await store.conflicts(lender) for lender in lenders],
        [await store.view(token(number), 0) for number in range(4)],
    )


async def settled(*work: Awaitable[object]) -> list[object]:
    """Results and refusals of things done at once, in order."""
    return list(await asyncio.gather(*work, return_exceptions=True))
