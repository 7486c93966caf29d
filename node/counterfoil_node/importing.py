"""Importing a tape: read and staged row by row, then laid over the book in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.exposure import Role
from counterfoil.limits import MAX_CLOCK_SKEW_SECONDS
from counterfoil.timestamps import micros, seconds

from .book import Book
from .store import tapes
from .store.borrowers import mark_changed
from .tape import BadRow, TapeKind, open_tape
from .tape_columns import TapeRow

STAGE_ROWS = 2_000
"""Rows staged by one statement."""

DEFAULT_MAX_CLOSING_PERCENT = 5.0
"""The share of the open loans that a full tape may close without confirmation."""


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What is to be imported, as its sender declares it."""

    path: Path
    as_of: int
    """Seconds."""
    kind: TapeKind
    confirm_closures: bool = False
    accept_good_rows: bool = False
    max_closing_percent: float = DEFAULT_MAX_CLOSING_PERCENT


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """What came of it. With bad rows and no leave to accept the good ones, nothing was changed."""

    result: tapes.TapeResult
    bad_rows: tuple[BadRow, ...]
    applied: bool


class _Duplicates:
    """Recognises rows of a tape that contradict or repeat one another."""

    def __init__(self) -> None:
        self._seen: set[tuple[bytes, str]] = set()
        self._debtors: dict[str, Role] = {}

    def check(self, lookup: bytes, row: TapeRow) -> None:
        loan = row.loan
        key = (lookup, loan.loan_id)
        if key in self._seen:
            raise InvalidInput(
                Reason.TAPE_DUPLICATE_ROW,
                "the same loan and borrower as an earlier row",
                field="loan_id",
            )
        if loan.role is not Role.GUARANTOR:
            other = self._debtors.get(loan.loan_id)
            if other is not None and Role.SOLE in (other, loan.role):
                raise InvalidInput(
                    Reason.LOAN_BORROWER_MISMATCH,
                    "another borrower of the same loan is, or this one claims to be, its sole"
                    " debtor",
                    field="role",
                )
            self._debtors[loan.loan_id] = loan.role
        self._seen.add(key)


async def import_tape(
    book: Book,
    order: ImportOrder,
    now: Callable[[], datetime],
    progress: Callable[[int, int], None] = lambda position, size: None,
) -> ImportOutcome:
    """Imports a tape: all of it or nothing, unless good rows are accepted alone.

    `progress` is told (position, size) after each staged portion. Raises TAPE_INVALID,
    TAPE_AS_OF_BACKWARDS, TAPE_CLOSURES_UNCONFIRMED, CLOCK_SKEW.
    """
    if order.as_of > seconds(now()) + MAX_CLOCK_SKEW_SECONDS:
        raise InvalidInput(Reason.CLOCK_SKEW, "the as-of lies in the future", field="as_of")
    database, vault = book.database, book.vault
    tape = open_tape(order.path, order.as_of, book.settings.time_zone)
    duplicates = _Duplicates()
    bad: list[BadRow] = []
    portion: list[tuple[int, TapeRow]] = []
    count = 0
    async with database.scratch() as tx:
        await tapes.create_staging(tx)

    async def flush(position: int) -> None:
        async with database.scratch() as tx:
            await tapes.stage(tx, portion, vault, book.random_bytes)
        portion.clear()
        progress(position, tape.size)

    for line in tape.lines:
        count += 1
        row = line.row
        if isinstance(row, TapeRow):
            try:
                duplicates.check(vault.lookup(row.identifier), row)
            except InvalidInput as error:
                row = BadRow(line.number, error.reason, error.field, error.message)
        if isinstance(row, BadRow):
            bad.append(row)
            continue
        portion.append((line.number, row))
        if len(portion) >= STAGE_ROWS:
            await flush(line.position)
    await flush(tape.size)
    facts = tapes.TapeFacts(tape.digest, order.kind, order.as_of, micros(now()), count, len(bad))
    try:
        return await _lay(book, order, facts, bad)
    except _Refused as refused:
        nothing = tapes.TapeResult(count, len(refused.bad), 0, 0)
        return ImportOutcome(nothing, tuple(refused.bad), applied=False)


class _Refused(Exception):
    """Undoes the transaction: there are bad rows and no leave to go on without them."""

    def __init__(self, bad: list[BadRow]) -> None:
        self.bad = bad


async def _lay(
    book: Book, order: ImportOrder, facts: tapes.TapeFacts, bad: list[BadRow]
) -> ImportOutcome:
    async with book.database.write() as tx:
        repeated = await tapes.find_repeated(tx, facts)
        if repeated is not None:
            return ImportOutcome(repeated, tuple(bad), applied=True)
        await tapes.check_as_of(tx, order.as_of)
        await tapes.name_borrowers(tx)
        if order.kind is TapeKind.DELTA:
            mismatched = await tapes.mismatched_rows(tx)
            await tapes.unstage(tx, mismatched)
            bad = sorted([*bad, *mismatched], key=lambda row: row.line)
        if bad and not order.accept_good_rows:
            raise _Refused(bad)
        await tapes.replay_later_events(tx, order.as_of)
        closures = []
        # With rows left out nobody can say which loans the tape no longer lists.
        if order.kind is TapeKind.FULL and not bad:
            closures = await tapes.find_closures(tx, order.as_of)
            if not order.confirm_closures:
                await tapes.check_closures(tx, len(closures), order.max_closing_percent)
        changed = await tapes.lay(tx, closures)
        if changed:
            await mark_changed(tx, changed, order.as_of)
        result = tapes.TapeResult(facts.row_count, len(bad), len(changed), len(closures))
        await tapes.note_tape(tx, facts, result, complete=not bad)
    return ImportOutcome(result, tuple(bad), applied=True)


def refusal(outcome: ImportOutcome) -> CounterfoilError:
    """The error for an outcome that was not applied."""
    return CounterfoilError(
        Reason.TAPE_INVALID,
        f"{len(outcome.bad_rows)} of {outcome.result.row_count} rows are bad; nothing was imported",
        field="tape",
    )
