"""Laying a tape over the book: staged in temporary tables first, so that the book's one write lock
is held only for the step that changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.limits import REFERENCE_BYTES

from ..events import LoanEvent, replay
from ..loans import Loan, LoanStatus, from_body, to_body
from ..tape import BadRow, TapeKind
from ..tape_columns import TapeRow
from ..vault import Vault
from .borrowers import subject_kind_of
from .database import Transaction

_STAGING = """
CREATE TEMP TABLE staged (
    line INTEGER NOT NULL,
    lookup BLOB NOT NULL,
    identifier BLOB NOT NULL,
    subject_kind INTEGER NOT NULL,
    loan_id TEXT NOT NULL,
    role INTEGER NOT NULL,
    status TEXT NOT NULL,
    application_key TEXT NOT NULL,
    reference BLOB NOT NULL,
    body TEXT NOT NULL,
    borrower_id INTEGER,
    PRIMARY KEY (lookup, loan_id)
) STRICT, WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class TapeFacts:
    """What was declared of a tape."""

    digest: bytes
    kind: TapeKind
    as_of: int
    imported_us: int
    row_count: int
    bad_row_count: int


@dataclass(frozen=True, slots=True)
class TapeResult:
    """What a tape did to the book."""

    row_count: int
    bad_row_count: int
    changed_borrower_count: int
    closed_loan_count: int
    repeated: bool = False
    """The same tape was imported before: nothing was done again."""


async def create_staging(tx: Transaction) -> None:
    """Makes the temporary table, empty."""
    await tx.run("DROP TABLE IF EXISTS temp.staged")
    await tx.run(_STAGING)


async def stage(
    tx: Transaction,
    rows: Iterable[tuple[int, TapeRow]],
    vault: Vault,
    random_bytes: Callable[[int], bytes],
) -> None:
    """Stages rows by line number. Identifiers are sealed before they touch any file."""

    def values(line: int, row: TapeRow) -> tuple[object, ...]:
        lookup = vault.lookup(row.identifier)
        return (
            line,
            lookup,
            vault.seal_identifier(row.identifier, lookup),
            subject_kind_of(row.identifier).value,
            row.loan.loan_id,
            row.loan.role.value,
            row.loan.status.value,
            row.loan.application_key,
            random_bytes(REFERENCE_BYTES),
            to_body(row.loan),
        )

    await tx.run_many(
        "INSERT INTO staged VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
        [values(line, row) for line, row in rows],
    )


async def find_repeated(tx: Transaction, facts: TapeFacts) -> TapeResult | None:
    """What this very tape did when it was imported before."""
    row = await tx.row(
        "SELECT row_count, bad_row_count, changed_borrower_count, closed_loan_count FROM tapes"
        " WHERE digest = ? AND kind = ? AND as_of = ?",
        (facts.digest, facts.kind.value, facts.as_of),
    )
    return None if row is None else TapeResult(row[0], row[1], row[2], row[3], repeated=True)


async def check_as_of(tx: Transaction, as_of: int) -> None:
    """A tape never speaks of a time before the last one's."""
    row = await tx.row("SELECT tape_as_of FROM book")
    if row is not None and row[0] is not None and as_of < row[0]:
        raise CounterfoilError(
            Reason.TAPE_AS_OF_BACKWARDS, "a tape with a later as-of was imported", field="as_of"
        )


async def name_borrowers(tx: Transaction) -> None:
    """Gives every staged row the number of its borrower."""
    await tx.run(
        "INSERT INTO borrowers (lookup, identifier, subject_kind)"
        " SELECT lookup, identifier, subject_kind FROM staged s WHERE NOT EXISTS"
        " (SELECT 1 FROM borrowers b WHERE b.lookup = s.lookup) GROUP BY lookup"
    )
    await tx.run(
        "UPDATE staged SET borrower_id ="
        " (SELECT borrower_id FROM borrowers b WHERE b.lookup = staged.lookup)"
    )
    await tx.run("CREATE INDEX temp.staged_by_borrower ON staged (borrower_id, loan_id)")
    await tx.run("CREATE INDEX temp.staged_by_loan ON staged (loan_id)")


async def mismatched_rows(tx: Transaction) -> list[BadRow]:
    """Staged debtors of loans that the book holds open for another, sole debtor."""
    rows = await tx.rows(
        "SELECT DISTINCT s.line FROM staged s JOIN loans l"
        " ON l.loan_id = s.loan_id AND l.status = 'open' AND l.borrower_id <> s.borrower_id"
        " WHERE s.role < 3 AND json_extract(l.body, '$.role') < 3"
        " AND (s.role = 1 OR json_extract(l.body, '$.role') = 1)"
        " AND NOT EXISTS (SELECT 1 FROM staged o"
        "   WHERE o.loan_id = l.loan_id AND o.borrower_id = l.borrower_id)"
        " ORDER BY s.line"
    )
    return [
        BadRow(
            line,
            Reason.LOAN_BORROWER_MISMATCH,
            "identifier_value",
            "the book holds this loan for another borrower",
        )
        for (line,) in rows
    ]


