"""Exposures to test with: one plain, and a hypothesis strategy over all that are valid."""

from __future__ import annotations

from hypothesis import strategies as st

from counterfoil import limits
from counterfoil.amounts import BAND_COUNT, MAX_AMOUNT_MINOR
from counterfoil.exposure import (
    NO_REFERENCE,
    Event,
    EventKind,
    Exposure,
    Facility,
    Income,
    IncomeSource,
    InstalmentCycle,
    InstitutionKind,
    PaymentHistory,
    PaymentStatus,
    ProductKind,
    Role,
    SubjectKind,
)

NOON = 1_790_000_000
"""An ordinary moment of 2026, seconds."""

currencies = st.sampled_from(["CNY", "USD", "JPY", "KWD"])
amounts = st.integers(0, MAX_AMOUNT_MINOR)
days = st.none() | st.integers(0, 40_000)
references = st.binary(min_size=16, max_size=16)


def plain_exposure(**changes: object) -> Exposure:
    """One borrower with one loan, opened by one application."""
    reference = b"\x05" * 16
    fields: dict[str, object] = {
        "token": b"\x01" * 32,
        "token_epoch": 1,
        "effective_time": NOON,
        "subject_kind": SubjectKind.PERSON,
        "institution_kind": InstitutionKind.BANK,
        "facilities": (plain_facility(application_reference=reference),),
        "payment_histories": (
            PaymentHistory("USD", 680, (PaymentStatus.AS_AGREED,) * 2, (9_000,) * 2, (9_000,) * 2),
        ),
        "events": (
            plain_event(EventKind.APPLIED, NOON - 90_000, reference),
            plain_event(EventKind.OPENED, NOON - 80_000, reference),
        ),
    }
    return Exposure(**(fields | changes))  # type: ignore[arg-type]


def plain_facility(**changes: object) -> Facility:
    """One sole cash loan of 1,000.00 with 700.00 still owed."""
    fields: dict[str, object] = {
        "product_kind": ProductKind.CASH_LOAN,
        "role": Role.SOLE,
        "currency": "USD",
        "limit_minor": 100_000,
        "outstanding_minor": 70_000,
        "instalment_minor": 9_000,
        "instalment_cycle": InstalmentCycle.MONTHLY,
        "next_due_day": 20_725,
    }
    return Facility(**(fields | changes))  # type: ignore[arg-type]


def plain_event(kind: EventKind, time: int, reference: bytes = NO_REFERENCE) -> Event:
    """One event of a cash loan in band 17."""
    return Event(kind, time, ProductKind.CASH_LOAN, 17, reference, "USD", "Asia/Shanghai")


@st.composite
def facilities(draw: st.DrawFn) -> Facility:
    """Any valid facility."""
    cycle = draw(st.sampled_from(InstalmentCycle))
    return Facility(
        product_kind=draw(st.sampled_from(ProductKind)),
        role=draw(st.sampled_from(Role)),
        currency=draw(currencies),
        limit_minor=draw(amounts),
        outstanding_minor=draw(amounts),
        instalment_minor=0 if cycle is InstalmentCycle.NONE else draw(amounts),
        instalment_cycle=cycle,
        next_due_day=draw(days),
        final_due_day=draw(days),
        oldest_unpaid_due_day=draw(days),
        application_reference=draw(st.just(b"") | references),
    )


@st.composite
def histories(draw: st.DrawFn, currency: str) -> PaymentHistory:
    """Any valid payment history in one currency."""
    months = draw(st.integers(1, limits.MAX_HISTORY_MONTHS))
    column = st.lists(amounts, min_size=months, max_size=months).map(tuple)
    return PaymentHistory(
        currency=currency,
        latest_month=draw(st.integers(600, 700)),
        statuses=draw(
            st.lists(st.sampled_from(PaymentStatus), min_size=months, max_size=months).map(tuple)
        ),
        due_minor=draw(column),
        paid_minor=draw(column),
    )


@st.composite
def exposures(draw: st.DrawFn) -> Exposure:
    """Any valid exposure with up to a dozen events."""
    events = draw(
        st.lists(
            st.builds(
                Event,
                kind=st.sampled_from(EventKind),
                time=st.integers(NOON - limits.MAX_EVENT_AGE_SECONDS, NOON),
                product_kind=st.sampled_from(ProductKind),
                amount_band=st.integers(0, BAND_COUNT - 1),
                application_reference=references,
                currency=currencies,
                time_zone=st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "UTC"]),
            ),
            max_size=12,
        )
    )
    chosen = draw(st.lists(currencies, unique=True, max_size=3))
    income = st.builds(
        Income,
        band=st.integers(0, BAND_COUNT - 1),
        currency=currencies,
        source=st.sampled_from(IncomeSource),
        evidence_day=st.integers(0, 40_000),
    )
    return Exposure(
        token=draw(st.binary(min_size=32, max_size=32)),
        token_epoch=draw(st.integers(1, 1000)),
        effective_time=NOON,
        subject_kind=draw(st.sampled_from(SubjectKind)),
        institution_kind=draw(st.sampled_from(InstitutionKind)),
        facilities=tuple(draw(st.lists(facilities(), max_size=4))),
        payment_histories=tuple(draw(histories(currency)) for currency in chosen),
        income=draw(st.none() | income),
        events=tuple(sorted(events, key=lambda event: event.time)),
    )
