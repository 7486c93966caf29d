"""What an assessment must say, worked out the slow way from docs/protocol/policy.md.

Nothing of the risk engine is used here, and clearing days are found by trying one day after the
other, so that a short cut that is wrong in the engine is not wrong here too.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from counterfoil.exposure import EventKind, Facility, PaymentHistory, PaymentStatus, Role
from counterfoil_gateway.risk.profile import LenderRecord, Profile

SEVERITIES = ("info", "watch", "high", "critical")
GRID = [0, *sorted(m * 10**e for e in range(16) for m in (1, 2, 5))]
DAYS_TO_TRY = 800

Reason = tuple[str, str, int, int, str]
"""Flag, reason code, observed, threshold, severity."""
ToldFlag = tuple[str, str, frozenset[Reason], str, int | None]
"""Code, severity, reasons, clearing condition, clear time."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The parts of an assessment that are about the borrower."""

    status: str
    active_lenders: int
    bands: frozenset[tuple[str, int, int]]
    indicators: frozenset[tuple[str, int, str]]
    flags: tuple[ToldFlag, ...]


class Oracle:
    """A policy file and the slow way to apply it."""

    def __init__(self, policy: bytes) -> None:
        self._policy: dict[str, Any] = tomllib.loads(policy.decode())
        self._zone = ZoneInfo(self._policy["day_zone"])

    def expect(self, profile: Profile, now: datetime) -> Expected:
        """The assessment of a profile at a time."""
        today = now.astimezone(self._zone).date()
        second = int(now.timestamp())
        indicators = self._indicators(profile, today, second)
        flags: list[ToldFlag] = []
        reasons = self._reasons(profile, today, second)
        for code in sorted({reason[0] for reason in reasons}):
            mine = frozenset(reason for reason in reasons if reason[0] == code)
            worst = max((reason[4] for reason in mine), key=SEVERITIES.index)
            condition, clears = self._clearing(profile, code, mine, today, second)
            flags.append((code, worst, mine, condition, clears))
        flags.sort(key=lambda flag: (-SEVERITIES.index(flag[1]), flag[0]))
        return Expected(
            self._status(profile, second),
            _active(profile),
            frozenset(_bands(profile)),
            frozenset(indicators),
            tuple(flags),
        )

    def _status(self, profile: Profile, second: int) -> str:
        if profile.counted_lender_count == 0:
            return "NO_COVERAGE"
        share = self._policy["freshness"]["min_fresh_percent"]
        if profile.fresh_count * 100 < share * profile.member_count:
            return "STALE"
        present = profile.present
        for inquiry in profile.inquiries:
            same = (inquiry.lender, inquiry.application_reference) == (
                present.lender,
                present.application_reference,
            )
            if inquiry.credit_seeking and inquiry.time <= second and not same:
                return "ASSESSED"
        for record in profile.records:
            exposure = record.exposure
            told = [event.application_reference for event in exposure.events]
            if (
                record.lender != present.lender
                or exposure.facilities
                or exposure.payment_histories
                or not told
                or any(reference != present.application_reference for reference in told)
            ):
                return "ASSESSED"
        return "NO_RECORD"

    def _indicators(
        self, profile: Profile, today: date, second: int
    ) -> Iterable[tuple[str, int, str]]:
        yield "active_lenders", _active(profile), "count"
        for currency, low, _ in _bands(profile):
            yield "joint_outstanding_minor", low, currency
        yield "applications_7d", self._acts(profile, second, today - timedelta(days=6)), "count"
        yield "applications_15d", self._acts(profile, second, today - timedelta(days=14)), "count"
        yield "applications_1m", self._acts(profile, second, _after_months(today, 1)), "count"
        yield "worst_days_past_due", _days_past_due(profile, today), "days"
        yield "irregular_months_12m", _irregular(profile, today), "count"
        yield "written_off_24m", self._written_off(profile, second, today), "count"
        percent = _paid_percent(profile, today)
        if percent is not None:
            yield "paid_percent_3m", percent, "percent"

    def _reasons(self, profile: Profile, today: date, second: int) -> list[Reason]:
        lending = self._policy["multi_lender"]
        probing = self._policy["rapid_probing"]
        repayment = self._policy["repayment_irregularity"]
        found: list[Reason] = []

        def at_least(
            flag: str, code: str, value: int, rule: dict[str, Any], observed: int | None = None
        ) -> None:
            for severity in reversed(SEVERITIES):
                if severity in rule and value >= rule[severity]:
                    told = value if observed is None else observed
                    found.append((flag, code, told, rule[severity], severity))
                    return

        active = _active(profile)
        flag = "MULTI_LENDER"
        at_least(flag, "ACTIVE_LENDERS_AT_LEAST", active, lending["active_lenders"])
        for currency, low, high in _bands(profile):
            for rule in lending["joint_outstanding"]:
                if rule["currency"] == currency and active >= 2:
                    at_least(flag, "JOINT_OUTSTANDING_AT_LEAST", high - 1, rule, low)
        told = {code: value for code, value, _ in self._indicators(profile, today, second)}
        for name in ("applications_7d", "applications_15d", "applications_1m"):
            at_least("RAPID_PROBING", f"{name.upper()}_AT_LEAST", told[name], probing[name])
        flag = "REPAYMENT_IRREGULARITY"
        for code, name, setting in (
            ("DAYS_PAST_DUE_AT_LEAST", "worst_days_past_due", "days_past_due"),
            ("IRREGULAR_MONTHS_AT_LEAST", "irregular_months_12m", "irregular_months_12m"),
            ("WRITTEN_OFF_AT_LEAST", "written_off_24m", "written_off_24m"),
        ):
            at_least(flag, code, told[name], repayment[setting])
        percent = told.get("paid_percent_3m")
        rule = repayment["paid_percent_3m_below"]
        for severity in reversed(SEVERITIES):
            if percent is not None and severity in rule and percent < rule[severity]:
                found.append((flag, "PAID_PERCENT_BELOW", percent, rule[severity], severity))
                break
        return found

    def _clearing(
        self,
        profile: Profile,
        code: str,
        reasons: frozenset[Reason],
        today: date,
        second: int,
    ) -> tuple[str, int | None]:
        if code == "MULTI_LENDER":
            return "FEWER_ACTIVE_LENDERS", None
        if code == "REPAYMENT_IRREGULARITY":
            unpaid = any(
                facility.oldest_unpaid_due_day is not None for _, facility in _debts(profile)
            )
            if unpaid or any(reason[1] == "PAID_PERCENT_BELOW" for reason in reasons):
                return "OVERDUE_PAID", None
        for ahead in range(1, DAYS_TO_TRY):
            day = today + timedelta(days=ahead)
            # Nothing new happens: what is not known now is not known then.
            if not any(reason[0] == code for reason in self._reasons(profile, day, second)):
                monday = day + timedelta(days=7 - day.weekday())
                return "WINDOW_PASSES", _midnight(monday, self._zone)
        return "WINDOW_PASSES", None

    def _acts(self, profile: Profile, second: int, first_day: date) -> int:
        seen: list[tuple[tuple[str, bytes] | int, int]] = []
        for record in profile.records:
            for event in record.exposure.events:
                if event.kind is EventKind.APPLIED and event.time <= second:
                    named = any(event.application_reference)
                    act = (record.lender, event.application_reference) if named else len(seen)
                    seen.append((act, event.time))
        for inquiry in (*profile.inquiries, profile.present):
            if inquiry.credit_seeking and inquiry.time <= second:
                seen.append(((inquiry.lender, inquiry.application_reference), inquiry.time))
        start = _midnight(first_day, self._zone)
        earliest = [min(time for a, time in seen if a == act) for act in {a for a, _ in seen}]
        return sum(time >= start for time in earliest)

    def _written_off(self, profile: Profile, second: int, today: date) -> int:
        start = _midnight(_after_months(today, 24), self._zone)
        return sum(
            event.kind is EventKind.WRITTEN_OFF and start <= event.time <= second
            for record in profile.records
            for event in record.exposure.events
        )