async def unstage(tx: Transaction, bad: Iterable[BadRow]) -> None:
    """Leaves rows out."""
    await tx.run_many("DELETE FROM staged WHERE line = ?", [(row.line,) for row in bad])


async def replay_later_events(tx: Transaction, as_of: int) -> None:
    """What the desk reported for after the as-of is laid over the tape's rows again."""
    rows = await tx.rows(
        "SELECT s.lookup, s.loan_id, s.body, e.body FROM loan_events e"
        " JOIN staged s ON s.borrower_id = e.borrower_id AND s.loan_id = e.loan_id"
        " WHERE e.event_time > ? ORDER BY e.event_time, e.event_id",
        (as_of,),
    )
    loans: dict[tuple[bytes, str], Loan] = {}
    for lookup, loan_id, body, event in rows:
        key = (lookup, loan_id)
        loan = loans.get(key) or from_body(body)
        try:
            loans[key] = replay(loan, LoanEvent.from_body(event))
        except CounterfoilError:
            # The tape already tells of it (a loan that ended cannot end again): the tape holds.
            loans[key] = loan
    await tx.run_many(
        "UPDATE staged SET body = ?, status = ?, application_key = ?"
        " WHERE lookup = ? AND loan_id = ?",
        [
            (to_body(loan), loan.status.value, loan.application_key, *key)
            for key, loan in loans.items()
        ],
    )


async def find_closures(tx: Transaction, as_of: int) -> list[tuple[int, Loan]]:
    """Open loans that a full tape no longer lists and nothing later was reported of."""
    rows = await tx.rows(
        "SELECT l.borrower_id, l.body FROM loans l WHERE l.status = 'open'"
        " AND NOT EXISTS (SELECT 1 FROM staged s"
        "   WHERE s.borrower_id = l.borrower_id AND s.loan_id = l.loan_id)"
        " AND NOT EXISTS (SELECT 1 FROM loan_events e WHERE e.borrower_id = l.borrower_id"
        "   AND e.loan_id = l.loan_id AND e.event_time > ?)",
        (as_of,),
    )
    closures = []
    for borrower_id, body in rows:
        loan = from_body(body)
        closures.append(
            (
                borrower_id,
                replace(loan, status=LoanStatus.CLOSED, ended_time=as_of, standing=None),
            )
        )
    return closures


async def check_closures(tx: Transaction, closing: int, max_percent: float) -> None:
    """More closures than the set share of the open loans need a person's confirmation."""
    row = await tx.row("SELECT count(*) FROM loans WHERE status = 'open'")
    open_count = row[0] if row else 0
    if open_count and closing * 100 > max_percent * open_count:
        raise InvalidInput(
            Reason.TAPE_CLOSURES_UNCONFIRMED,
            f"the tape would close {closing} of {open_count} open loans,"
            f" more than {max_percent:g} %",
            field="confirm_closures",
        )


async def lay(tx: Transaction, closures: list[tuple[int, Loan]]) -> list[int]:
    """Puts staged rows and closures into the book; the borrowers whose rows changed."""
    changed = await tx.rows(
        "SELECT DISTINCT s.borrower_id FROM staged s LEFT JOIN loans l"
        " ON l.borrower_id = s.borrower_id AND l.loan_id = s.loan_id"
        " WHERE l.body IS NOT s.body"
    )
    await tx.run(
        "INSERT INTO applications (borrower_id, application_key, reference)"
        " SELECT borrower_id, application_key, reference FROM staged WHERE true"
        " ON CONFLICT (borrower_id, application_key) DO NOTHING"
    )
    await tx.run(
        "INSERT OR REPLACE INTO loans (borrower_id, loan_id, status, application_key, body)"
        " SELECT borrower_id, loan_id, status, application_key, body FROM staged"
    )
    await tx.run_many(
        "UPDATE loans SET status = ?, body = ? WHERE borrower_id = ? AND loan_id = ?",
        [
            (loan.status.value, to_body(loan), borrower_id, loan.loan_id)
            for borrower_id, loan in closures
        ],
    )
    return sorted({row[0] for row in changed} | {borrower_id for borrower_id, _ in closures})


async def note_tape(
    tx: Transaction, facts: TapeFacts, result: TapeResult, *, complete: bool
) -> None:
    """Remembers the tape and what it lets the book claim.

    A full tape without bad rows makes the book complete as of its as-of; a delta carries an
    existing claim on.
    """
    await tx.run(
        "INSERT INTO tapes (digest, kind, as_of, imported_us, row_count, bad_row_count,"
        " changed_borrower_count, closed_loan_count) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            facts.digest,
            facts.kind.value,
            facts.as_of,
            facts.imported_us,
            result.row_count,
            result.bad_row_count,
            result.changed_borrower_count,
            result.closed_loan_count,
        ),
    )
    await tx.run(
        "UPDATE book SET tape_as_of = ?, as_of = max(as_of, ?)", (facts.as_of, facts.as_of)
    )
    if complete:
        await tx.run(
            "UPDATE book SET complete_as_of = max(coalesce(complete_as_of, 0), ?)"
            " WHERE ? = 'full' OR complete_as_of IS NOT NULL",
            (facts.as_of, facts.kind.value),
        )
