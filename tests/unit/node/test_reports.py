"""What the desk takes in: events step by step, all or nothing, once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import EventKind, InstalmentCycle, ProductKind, Role
from counterfoil.identifier import Identifier
from counterfoil_node.book import Book
from counterfoil_node.events import LoanEvent
from counterfoil_node.loans import LoanStatus, Standing
from counterfoil_node.store.reports import Report, ReportedEvent, take_application, take_report
from support.books import ZONE, new_book, resident_id
from support.loan_rows import AS_OF_SECONDS

ANNA = Identifier.parse("cn-resident-id", resident_id(1))
BERT = Identifier.parse("cn-resident-id", resident_id(2))
STANDING = Standing(1_000, 900, InstalmentCycle.NONE)


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    book = await new_book(tmp_path)
    yield book
    await book.close()


def event(kind: EventKind | None, minute: int, **changes: object) -> LoanEvent:
    fields: dict[str, object] = {
        "kind": kind,
        "time": AS_OF_SECONDS + 60 * minute,
        "loan_id": "L-1",
        "application_id": "A-1",
        "product_kind": ProductKind.CASH_LOAN,
        "role": Role.SOLE,
        "currency": "CNY",
        "amount_minor": 1_000,
        "time_zone": ZONE,
        "standing": STANDING if kind in (None, EventKind.OPENED) else None,
    }
    return LoanEvent(**(fields | changes))  # type: ignore[arg-type]


async def take(
    book: Book,
    *events: tuple[LoanEvent, Identifier | None],
    request_id: str = "R-1",
    content: bytes = b"content",
    complete_as_of: int | None = None,
) -> int:
    report = Report(
        request_id, content, tuple(ReportedEvent(*e) for e in events), complete_as_of, 1
    )
    async with book.database.write() as tx:
        return await take_report(tx, book.vault, report, book.random_bytes)


async def test_a_loan_lives_from_application_to_end(book: Book) -> None:
    await take(
        book,
        (event(EventKind.APPLIED, 1), ANNA),
        (event(EventKind.OPENED, 2), None),
        (event(None, 3, standing=Standing(1_000, 10, InstalmentCycle.NONE)), None),
        (event(EventKind.REPAID_EARLY, 4), None),
    )
    (loan,) = await book.loans_of(ANNA)
    assert loan.status is LoanStatus.REPAID_EARLY
    assert (loan.applied_time, loan.opened_time, loan.ended_time) == (
        AS_OF_SECONDS + 60,
        AS_OF_SECONDS + 120,
        AS_OF_SECONDS + 240,
    )
    assert (await book.position()).as_of == AS_OF_SECONDS + 240


async def test_the_same_report_again_has_no_effect(book: Book) -> None:
    assert await take(book, (event(EventKind.OPENED, 1), ANNA)) == 1
    before = await book.position()
    assert await take(book, (event(EventKind.OPENED, 1), ANNA)) == 1
    assert await book.position() == before


async def test_another_report_under_the_same_name_is_refused(book: Book) -> None:
    await take(book, (event(EventKind.OPENED, 1), ANNA))
    with pytest.raises(CounterfoilError) as refused:
        await take(book, (event(EventKind.OPENED, 1), ANNA), content=b"other")
    assert refused.value.reason is Reason.REQUEST_ID_CONFLICT


async def test_a_report_is_taken_whole_or_not_at_all(book: Book) -> None:
    with pytest.raises(CounterfoilError) as refused:
        await take(
            book,
            (event(EventKind.OPENED, 1), ANNA),
            (event(EventKind.CLOSED, 2, loan_id="nobody's"), None),
        )
    assert refused.value.reason is Reason.LOAN_UNKNOWN
    assert (await book.counts()).loans == 0
    assert (await book.counts()).borrowers == 0


@pytest.mark.parametrize("kind", [EventKind.CLOSED, EventKind.WRITTEN_OFF])
async def test_an_unknown_loan_does_not_begin_with_its_end(book: Book, kind: EventKind) -> None:
    with pytest.raises(CounterfoilError) as refused:
        await take(book, (event(kind, 1), ANNA))
    assert refused.value.reason is Reason.LOAN_UNKNOWN


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (EventKind.OPENED, EventKind.DECLINED),
        (EventKind.APPLIED, EventKind.CLOSED),
        (EventKind.APPLIED, None),
    ],
)
async def test_steps_that_cannot_follow_are_refused(
    book: Book, first: EventKind, then: EventKind | None
) -> None:
    await take(book, (event(first, 1), ANNA))
    with pytest.raises(CounterfoilError) as refused:
        await take(book, (event(then, 2), None), request_id="R-2")
    assert refused.value.reason is Reason.FIELD_INVALID


async def test_a_loan_of_a_sole_debtor_takes_no_other_borrower(book: Book) -> None:
    await take(book, (event(EventKind.OPENED, 1), ANNA))
    with pytest.raises(CounterfoilError) as refused:
        await take(book, (event(None, 2), BERT), request_id="R-2")
    assert refused.value.reason is Reason.LOAN_BORROWER_MISMATCH
    await take(book, (event(None, 2, role=Role.GUARANTOR), BERT), request_id="R-3")
    assert len(await book.loans_of(BERT)) == 1


async def test_an_event_without_borrower_is_about_everyone_in_the_loan(book: Book) -> None:
    await take(
        book,
        (event(EventKind.OPENED, 1, role=Role.JOINT), ANNA),
        (event(EventKind.OPENED, 1, role=Role.JOINT), BERT),
        (event(EventKind.CLOSED, 2), None),
    )
    for person in (ANNA, BERT):
        (loan,) = await book.loans_of(person)
        assert loan.status is LoanStatus.CLOSED
    assert (await book.counts()).pending_borrowers == 2


async def test_completeness_is_claimed_when_the_report_says_so(book: Book) -> None:
    await take(book, complete_as_of=AS_OF_SECONDS + 5)
    assert (await book.position()).complete_as_of == AS_OF_SECONDS + 5
    await take(book, complete_as_of=AS_OF_SECONDS + 1, request_id="R-2")
    assert (await book.position()).complete_as_of == AS_OF_SECONDS + 5


async def test_an_application_asked_about_twice_is_one(book: Book) -> None:
    for minute in (3, 7):
        applied = event(EventKind.APPLIED, minute, loan_id="A-9", application_id="A-9")
        async with book.database.write() as tx:
            await take_application(tx, book.vault, ANNA, applied, book.random_bytes)
    (loan,) = await book.loans_of(ANNA)
    assert (loan.status, loan.applied_time) == (LoanStatus.APPLIED, AS_OF_SECONDS + 180)
    assert (await book.counts()).loans == 1


async def test_an_application_that_the_loan_system_told_of_is_not_told_again(book: Book) -> None:
    await take(book, (event(EventKind.APPLIED, 1, application_id="A-1"), ANNA))
    applied = event(EventKind.APPLIED, 5, loan_id="A-1", application_id="A-1")
    async with book.database.write() as tx:
        await take_application(tx, book.vault, ANNA, applied, book.random_bytes)
    assert (await book.counts()).loans == 1


async def test_application_and_loan_share_one_reference(book: Book) -> None:
    applied = event(EventKind.APPLIED, 1, loan_id="A-1", application_id="A-1")
    async with book.database.write() as tx:
        await take_application(tx, book.vault, ANNA, applied, book.random_bytes)
    await take(book, (event(EventKind.OPENED, 2), ANNA))
    (row,) = await book.database.rows("SELECT borrower_id FROM borrowers")
    holdings = (await book.holdings([row[0]]))[row[0]]
    assert len(holdings) == 2
    assert len({holding.application_reference for holding in holdings}) == 1
