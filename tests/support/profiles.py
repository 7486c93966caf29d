"""Profiles to judge: builders with everything ordinary but what a test is about."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from counterfoil.exposure import (
    NO_REFERENCE,
    Event,
    EventKind,
    Exposure,
    Facility,
    InstalmentCycle,
    InstitutionKind,
    PaymentHistory,
    ProductKind,
    Role,
    SubjectKind,
)
from counterfoil_gateway.risk import policy as risk_policy
from counterfoil_gateway.risk.profile import LenderRecord, PastInquiry, Profile

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = (ROOT / "gateway/counterfoil_gateway/policies/default.toml").read_bytes()
POLICY = risk_policy.load(DEFAULT)
ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=ZONE)
"""A Tuesday noon in the default policy's zone."""
ASKER = "asker"


def at(days_ago: float = 0.0) -> int:
    """A moment some days before NOW, seconds."""
    return int((NOW - timedelta(days=days_ago)).timestamp())


def day(days_ago: int) -> int:
    """A day before today, as days since 1970."""
    return (NOW.date() - timedelta(days=days_ago)).toordinal() - 719_163


def facility(
    outstanding: int = 10_000,
    *,
    role: Role = Role.SOLE,
    currency: str = "USD",
    unpaid_for: int | None = None,
) -> Facility:
    """An open loan, overdue for so many days."""
    return Facility(
        product_kind=ProductKind.CASH_LOAN,
        role=role,
        currency=currency,
        limit_minor=outstanding,
        outstanding_minor=outstanding,
        instalment_minor=0,
        instalment_cycle=InstalmentCycle.NONE,
        oldest_unpaid_due_day=None if unpaid_for is None else day(unpaid_for),
    )


def event(kind: EventKind, days_ago: float, reference: bytes = NO_REFERENCE) -> Event:
    """An event so many days before NOW."""
    return Event(kind, at(days_ago), ProductKind.CASH_LOAN, 10, reference, "USD", "UTC")


def reference(number: int) -> bytes:
    """An application reference."""
    return number.to_bytes(16, "big")


def record(
    lender: str,
    *facilities: Facility,
    events: tuple[Event, ...] = (),
    histories: tuple[PaymentHistory, ...] = (),
    omitted: int = 0,
) -> LenderRecord:
    """One lender's record."""
    return LenderRecord(
        lender,
        Exposure(
            token=b"\x01" * 32,
            token_epoch=1,
            effective_time=at(),
            subject_kind=SubjectKind.PERSON,
            institution_kind=InstitutionKind.BANK,
            facilities=facilities,
            payment_histories=histories,
            events=tuple(sorted(events, key=lambda e: e.time)),
            omitted_count=omitted,
        ),
    )


def inquiry(
    lender: str, number: int, days_ago: float = 0.0, *, seeking: bool = True
) -> PastInquiry:
    """An inquiry about an application."""
    return PastInquiry(lender, reference(number), at(days_ago), seeking)


def profile(
    *records: LenderRecord,
    inquiries: tuple[PastInquiry, ...] = (),
    present: PastInquiry | None = None,
    **changes: object,
) -> Profile:
    """A profile in a network of five fresh lenders; the present inquiry is a mere review."""
    fields: dict[str, object] = {
        "asker": ASKER,
        "records": records,
        "inquiries": inquiries,
        "present": present or inquiry(ASKER, 999, seeking=False),
        "left_out": {},
        "member_count": 5,
        "fresh_count": 5,
        "counted_lender_count": 5,
        "oldest_complete_as_of": at(0.1) if records else None,
    }
    return Profile(**(fields | changes))  # type: ignore[arg-type]
