"""What the desk takes in: reports of loan events, and applications that came with an inquiry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.exposure import EventKind, Role
from counterfoil.identifier import Identifier

from ..events import LoanEvent, begin, replay
from ..loans import Loan, from_body
from ..vault import Vault
from .borrowers import ensure_borrower, mark_changed, put_loan
from .database import Transaction


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """An event with the borrower, when the reporter named one."""

    event: LoanEvent
    identifier: Identifier | None


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report."""

    request_id: str
    content_mac: bytes
    """Recognises the content without holding it."""
    events: tuple[ReportedEvent, ...]
    complete_as_of: int | None
    received_us: int


async def take_report(
    tx: Transaction, vault: Vault, report: Report, random_bytes: Callable[[int], bytes]
) -> int:
    """Takes a report in; returns how many events it has. The same report again has no effect.

    REQUEST_ID_CONFLICT, LOAN_UNKNOWN, LOAN_BORROWER_MISMATCH, or InvalidInput of an event.
    """
    row = await tx.row(
        "SELECT content_mac, event_count FROM reports WHERE request_id = ?", (report.request_id,)
    )
    if row is not None:
        if row[0] != report.content_mac:
            raise CounterfoilError(
                Reason.REQUEST_ID_CONFLICT,
                "this request id was used for another report",
                field="request_id",
            )
        return int(row[1])
    changed: set[int] = set()
    newest = report.complete_as_of or 0
    for item in report.events:
        changed |= await take_event(tx, vault, item, random_bytes)
        newest = max(newest, item.event.time)
    await mark_changed(tx, sorted(changed), newest)
    if report.complete_as_of is not None:
        await tx.run(
            "UPDATE book SET complete_as_of = max(coalesce(complete_as_of, 0), ?)",
            (report.complete_as_of,),
        )
    await tx.run(
        "INSERT INTO reports VALUES (?, ?, ?, ?)",
        (report.request_id, report.content_mac, len(report.events), report.received_us),
    )
    return len(report.events)


async def take_event(
    tx: Transaction, vault: Vault, item: ReportedEvent, random_bytes: Callable[[int], bytes]
) -> set[int]:
    """Applies one event to the rows that it is about, and keeps it for replay over later tapes."""
    event = item.event
    rows = await tx.rows("SELECT borrower_id, body FROM loans WHERE loan_id = ?", (event.loan_id,))
    loans: dict[int, Loan] = {borrower_id: from_body(body) for borrower_id, body in rows}
    if item.identifier is None:
        if not loans:
            raise CounterfoilError(
                Reason.LOAN_UNKNOWN, "the book does not know this loan", field="loan_id"
            )
        targets: Sequence[int] = list(loans)
    else:
        borrower_id = await ensure_borrower(tx, vault, item.identifier)
        _check_borrower(borrower_id, event, loans)
        targets = [borrower_id]
    for borrower_id in targets:
        loan = loans.get(borrower_id)
        after = begin(event) if loan is None else replay(loan, event)
        await put_loan(tx, borrower_id, after, random_bytes)
        await tx.run(
            "INSERT INTO loan_events (borrower_id, loan_id, event_time, body) VALUES (?, ?, ?, ?)",
            (borrower_id, event.loan_id, event.time, event.to_body()),
        )
    return set(targets)


def _check_borrower(borrower_id: int, event: LoanEvent, loans: dict[int, Loan]) -> None:
    """A loan with a sole debtor has no second one."""
    if borrower_id in loans or event.role is Role.GUARANTOR:
        return
    debtors = [loan.role for loan in loans.values() if loan.role is not Role.GUARANTOR]
    if debtors and Role.SOLE in (event.role, *debtors):
        raise InvalidInput(
            Reason.LOAN_BORROWER_MISMATCH,
            "the book holds this loan for another borrower",
            field="identifier",
        )


async def take_application(
    tx: Transaction,
    vault: Vault,
    identifier: Identifier,
    event: LoanEvent,
    random_bytes: Callable[[int], bytes],
) -> None:
    """Notes that a borrower applied, unless the book knows of the application already."""
    assert event.kind is EventKind.APPLIED
    borrower_id = await ensure_borrower(tx, vault, identifier)
    rows = await tx.rows(
        "SELECT body FROM loans WHERE borrower_id = ? AND (application_key = ? OR loan_id = ?)",
        (borrower_id, event.application_id, event.application_id),
    )
    loans = [from_body(body) for (body,) in rows]
    if any(
        loan.application_key == event.application_id and loan.applied_time is not None
        for loan in loans
    ):
        return
    if any(loan.loan_id == event.loan_id for loan in loans):
        # A row of that number without the time of its application: the row's owner, the loan
        # system, tells the rest of it; the inquiry alone stands for the act.
        return
    await put_loan(tx, borrower_id, begin(event), random_bytes)
    await tx.run(
        "INSERT INTO loan_events (borrower_id, loan_id, event_time, body) VALUES (?, ?, ?, ?)",
        (borrower_id, event.loan_id, event.time, event.to_body()),
    )
    await mark_changed(tx, [borrower_id], event.time)
