"""Random profiles near every boundary: the engine says what the slow calculation says."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from counterfoil.answer import Clearing
from counterfoil.exposure import (
    NO_REFERENCE,
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
from counterfoil_gateway.risk import policy as risk_policy
from counterfoil_gateway.risk.assess import Assessment, assess
from counterfoil_gateway.risk.profile import LenderRecord, PastInquiry, Profile
from support.profiles import (
    ASKER,
    DEFAULT,
    NOW,
    POLICY,
    ZONE,
    profile,
    record,
    reference,
)
from support.risk_oracle import Expected, Oracle

LENDERS = (ASKER, "b", "c", "d", "e", "f", "g")
ZONES = (
    "Asia/Shanghai",
    "Europe/Berlin",
    "America/New_York",
    "Africa/Cairo",  # clocks change at midnight: some days begin at one o'clock
    "Pacific/Apia",
)
DAYS = (
    date(2026, 11, 24),
    date(2026, 3, 31),
    date(2026, 3, 29),
    date(2026, 4, 24),
    date(2026, 4, 30),
    date(2028, 2, 29),
    date(2028, 3, 31),
    date(2027, 1, 1),
    date(2026, 12, 31),
    date(2026, 10, 26),
    date(2026, 11, 30),
)
AGES = (0, 1, 5, 6, 7, 8, 13, 14, 15, 27, 28, 29, 30, 31, 32, 365, 725, 728, 729, 730, 731, 732)
"""Days ago that matter: windows end there."""
PROFILES_PER_ZONE = 80


class Dealer:
    """Deals profiles as of a time, by a seed."""

    def __init__(self, seed: str, zone: ZoneInfo) -> None:
        self._random = random.Random(seed)
        clock = self._random.choice(["00:00:00", "00:00:01", "12:00:00", "23:59:59"])
        day = self._random.choice(DAYS)
        self.now = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zone)
        self._today = day
        # A borrower who pays, so that what clears by time alone is not drowned by what does not.
        self._calm = self._random.random() < 0.6

    def profile(self) -> Profile:
        rng = self._random
        names = rng.sample(LENDERS, rng.choice([0, 1, 2, 3, 4, 6, 7]))
        members = len(LENDERS)
        return Profile(
            asker=ASKER,
            records=tuple(self._record(name) for name in names),
            inquiries=tuple(self._inquiry() for _ in range(rng.choice([0, 1, 4, 9]))),
            present=PastInquiry(
                ASKER, reference(rng.randint(1, 3)), self._second(), rng.random() < 0.7
            ),
            left_out={},
            member_count=members,
            fresh_count=rng.choice([members, members // 2, members // 2 + 1]),
            counted_lender_count=rng.choice([members, members, members, 0]),
            oldest_complete_as_of=None,
        )

    def _second(self) -> int:
        return int(self.now.timestamp())

    def _moment(self) -> int:
        """A second near a local midnight, or anywhere in a day that matters; never after now."""
        rng = self._random
        day = self._today - timedelta(days=rng.choice(AGES))
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=self.now.tzinfo).timestamp())
        return min(midnight + rng.choice([-1, 0, 1, 3_600, 43_200]), self._second())

    def _inquiry(self) -> PastInquiry:
        rng = self._random
        later = rng.choice([0, 0, 0, 0, 100])  # of a lender whose clock is ahead
        moment = self._second() + later if later else self._moment()
        return PastInquiry(
            rng.choice(LENDERS), reference(rng.randint(1, 6)), moment, rng.random() < 0.9
        )

    def _record(self, lender: str) -> LenderRecord:
        rng = self._random
        currencies = rng.sample(["USD", "CNY", "JPY"], rng.choice([0, 0, 1, 2]))
        events = sorted((self._event() for _ in range(rng.choice([0, 1, 3]))), key=lambda e: e.time)
        return LenderRecord(
            lender,
            Exposure(
                token=b"\x01" * 32,
                token_epoch=1,
                effective_time=self._second(),
                subject_kind=SubjectKind.PERSON,
                institution_kind=InstitutionKind.BANK,
                facilities=tuple(self._facility() for _ in range(rng.choice([0, 1, 2]))),
                payment_histories=tuple(self._history(currency) for currency in currencies),
                events=tuple(events),
            ),
        )

    def _event(self) -> Event:
        rng = self._random
        kind = rng.choice([*EventKind, EventKind.APPLIED, EventKind.WRITTEN_OFF])
        act = rng.choice([NO_REFERENCE, *(reference(n) for n in range(1, 5))])
        return Event(kind, self._moment(), ProductKind.CASH_LOAN, 10, act, "USD", "UTC")

    def _facility(self) -> Facility:
        rng = self._random
        owed = rng.choice([0, 1, 999_999, 1_000_000, 4_999_999, 5_000_000, 20_000_000, 49_999_999])
        late = rng.choice([-3, 0, 1, 6, 7, 29, 30, 31, 89, 90, 120, 400])
        overdue = not self._calm and rng.random() < 0.2
        unpaid = (self._today - date(1970, 1, 1)).days - late if overdue else None
        return Facility(
            product_kind=ProductKind.CASH_LOAN,
            role=rng.choice(list(Role)),
            currency=rng.choice(["USD", "CNY", "JPY"]),
            limit_minor=owed,
            outstanding_minor=owed,
            instalment_minor=0,
            instalment_cycle=InstalmentCycle.NONE,
            oldest_unpaid_due_day=unpaid,
        )

    def _history(self, currency: str) -> PaymentHistory:
        rng = self._random
        length = rng.randint(1, 24)
        this_month = (self._today.year - 1970) * 12 + self._today.month - 1
        good = [PaymentStatus.NO_DATA, *[PaymentStatus.AS_AGREED] * 12]
        dues = tuple(rng.choice([0, 100, 100, 1_000]) for _ in range(length))
        share = rng.choice([100, 120] if self._calm else [100, 90, 89, 50, 49])
        return PaymentHistory(
            currency=currency,
            latest_month=this_month - rng.choice([-1, 0, 0, 1, 2, 9]),
            statuses=tuple(rng.choice([*good, *PaymentStatus]) for _ in range(length)),
            due_minor=dues,
            paid_minor=tuple(due * share // 100 for due in dues),
        )


@pytest.mark.parametrize("zone", ZONES)
def test_the_engine_agrees_with_the_slow_calculation(zone: str) -> None:
    text = DEFAULT.replace(b'"Asia/Shanghai"', f'"{zone}"'.encode())
    policy, oracle = risk_policy.load(text), Oracle(text)
    conditions: set[tuple[str, str]] = set()
    for number in range(PROFILES_PER_ZONE):
        seed = f"{zone} {number}"
        dealer = Dealer(seed, ZoneInfo(zone))
        dealt = dealer.profile()
        said = as_expected(assess(dealt, policy, dealer.now))
        assert said == oracle.expect(dealt, dealer.now), seed
        conditions.update((code, condition) for code, _, _, condition, _ in said.flags)
    # The profiles are not all too tame to tell.
    assert len(conditions) == 4


def as_expected(said: Assessment) -> Expected:
    return Expected(
        said.status.name,
        said.active_lenders,
        frozenset((b.currency, b.low_minor, b.high_minor) for b in said.joint_outstanding),
        frozenset((i.code, i.value, i.unit) for i in said.indicators),
        tuple(
            (
                flag.code,
                flag.severity.name.lower(),
                frozenset(
                    (flag.code, r.code, r.observed, r.threshold, r.severity.name.lower())
                    for r in flag.reasons
                ),
                flag.clearing.condition,
                flag.clearing.clear_time,
            )
            for flag in said.flags
        ),
    )


@pytest.mark.parametrize(
    ("written_off", "monday"),
    [
        (datetime(2024, 11, 25, 0, 0), date(2026, 11, 30)),  # gone tomorrow
        (datetime(2024, 11, 25, 23, 59), date(2026, 11, 30)),
        (datetime(2024, 11, 29, 12, 0), date(2026, 11, 30)),  # gone on Sunday
        (datetime(2024, 11, 30, 12, 0), date(2026, 12, 7)),  # gone on Monday
    ],
)
def test_a_write_off_clears_in_the_week_in_which_it_leaves_its_window(
    written_off: datetime, monday: date
) -> None:
    moment = int(written_off.replace(tzinfo=ZONE).timestamp())
    event = Event(
        EventKind.WRITTEN_OFF, moment, ProductKind.CASH_LOAN, 10, NO_REFERENCE, "USD", "UTC"
    )
    (flag,) = assess(profile(record("b", events=(event,))), POLICY, NOW).flags
    expected = datetime(monday.year, monday.month, monday.day, tzinfo=ZONE)
    assert flag.clearing == Clearing("WINDOW_PASSES", int(expected.timestamp()))
