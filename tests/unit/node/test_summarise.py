"""From rows to a record: what is merged, what is capped, what is left out."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from counterfoil import limits
from counterfoil.amounts import band_of
from counterfoil.exposure import (
    EventKind,
    Exposure,
    IncomeSource,
    InstalmentCycle,
    InstitutionKind,
    PaymentStatus,
    ProductKind,
    Role,
    SubjectKind,
)
from counterfoil.exposure_codec import decode, encode
from counterfoil_node.loans import KnownIncome, Loan, LoanStatus, Months, Standing
from counterfoil_node.summarise import Holding, Subject, summarise

SUBJECT = Subject(bytes(range(32)), 1, SubjectKind.PERSON, InstitutionKind.BANK)
NOW = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp())
DAY = 86_400
MONTH = 682
"""November 2026."""


def loan(loan_id: str = "L-1", **changes: object) -> Loan:
    fields: dict[str, object] = {
        "loan_id": loan_id,
        "role": Role.SOLE,
        "product_kind": ProductKind.CASH_LOAN,
        "status": LoanStatus.OPEN,
        "currency": "CNY",
        "amount_minor": 70_000,
        "time_zone": "Asia/Shanghai",
        "applied_time": NOW - 10 * DAY,
        "opened_time": NOW - 9 * DAY,
        "standing": Standing(70_000, 50_000, InstalmentCycle.MONTHLY, 6_000, 20_800, 21_000),
    }
    return Loan(**(fields | changes))  # type: ignore[arg-type]


def ended(loan_id: str, status: LoanStatus, days_ago: int) -> Loan:
    return loan(loan_id, status=status, ended_time=NOW - days_ago * DAY, standing=None)


def holding(row: Loan, reference: int = 1) -> Holding:
    return Holding(row, reference.to_bytes(16, "big"))


def record(*rows: Holding, effective_time: int = NOW) -> Exposure:
    return summarise(SUBJECT, rows, effective_time)


def kinds(exposure: Exposure) -> list[EventKind]:
    return [event.kind for event in exposure.events]


def test_an_open_loan_is_a_facility_with_the_reference_of_its_application() -> None:
    exposure = record(holding(loan(), 5))
    (facility,) = exposure.facilities
    assert facility.outstanding_minor == 50_000
    assert facility.application_reference == (5).to_bytes(16, "big")
    assert kinds(exposure) == [EventKind.APPLIED, EventKind.OPENED]
    assert {event.application_reference for event in exposure.events} == {
        facility.application_reference
    }
    assert exposure.events[0].amount_band == band_of(70_000)


def test_each_way_of_ending_leaves_its_event_and_no_facility() -> None:
    exposure = record(
        holding(ended("L-1", LoanStatus.CLOSED, 3), 1),
        holding(ended("L-2", LoanStatus.REPAID_EARLY, 2), 2),
        holding(ended("L-3", LoanStatus.WRITTEN_OFF, 1), 3),
    )
    assert exposure.facilities == ()
    assert kinds(exposure)[-3:] == [
        EventKind.CLOSED,
        EventKind.REPAID_EARLY,
        EventKind.WRITTEN_OFF,
    ]


def test_one_application_is_told_once_at_its_earliest_time() -> None:
    asked = loan(
        "A-1",
        status=LoanStatus.APPLIED,
        applied_time=NOW - 11 * DAY,
        opened_time=None,
        standing=None,
    )
    exposure = record(holding(asked, 1), holding(loan("L-1", application_id="A-1"), 1))
    assert kinds(exposure) == [EventKind.APPLIED, EventKind.OPENED]
    assert exposure.events[0].time == NOW - 11 * DAY


def test_two_loans_of_one_application_are_opened_twice() -> None:
    exposure = record(holding(loan("L-1"), 1), holding(loan("L-2"), 1))
    assert kinds(exposure) == [EventKind.APPLIED, EventKind.OPENED, EventKind.OPENED]


def test_what_a_guarantor_guarantees_is_a_facility_and_nothing_else() -> None:
    row = loan(
        role=Role.GUARANTOR,
        months=Months(MONTH, (PaymentStatus.PAST_DUE_30,), (100,), (0,)),
    )
    exposure = record(holding(row))
    assert [facility.role for facility in exposure.facilities] == [Role.GUARANTOR]
    assert exposure.events == ()
    assert exposure.payment_histories == ()


def test_events_reach_back_24_calendar_months() -> None:
    edge = int(datetime(2024, 11, 20, tzinfo=UTC).timestamp())
    old = loan("L-1", applied_time=edge - 1, opened_time=edge)
    assert kinds(record(holding(old))) == [EventKind.OPENED]


def test_events_past_the_cap_are_dropped_oldest_first_and_counted() -> None:
    rows = [
        holding(
            loan(
                f"A-{i}",
                status=LoanStatus.APPLIED,
                applied_time=NOW - i * 60,
                opened_time=None,
                standing=None,
            ),
            i + 1,
        )
        for i in range(limits.MAX_EVENTS + 7)
    ]
    exposure = record(*rows)
    assert len(exposure.events) == limits.MAX_EVENTS
    assert exposure.omitted_count == 7
    assert exposure.events[-1].time == NOW
    assert exposure.events[0].time == NOW - (limits.MAX_EVENTS - 1) * 60


def test_histories_merge_by_currency_and_month() -> None:
    first = Months(
        MONTH, (PaymentStatus.AS_AGREED, PaymentStatus.PAST_DUE_30), (100, 100), (100, 0)
    )
    second = Months(MONTH - 1, (PaymentStatus.AS_AGREED, PaymentStatus.NO_DATA), (7, 0), (5, 0))
    dollars = Months(MONTH - 3, (PaymentStatus.WRITTEN_OFF,), (1,), (0,))
    exposure = record(
        holding(loan("L-1", months=first), 1),
        holding(loan("L-2", months=second), 2),
        holding(loan("L-3", months=dollars, currency="USD"), 3),
    )
    yuan, other = exposure.payment_histories
    assert (yuan.currency, yuan.latest_month) == ("CNY", MONTH)
    assert yuan.statuses == (
        PaymentStatus.AS_AGREED,
        PaymentStatus.PAST_DUE_30,
        PaymentStatus.NO_DATA,
    )
    assert yuan.due_minor == (100, 107, 0)
    assert yuan.paid_minor == (100, 5, 0)
    assert (other.currency, other.statuses) == ("USD", (PaymentStatus.WRITTEN_OFF,))


def test_gaps_between_histories_hold_no_data() -> None:
    new = Months(MONTH, (PaymentStatus.AS_AGREED,), (1,), (1,))
    old = Months(MONTH - 2, (PaymentStatus.AS_AGREED,), (1,), (1,))
    (history,) = record(
        holding(loan("L-1", months=new), 1), holding(loan("L-2", months=old), 2)
    ).payment_histories
    assert history.statuses[1] is PaymentStatus.NO_DATA


def test_months_older_than_two_years_are_left_out() -> None:
    old = Months(MONTH - 22, (PaymentStatus.AS_AGREED,) * 4, (1,) * 4, (1,) * 4)
    (history,) = record(holding(loan(months=old))).payment_histories
    assert len(history.statuses) == 2
    ancient = Months(MONTH - 24, (PaymentStatus.WRITTEN_OFF,), (1,), (0,))
    assert record(holding(loan(months=ancient))).payment_histories == ()


def test_the_newest_evidence_of_income_counts() -> None:
    older = KnownIncome(90_000, IncomeSource.TAX, 20_000)
    newer = KnownIncome(50_000, IncomeSource.DECLARED, 20_001)
    income = record(
        holding(loan("L-1", income=older), 1), holding(loan("L-2", income=newer), 2)
    ).income
    assert income is not None
    assert (income.source, income.band) == (IncomeSource.DECLARED, band_of(50_000))


def test_more_facilities_than_a_record_holds_are_told_together() -> None:
    rows = [holding(loan(f"L-{i}"), i + 1) for i in range(limits.MAX_FACILITIES + 10)]
    rows.append(
        holding(
            loan("late", standing=Standing(1, 1, InstalmentCycle.MONTHLY, 1, 5, 9, 20_000)), 999
        )
    )
    facilities = record(*rows).facilities
    assert len(facilities) == limits.MAX_FACILITIES
    assert sum(f.outstanding_minor for f in facilities) == 50_000 * (len(rows) - 1) + 1
    assert {f.oldest_unpaid_due_day for f in facilities} == {None, 20_000}


amounts = st.integers(0, 10**12)
days = st.none() | st.integers(0, 30_000)
standings = st.builds(
    Standing, amounts, amounts, st.just(InstalmentCycle.MONTHLY), amounts, days, days, days
)
months = st.lists(
    st.tuples(st.sampled_from(PaymentStatus), amounts, amounts), min_size=1, max_size=24
).map(lambda cells: [tuple(column) for column in zip(*cells, strict=True)])


@st.composite
def loans(draw: st.DrawFn) -> Loan:
    status = draw(st.sampled_from(LoanStatus))
    times = sorted(draw(st.lists(st.integers(NOW - 900 * DAY, NOW), min_size=3, max_size=3)))
    began = status in (LoanStatus.APPLIED, LoanStatus.DECLINED)
    history = draw(st.none() | months)
    latest = draw(st.integers(MONTH - 30, MONTH))
    return Loan(
        loan_id=f"L-{draw(st.integers(0, 10**6))}",
        role=draw(st.sampled_from(Role)),
        product_kind=draw(st.sampled_from(ProductKind)),
        status=status,
        currency=draw(st.sampled_from(["CNY", "USD", "JPY"])),
        amount_minor=draw(amounts),
        time_zone=draw(st.sampled_from(["Asia/Shanghai", "UTC"])),
        applied_time=times[0],
        declined_time=times[1] if status is LoanStatus.DECLINED else None,
        opened_time=None if began else times[1],
        ended_time=times[2] if status.ended else None,
        standing=draw(standings) if status is LoanStatus.OPEN else None,
        months=None if history is None else Months(latest, *history),
    )


@given(st.lists(loans(), max_size=12), st.randoms(use_true_random=False))
def test_any_rows_give_a_record_that_reads_back_whatever_their_order(
    rows: list[Loan], source: random.Random
) -> None:
    # Row numbers are unique within a borrower.
    unique = [replace(row, loan_id=f"L-{i}") for i, row in enumerate(rows)]
    holdings = [holding(row, i % 5 + 1) for i, row in enumerate(unique)]
    exposure = summarise(SUBJECT, holdings, NOW)
    assert decode(encode(exposure)) == exposure
    shuffled = list(holdings)
    source.shuffle(shuffled)
    assert summarise(SUBJECT, shuffled, NOW) == exposure
    debtor = [row for row in unique if row.role is not Role.GUARANTOR]
    told = sum(f.outstanding_minor for f in exposure.facilities)
    assert told == sum(row.standing.outstanding_minor for row in unique if row.standing)
    assert len(exposure.events) <= 3 * len(debtor)
