"""Seeded data for benchmarks: borrowers with three lenders and twenty events each."""

from __future__ import annotations

import hashlib
import random

from counterfoil import exposure_codec
from counterfoil.amounts import band_of
from counterfoil.exposure import (
    Event,
    EventKind,
    Exposure,
    Facility,
    InstalmentCycle,
    InstitutionKind,
    PaymentHistory,
    PaymentStatus,
    ProductKind,
    Role,
    SubjectKind,
)

EVENTS = 20
DAY = 86_400


def token_of(number: int) -> bytes:
    """A token as random as real ones."""
    return hashlib.sha256(b"bench%d" % number).digest()


def record_of(number: int, lender: int, as_of: int) -> bytes:
    """The record of one borrower at one lender: a loan, a year of payments, twenty events."""
    source = random.Random(number * 1_000 + lender)
    amount = source.randrange(50_000, 5_000_000)
    times = sorted(as_of - source.randrange(60, 600 * DAY) for _ in range(EVENTS))
    kinds = source.choices([EventKind.APPLIED, EventKind.OPENED, EventKind.CLOSED], k=EVENTS)
    return exposure_codec.encode(
        Exposure(
            token=token_of(number),
            token_epoch=1,
            effective_time=as_of,
            subject_kind=SubjectKind.PERSON,
            institution_kind=InstitutionKind.BANK,
            facilities=(
                Facility(
                    product_kind=ProductKind.CASH_LOAN,
                    role=Role.SOLE,
                    currency="USD",
                    limit_minor=amount,
                    outstanding_minor=amount // 2,
                    instalment_minor=amount // 12,
                    instalment_cycle=InstalmentCycle.MONTHLY,
                ),
            ),
            payment_histories=(
                PaymentHistory(
                    "USD",
                    as_of // (30 * DAY) - 1,
                    (PaymentStatus.AS_AGREED,) * 12,
                    (amount // 12,) * 12,
                    (amount // 12,) * 12,
                ),
            ),
            events=tuple(
                Event(
                    kind=kind,
                    time=time,
                    product_kind=ProductKind.CASH_LOAN,
                    amount_band=band_of(amount),
                    application_reference=source.randbytes(16),
                    currency="USD",
                    time_zone="Asia/Shanghai",
                )
                for kind, time in zip(kinds, times, strict=True)
            ),
        )
    )