@cache
def _midnight(day: date, zone: ZoneInfo) -> int:
    """The first second whose local date is a day; clocks change on quarters of an hour."""
    second = int(datetime.combine(day, time(), UTC).timestamp()) - 15 * 3_600
    while datetime.fromtimestamp(second, zone).date() < day:
        second += 900
    return second


def _debts(profile: Profile) -> list[tuple[LenderRecord, Facility]]:
    return [
        (record, facility)
        for record in profile.records
        for facility in record.exposure.facilities
        if facility.role in (Role.SOLE, Role.JOINT)
    ]


def _active(profile: Profile) -> int:
    return len({record.lender for record, _ in _debts(profile)})


def _bands(profile: Profile) -> list[tuple[str, int, int]]:
    bands = []
    for currency in {facility.currency for _, facility in _debts(profile)}:
        own = others = 0
        for record, facility in _debts(profile):
            if facility.currency == currency:
                if record.lender == profile.asker:
                    own += facility.outstanding_minor
                else:
                    others += facility.outstanding_minor
        low = max(edge for edge in GRID if edge <= others)
        high = min(edge for edge in GRID if edge > others)
        bands.append((currency, own + low, own + high))
    return bands


def _days_past_due(profile: Profile, today: date) -> int:
    worst = 0
    for record, facility in _debts(profile):
        if facility.oldest_unpaid_due_day is None:
            continue
        due = date(1970, 1, 1) + timedelta(days=facility.oldest_unpaid_due_day)
        late = max(0, (today - due).days)
        if record.lender != profile.asker:
            late = max(step for step in (0, 1, 7, 15, 30, 60, 90, 120) if step <= late)
        worst = max(worst, late)
    return worst


