"""Importing tapes: all or nothing, idempotent, closing what a full tape no longer lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import EventKind, InstalmentCycle, ProductKind, Role
from counterfoil.identifier import Identifier
from counterfoil_node.book import Book
from counterfoil_node.events import LoanEvent
from counterfoil_node.importing import ImportOrder, ImportOutcome, import_tape
from counterfoil_node.loans import Loan, LoanStatus, Standing
from counterfoil_node.store.borrowers import pending
from counterfoil_node.store.reports import Report, ReportedEvent, take_report
from counterfoil_node.tape import TapeKind
from support.books import ZONE, new_book, open_book, resident_id
from support.loan_rows import AS_OF_SECONDS, ended_row, open_row, write_tape

HOUR = 3_600
NOW = datetime.fromtimestamp(AS_OF_SECONDS + 30 * 24 * HOUR, UTC)


def now() -> datetime:
    return NOW


def who(number: int) -> Identifier:
    return Identifier.parse("cn-resident-id", resident_id(number))


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    book = await new_book(tmp_path)
    yield book
    await book.close()


async def lay(
    book: Book,
    folder: Path,
    rows: list[dict[str, str]],
    *,
    as_of: int = AS_OF_SECONDS,
    kind: TapeKind = TapeKind.FULL,
    confirm: bool = False,
    accept: bool = False,
) -> ImportOutcome:
    tape = write_tape(folder / "tape.csv", rows)
    order = ImportOrder(tape, as_of, kind, confirm_closures=confirm, accept_good_rows=accept)
    return await import_tape(book, order, now)


async def publish_all(book: Book) -> None:
    """Marks everything as sealed, as the publisher does."""
    async with book.database.write() as tx:
        await tx.run("UPDATE borrowers SET sealed_change = change")


async def waiting(book: Book) -> set[bytes]:
    return {who.lookup for who in await pending(book.database, 1_000)}


async def only_loan(book: Book, number: int) -> Loan:
    (loan,) = await book.loans_of(who(number))
    return loan


async def report(book: Book, *events: ReportedEvent, request_id: str = "R-1") -> int:
    async with book.database.write() as tx:
        return await take_report(
            tx,
            book.vault,
            Report(request_id, request_id.encode(), events, None, 1),
            book.random_bytes,
        )


def event(
    kind: EventKind | None, hours: float, loan_id: str = "L-1", **changes: object
) -> LoanEvent:
    fields: dict[str, object] = {
        "kind": kind,
        "time": AS_OF_SECONDS + int(hours * HOUR),
        "loan_id": loan_id,
        "application_id": "",
        "product_kind": ProductKind.CASH_LOAN,
        "role": Role.SOLE,
        "currency": "CNY",
        "amount_minor": 1_000_000,
        "time_zone": ZONE,
        "standing": Standing(1_000_000, 700_000, InstalmentCycle.NONE)
        if kind in (None, EventKind.OPENED)
        else None,
    }
    return LoanEvent(**(fields | changes))  # type: ignore[arg-type]


async def test_a_full_tape_fills_the_book_and_claims_completeness(
    book: Book, tmp_path: Path
) -> None:
    outcome = await lay(book, tmp_path, [open_row(1), open_row(2), ended_row(3, "closed")])
    assert outcome.applied
    assert outcome.result.changed_borrower_count == 3
    counts = await book.counts()
    assert (counts.loans, counts.borrowers, counts.pending_borrowers) == (3, 3, 3)
    position = await book.position()
    assert (position.as_of, position.complete_as_of) == (AS_OF_SECONDS, AS_OF_SECONDS)
    assert await book.own_exposure(who(1))
    assert not await book.own_exposure(who(3))


async def test_the_same_tape_again_does_nothing(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1)])
    before = await book.position()
    outcome = await lay(book, tmp_path, [open_row(1)])
    assert outcome.result.repeated
    assert outcome.result.row_count == 1
    assert await book.position() == before


async def test_only_changed_borrowers_are_published_again(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1), open_row(2)])
    await publish_all(book)
    later = AS_OF_SECONDS + HOUR
    outcome = await lay(
        book, tmp_path, [open_row(1), open_row(2, outstanding="7000.00")], as_of=later
    )
    assert outcome.result.changed_borrower_count == 1
    assert await waiting(book) == {book.vault.lookup(who(2))}
    assert (await book.position()).complete_as_of == later


async def test_references_stay_the_same_from_tape_to_tape(book: Book, tmp_path: Path) -> None:
    async def references() -> list[bytes]:
        rows = await book.database.rows("SELECT reference FROM applications ORDER BY 1")
        return [row[0] for row in rows]

    await lay(book, tmp_path, [open_row(1, application_id="A-1")])
    first = await references()
    changed = open_row(1, application_id="A-1", outstanding="1")
    await lay(book, tmp_path, [changed], as_of=AS_OF_SECONDS + HOUR)
    assert await references() == first
    assert len(first) == 1


async def test_one_bad_row_stops_the_whole_tape(book: Book, tmp_path: Path) -> None:
    outcome = await lay(book, tmp_path, [open_row(1), open_row(2, amount="-1"), open_row(3)])
    assert not outcome.applied
    assert [(bad.line, bad.reason) for bad in outcome.bad_rows] == [(3, Reason.AMOUNT_NEGATIVE)]
    assert (await book.counts()).loans == 0
    assert (await book.counts()).borrowers == 0


async def test_good_rows_alone_claim_nothing_and_close_nothing(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1), open_row(2)])
    rows = [open_row(1, outstanding="1.00"), open_row(2, amount="x")]
    outcome = await lay(book, tmp_path, rows, as_of=AS_OF_SECONDS + HOUR, accept=True)
    assert outcome.applied
    assert outcome.result.bad_row_count == 1
    assert (await only_loan(book, 2)).status is LoanStatus.OPEN
    position = await book.position()
    assert position.complete_as_of == AS_OF_SECONDS
    assert position.as_of == AS_OF_SECONDS + HOUR


async def test_a_repeated_row_is_bad(book: Book, tmp_path: Path) -> None:
    outcome = await lay(book, tmp_path, [open_row(1), open_row(1, outstanding="1")])
    assert [(bad.line, bad.reason) for bad in outcome.bad_rows] == [(3, Reason.TAPE_DUPLICATE_ROW)]


async def test_two_customer_rows_with_one_identifier_are_one_borrower(
    book: Book, tmp_path: Path
) -> None:
    spaced = open_row(1, "L-2", identifier_value=" ".join(resident_id(1)))
    await lay(book, tmp_path, [open_row(1, "L-1"), spaced])
    assert (await book.counts()).borrowers == 1
    assert len(await book.loans_of(who(1))) == 2


async def test_a_joint_loan_has_a_row_for_each_borrower(book: Book, tmp_path: Path) -> None:
    rows = [
        open_row(1, "L-1", role="joint"),
        open_row(2, "L-1", role="joint"),
        open_row(3, "L-1", role="guarantor"),
    ]
    assert (await lay(book, tmp_path, rows)).applied
    assert (await book.counts()).loans == 3


async def test_a_sole_debtor_has_no_second(book: Book, tmp_path: Path) -> None:
    outcome = await lay(book, tmp_path, [open_row(1, "L-1"), open_row(2, "L-1", role="joint")])
    assert [bad.reason for bad in outcome.bad_rows] == [Reason.LOAN_BORROWER_MISMATCH]


async def test_an_unlisted_loan_is_closed_at_the_as_of(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(number) for number in range(1, 41)])
    await publish_all(book)
    later = AS_OF_SECONDS + HOUR
    outcome = await lay(book, tmp_path, [open_row(n) for n in range(1, 40)], as_of=later)
    assert outcome.result.closed_loan_count == 1
    loan = await only_loan(book, 40)
    assert (loan.status, loan.ended_time, loan.standing) == (LoanStatus.CLOSED, later, None)
    assert await waiting(book) == {book.vault.lookup(who(40))}


async def test_many_closures_need_confirmation(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(number) for number in range(1, 21)])
    rows = [open_row(number) for number in range(1, 19)]
    before = await book.position()
    with pytest.raises(CounterfoilError) as refused:
        await lay(book, tmp_path, rows, as_of=AS_OF_SECONDS + HOUR)
    assert refused.value.reason is Reason.TAPE_CLOSURES_UNCONFIRMED
    assert await book.position() == before
    outcome = await lay(book, tmp_path, rows, as_of=AS_OF_SECONDS + HOUR, confirm=True)
    assert outcome.result.closed_loan_count == 2


async def test_a_delta_closes_nothing(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1), open_row(2)])
    later = AS_OF_SECONDS + HOUR
    await lay(book, tmp_path, [open_row(1, outstanding="5.00")], as_of=later, kind=TapeKind.DELTA)
    assert (await only_loan(book, 2)).status is LoanStatus.OPEN
    assert (await book.position()).complete_as_of == later


async def test_a_delta_alone_claims_no_completeness(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1)], kind=TapeKind.DELTA)
    assert (await book.position()).complete_as_of is None


async def test_a_delta_does_not_move_a_loan_to_another_borrower(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1, "L-1")])
    outcome = await lay(
        book,
        tmp_path,
        [open_row(2, "L-1")],
        as_of=AS_OF_SECONDS + HOUR,
        kind=TapeKind.DELTA,
    )
    assert not outcome.applied
    assert [bad.reason for bad in outcome.bad_rows] == [Reason.LOAN_BORROWER_MISMATCH]


@pytest.mark.parametrize(
    ("as_of", "reason"),
    [
        (AS_OF_SECONDS - 1, Reason.TAPE_AS_OF_BACKWARDS),
        (AS_OF_SECONDS + 40 * 24 * HOUR, Reason.CLOCK_SKEW),
    ],
)
async def test_the_as_of_neither_goes_back_nor_ahead(
    book: Book, tmp_path: Path, as_of: int, reason: Reason
) -> None:
    await lay(book, tmp_path, [open_row(1)])
    with pytest.raises(CounterfoilError) as refused:
        await lay(book, tmp_path, [open_row(1, outstanding="2")], as_of=as_of)
    assert refused.value.reason is reason


async def test_later_events_are_replayed_on_top_of_a_tape(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1)])
    await report(book, ReportedEvent(event(None, hours=5), None))
    # The tape speaks of an hour before the payment was reported.
    await lay(book, tmp_path, [open_row(1, outstanding="7900.00")], as_of=AS_OF_SECONDS + 4 * HOUR)
    loan = await only_loan(book, 1)
    assert loan.standing is not None
    assert loan.standing.outstanding_minor == 700_000


async def test_a_tape_overrules_what_was_reported_for_before_it(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1)])
    await report(book, ReportedEvent(event(None, hours=1), None))
    await lay(book, tmp_path, [open_row(1, outstanding="7900.00")], as_of=AS_OF_SECONDS + 4 * HOUR)
    loan = await only_loan(book, 1)
    assert loan.standing is not None
    assert loan.standing.outstanding_minor == 790_000


async def test_a_loan_opened_after_the_as_of_is_not_closed(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1)])
    await report(book, ReportedEvent(event(EventKind.OPENED, hours=2, loan_id="L-2"), who(2)))
    await lay(book, tmp_path, [open_row(1)], as_of=AS_OF_SECONDS + HOUR)
    assert (await only_loan(book, 2)).status is LoanStatus.OPEN


async def test_the_tape_holds_where_a_later_event_cannot_follow(book: Book, tmp_path: Path) -> None:
    await lay(book, tmp_path, [open_row(1)])
    await report(book, ReportedEvent(event(EventKind.CLOSED, hours=9), None))
    tape = [ended_row(1, "written_off", ended_time="2026-11-01")]
    await lay(book, tmp_path, tape, as_of=AS_OF_SECONDS + HOUR)
    assert (await only_loan(book, 1)).status is LoanStatus.WRITTEN_OFF


async def test_another_process_imports_while_this_one_has_the_book_open(
    book: Book, tmp_path: Path
) -> None:
    other = await open_book(tmp_path)
    await lay(other, tmp_path, [open_row(1)])
    await other.close()
    assert (await book.position()).as_of == AS_OF_SECONDS
    assert await waiting(book) == {book.vault.lookup(who(1))}


async def test_staging_leaves_the_book_writable_for_others(book: Book, tmp_path: Path) -> None:
    other = await open_book(tmp_path)
    async with book.database.scratch() as tx:
        await tx.run("CREATE TEMP TABLE busy (x INTEGER)")
        await tx.run("INSERT INTO busy VALUES (1)")
        assert await report(
            other, ReportedEvent(event(EventKind.APPLIED, hours=1, loan_id="A-1"), who(1))
        )
    await other.close()


async def test_progress_runs_to_the_end(book: Book, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    tape = write_tape(tmp_path / "tape.csv", [open_row(number) for number in range(3)])
    order = ImportOrder(tape, AS_OF_SECONDS, TapeKind.FULL)
    await import_tape(book, order, now, lambda position, size: seen.append((position, size)))
    assert seen[-1] == (tape.stat().st_size, tape.stat().st_size)


async def test_a_refusal_names_no_value(book: Book, tmp_path: Path) -> None:
    outcome = await lay(book, tmp_path, [open_row(1, amount="x"), open_row(2, role=resident_id(3))])
    told = repr(outcome)
    assert not [number for number in range(4) if resident_id(number) in told]


async def test_a_book_of_another_lender_is_refused(book: Book, tmp_path: Path) -> None:
    with pytest.raises(CounterfoilError) as refused:
        await open_book(tmp_path, lender="lotus")
    assert refused.value.reason is Reason.CONFIG_INVALID


async def test_a_missing_book_is_not_made_in_silence(tmp_path: Path) -> None:
    with pytest.raises(CounterfoilError) as refused:
        await open_book(tmp_path)
    assert refused.value.reason is Reason.FILE_MISSING
    assert not list(tmp_path.iterdir())
