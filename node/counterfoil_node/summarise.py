"""From a lender's own rows about one borrower to the exposure summary that it publishes. Pure.

Facilities are the open rows; histories are merged by currency and month (the worst status, sums
of amounts); events come from the rows' times, those of one application once, over the last 24
months, the newest 200; the income is the one of the newest evidence. What a guarantor guarantees
appears as a facility of that role; its applications and payments are the debtor's, not the
guarantor's, so that they give no events and no history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from counterfoil import limits
from counterfoil.amounts import MAX_AMOUNT_MINOR, band_of
from counterfoil.errors import InvalidInput, Reason
from counterfoil.exposure import (
    Event,
    EventKind,
    Exposure,
    Facility,
    Income,
    InstalmentCycle,
    InstitutionKind,
    PaymentHistory,
    PaymentStatus,
    ProductKind,
    Role,
    SubjectKind,
)

from .days import month_of, months_before
from .loans import ENDED_EVENTS, Loan, LoanStatus


@dataclass(frozen=True, slots=True)
class Holding:
    """One row of a borrower, with the reference that stands for its application outside."""

    loan: Loan
    application_reference: bytes
    """16 random bytes."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a record is about, and who speaks."""

    token: bytes
    token_epoch: int
    subject_kind: SubjectKind
    institution_kind: InstitutionKind


def summarise(subject: Subject, holdings: Sequence[Holding], effective_time: int) -> Exposure:
    """The record of one borrower as of a time (seconds); the order of holdings does not matter."""
    rows = sorted(holdings, key=lambda h: (h.loan.opened_time or 0, h.loan.loan_id))
    events, omitted = _events(rows, effective_time)
    return Exposure(
        token=subject.token,
        token_epoch=subject.token_epoch,
        effective_time=effective_time,
        subject_kind=subject.subject_kind,
        institution_kind=subject.institution_kind,
        facilities=_facilities(rows),
        payment_histories=_histories([h.loan for h in rows], month_of(effective_time)),
        income=_income(h.loan for h in rows),
        events=events,
        omitted_count=omitted,
    )


def _facilities(rows: Sequence[Holding]) -> tuple[Facility, ...]:
    facilities = []
    for holding in rows:
        loan, standing = holding.loan, holding.loan.standing
        if loan.status is not LoanStatus.OPEN or standing is None:
            continue
        facilities.append(
            Facility(
                product_kind=loan.product_kind,
                role=loan.role,
                currency=loan.currency,
                limit_minor=standing.limit_minor,
                outstanding_minor=standing.outstanding_minor,
                instalment_minor=standing.instalment_minor,
                instalment_cycle=standing.instalment_cycle,
                next_due_day=standing.next_due_day,
                final_due_day=standing.final_due_day,
                oldest_unpaid_due_day=standing.oldest_unpaid_due_day,
                application_reference=holding.application_reference,
            )
        )
    return tuple(_folded(facilities))


def _folded(facilities: list[Facility]) -> list[Facility]:
    """At most MAX_FACILITIES: past that, the smallest of a kind are told as one."""
    while len(facilities) > limits.MAX_FACILITIES:
        groups: dict[tuple[Role, str, InstalmentCycle], list[Facility]] = {}
        for facility in facilities:
            key = (facility.role, facility.currency, facility.instalment_cycle)
            groups.setdefault(key, []).append(facility)
        largest = max(groups.values(), key=len)
        if len(largest) < 2:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "more facilities than a record holds, none of one kind",
                field="facilities",
            )
        excess = len(facilities) - limits.MAX_FACILITIES + 1
        smallest = sorted(largest, key=lambda f: f.outstanding_minor)[:excess]
        chosen = {id(facility) for facility in smallest}
        facilities = [f for f in facilities if id(f) not in chosen]
        facilities.append(reduce(_together, smallest))
    return facilities


def _together(one: Facility, other: Facility) -> Facility:
    same_product = one.product_kind is other.product_kind
    return replace(
        one,
        product_kind=one.product_kind if same_product else ProductKind.OTHER,
        limit_minor=_sum(one.limit_minor, other.limit_minor),
        outstanding_minor=_sum(one.outstanding_minor, other.outstanding_minor),
        instalment_minor=_sum(one.instalment_minor, other.instalment_minor),
        next_due_day=_least(one.next_due_day, other.next_due_day),
        final_due_day=(
            max(one.final_due_day, other.final_due_day)
            if one.final_due_day is not None and other.final_due_day is not None
            else None
        ),
        oldest_unpaid_due_day=_least(one.oldest_unpaid_due_day, other.oldest_unpaid_due_day),
        application_reference=b"",
    )


