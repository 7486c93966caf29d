"""Borrowers, their references and what of them is to be published."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from counterfoil.exposure import SubjectKind
from counterfoil.identifier import Identifier
from counterfoil.limits import REFERENCE_BYTES

from ..loans import Loan, from_body, to_body
from ..summarise import Holding
from ..vault import Vault
from .database import Database, Transaction

HOLDINGS_CHUNK = 500
"""Borrowers whose rows are read by one query."""


@dataclass(frozen=True, slots=True)
class PendingBorrower:
    """A borrower whose record is to be published again."""

    borrower_id: int
    lookup: bytes = field(repr=False)
    identifier: bytes = field(repr=False)
    """Sealed."""
    subject_kind: SubjectKind
    change: int


def subject_kind_of(identifier: Identifier) -> SubjectKind:
    """Companies have a unified social credit code; everyone else is a person."""
    return SubjectKind.COMPANY if identifier.scheme == "cn-uscc" else SubjectKind.PERSON


async def ensure_borrower(tx: Transaction, vault: Vault, identifier: Identifier) -> int:
    """The number of a borrower, made when the book does not know it yet."""
    lookup = vault.lookup(identifier)
    row = await tx.row("SELECT borrower_id FROM borrowers WHERE lookup = ?", (lookup,))
    if row is None:
        row = await tx.row(
            "INSERT INTO borrowers (lookup, identifier, subject_kind) VALUES (?, ?, ?)"
            " RETURNING borrower_id",
            (lookup, vault.seal_identifier(identifier, lookup), subject_kind_of(identifier)),
        )
        assert row is not None
    return int(row[0])


async def ensure_reference(
    tx: Transaction, borrower_id: int, application_key: str, random_bytes: Callable[[int], bytes]
) -> bytes:
    """The random reference that stands for an application outside."""
    key = (borrower_id, application_key)
    row = await tx.row(
        "SELECT reference FROM applications WHERE borrower_id = ? AND application_key = ?", key
    )
    if row is not None:
        return bytes(row[0])
    reference = random_bytes(REFERENCE_BYTES)
    await tx.run("INSERT INTO applications VALUES (?, ?, ?)", (*key, reference))
    return reference


async def put_loan(
    tx: Transaction, borrower_id: int, loan: Loan, random_bytes: Callable[[int], bytes]
) -> None:
    """Keeps a row, in place of an earlier one of the same loan and borrower."""
    await ensure_reference(tx, borrower_id, loan.application_key, random_bytes)
    await tx.run(
        "INSERT OR REPLACE INTO loans VALUES (?, ?, ?, ?, ?)",
        (borrower_id, loan.loan_id, loan.status.value, loan.application_key, to_body(loan)),
    )


async def mark_changed(tx: Transaction, borrower_ids: Iterable[int], as_of: int) -> None:
    """Notes that records are to be published again, and that the book now speaks of `as_of`."""
    await tx.run("UPDATE book SET change = change + 1, as_of = max(as_of, ?)", (as_of,))
    await tx.run_many(
        "UPDATE borrowers SET change = (SELECT change FROM book) WHERE borrower_id = ?",
        [(borrower_id,) for borrower_id in borrower_ids],
    )


async def pending(database: Database, limit: int) -> list[PendingBorrower]:
    """Borrowers to publish, longest waiting first."""
    rows = await database.rows(
        "SELECT borrower_id, lookup, identifier, subject_kind, change FROM borrowers"
        " WHERE change > sealed_change ORDER BY change, borrower_id LIMIT ?",
        (limit,),
    )
    return [PendingBorrower(r[0], r[1], r[2], SubjectKind(r[3]), r[4]) for r in rows]


async def pending_with_token(
    database: Database, token_epoch: int, limit: int
) -> list[PendingBorrower]:
    """Borrowers to publish whose token is known: for when no new tokens can be had. Reads past all
    the others, so it is not for every time."""
    rows = await database.rows(
        "SELECT b.borrower_id, b.lookup, b.identifier, b.subject_kind, b.change FROM borrowers b"
        " JOIN tokens t ON t.lookup = b.lookup AND t.token_epoch = ?"
        " WHERE b.change > b.sealed_change ORDER BY b.change, b.borrower_id LIMIT ?",
        (token_epoch, limit),
    )
    return [PendingBorrower(r[0], r[1], r[2], SubjectKind(r[3]), r[4]) for r in rows]


async def holdings(database: Database, borrower_ids: Iterable[int]) -> dict[int, list[Holding]]:
    """The rows of some borrowers with their references."""
    found: dict[int, list[Holding]] = {borrower_id: [] for borrower_id in borrower_ids}
    numbers = list(found)
    for start in range(0, len(numbers), HOLDINGS_CHUNK):
        chunk = numbers[start : start + HOLDINGS_CHUNK]
        rows = await database.rows(
            "SELECT l.borrower_id, l.body, a.reference FROM loans l"
            " JOIN applications a USING (borrower_id, application_key)"
            f" WHERE l.borrower_id IN ({','.join('?' * len(chunk))})",
            chunk,
        )
        for borrower_id, body, reference in rows:
            found[borrower_id].append(Holding(from_body(body), reference))
    return found