def _months_ago(today: date, month: int) -> int:
    return (today.year - 1970) * 12 + today.month - 1 - month


def _sides(profile: Profile) -> list[list[PaymentHistory]]:
    """The asker's own histories, and all others'."""
    return [
        [
            history
            for record in profile.records
            if (record.lender == profile.asker) is own
            for history in record.exposure.payment_histories
        ]
        for own in (True, False)
    ]


def _irregular(profile: Profile, today: date) -> int:
    counts = []
    for histories in _sides(profile):
        months = set()
        for history in histories:
            for back, status in enumerate(history.statuses):
                fine = status in (PaymentStatus.NO_DATA, PaymentStatus.AS_AGREED)
                month = history.latest_month - back
                if not fine and 0 <= _months_ago(today, month) <= 11:
                    months.add(month)
        counts.append(len(months))
    return max(counts)


def _paid_percent(profile: Profile, today: date) -> int | None:
    percents = []
    for histories in _sides(profile):
        for currency in {history.currency for history in histories}:
            due = paid = 0
            for history in histories:
                for back in range(len(history.statuses)):
                    ago = _months_ago(today, history.latest_month - back)
                    if history.currency == currency and 1 <= ago <= 3:
                        due += history.due_minor[back]
                        paid += history.paid_minor[back]
            if due:
                percents.append(min(100, 100 * paid // due))
    return min(percents) // 10 * 10 if percents else None


def _after_months(today: date, months: int) -> date:
    """The day after the same day so many months earlier, clamped to that month's end."""
    year, month = today.year, today.month
    for _ in range(months):
        year, month = (year - 1, 12) if month == 1 else (year, month - 1)
    day = today.day
    while True:
        try:
            return date(year, month, day) + timedelta(days=1)
        except ValueError:
            day -= 1