def _sum(one: int, other: int) -> int:
    return min(one + other, MAX_AMOUNT_MINOR)


def _least(one: int | None, other: int | None) -> int | None:
    known = [day for day in (one, other) if day is not None]
    return min(known, default=None)


def _histories(loans: Sequence[Loan], newest: int) -> tuple[PaymentHistory, ...]:
    """One table a currency. `newest` is the month of the effective time in UTC; a zone east of it
    may already be in the next."""
    cells: dict[str, dict[int, tuple[PaymentStatus, int, int]]] = {}
    for loan in loans:
        if loan.months is None or loan.role is Role.GUARANTOR:
            continue
        table = cells.setdefault(loan.currency, {})
        columns = zip(
            loan.months.statuses, loan.months.due_minor, loan.months.paid_minor, strict=True
        )
        for back, (status, due, paid) in enumerate(columns):
            month = loan.months.latest_month - back
            if not newest - limits.MAX_HISTORY_MONTHS < month <= newest + 1:
                continue
            worst, all_due, all_paid = table.get(month, (PaymentStatus.NO_DATA, 0, 0))
            table[month] = (max(worst, status), _sum(all_due, due), _sum(all_paid, paid))
    histories = []
    for currency, table in cells.items():
        if not table:
            continue
        latest = max(table)
        oldest = max(min(table), latest - limits.MAX_HISTORY_MONTHS + 1)
        nothing = (PaymentStatus.NO_DATA, 0, 0)
        months = [table.get(month, nothing) for month in range(latest, oldest - 1, -1)]
        histories.append(
            PaymentHistory(
                currency,
                latest,
                statuses=tuple(status for status, _, _ in months),
                due_minor=tuple(due for _, due, _ in months),
                paid_minor=tuple(paid for _, _, paid in months),
            )
        )
    histories.sort(key=lambda h: (-h.latest_month, -len(h.statuses), h.currency))
    return tuple(histories[: limits.MAX_HISTORIES])


def _income(loans: Iterable[Loan]) -> Income | None:
    known = [(loan.income, loan.currency) for loan in loans if loan.income is not None]
    if not known:
        return None
    income, currency = max(
        known, key=lambda k: (k[0].evidence_day, k[0].source, k[0].annual_minor, k[1])
    )
    return Income(band_of(income.annual_minor), currency, income.source, income.evidence_day)


def _events(rows: Sequence[Holding], effective_time: int) -> tuple[tuple[Event, ...], int]:
    earliest = max(
        months_before(effective_time, limits.EVENT_MONTHS),
        effective_time - limits.MAX_EVENT_AGE_SECONDS,
    )
    # An application is told once, at its earliest known time, however many rows speak of it.
    acts: dict[tuple[EventKind, bytes], Event] = {}
    steps: list[Event] = []
    for holding in rows:
        loan = holding.loan
        if loan.role is Role.GUARANTOR:
            continue
        for kind, time in (
            (EventKind.APPLIED, loan.applied_time),
            (EventKind.DECLINED, loan.declined_time),
        ):
            if time is not None:
                event = _event(kind, time, holding)
                key = (kind, holding.application_reference)
                known = acts.get(key)
                if known is None or event_order(event) < event_order(known):
                    acts[key] = event
        if loan.opened_time is not None:
            steps.append(_event(EventKind.OPENED, loan.opened_time, holding))
        if loan.ended_time is not None:
            steps.append(_event(ENDED_EVENTS[loan.status], loan.ended_time, holding))
    events = sorted(
        (e for e in (*acts.values(), *steps) if earliest <= e.time <= effective_time),
        key=event_order,
    )
    omitted = max(0, len(events) - limits.MAX_EVENTS)
    return tuple(events[omitted:]), omitted


def event_order(event: Event) -> tuple[int, int, bytes, int, str, int, str]:
    """Oldest first; a total order, so that equal books give equal records."""
    return (
        event.time,
        event.kind,
        event.application_reference,
        event.product_kind,
        event.currency,
        event.amount_band,
        event.time_zone,
    )


def _event(kind: EventKind, time: int, holding: Holding) -> Event:
    loan = holding.loan
    return Event(
        kind=kind,
        time=time,
        product_kind=loan.product_kind,
        amount_band=band_of(loan.amount_minor),
        application_reference=holding.application_reference,
        currency=loan.currency,
        time_zone=loan.time_zone,
    )
