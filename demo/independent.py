"""What every answer must say, calculated from the truth alone.

Written from the definitions of docs/protocol/policy.md and the policy file. Nothing of the gateway
and nothing of core's risk, amounts or dates is used here, so that an error there does not repeat
itself here. It assumes what the demo arranges: every lender is a member, and fresh.
"""

from __future__ import annotations

import tomllib
from calendar import monthrange
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from .truth import CURRENCY, GUARANTOR, Account, Borrower

SEVERITIES = ("info", "watch", "high", "critical")

Reasons = frozenset[tuple[str, str]]
"""Of one flag: reason code and the severity that it alone gives."""


@dataclass(frozen=True, slots=True)
class Act:
    """A question of the demo that seeks credit: it counts in what is asked later."""

    lender: str
    application: str
    time: datetime

    @property
    def key(self) -> tuple[str, str]:
        """What makes it one act, however often it is asked or told."""
        return self.lender, self.application


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must say."""

    status: str
    active_lenders: int
    band: tuple[int, int]
    """Joint outstanding in minor units, half-open."""
    flags: Mapping[str, tuple[str, Reasons]]
    """By code: severity and reasons."""


class Calculation:
    """The policy applied to the truth."""

    def __init__(self, policy: bytes) -> None:
        self._policy: dict[str, Any] = tomllib.loads(policy.decode())
        self._zone = ZoneInfo(self._policy["day_zone"])

    def expect(
        self,
        borrower: Borrower,
        asker: str,
        now: datetime,
        earlier: Iterable[Act],
        asked: Act | None,
    ) -> Expected:
        """The answer to one question about a borrower.

        `earlier`: what was asked about it before; `asked`: this question, if it seeks credit.
        """
        own = borrower.owed_to(asker)
        low, high = _band(borrower.joint_outstanding - own)
        band = (own + low, own + high)
        before = [act for act in earlier if act.time <= now]
        acts = [*before, *([asked] if asked else [])]
        met = [
            *self._multi_lender(len(borrower.active_lenders), band),
            *self._rapid_probing(borrower, acts, now),
            *self._repayment(borrower, asker, now),
        ]
        flags: dict[str, tuple[str, Reasons]] = {}
        for flag, reason, severity in met:
            known, reasons = flags.get(flag, (severity, frozenset()))
            worst = max(known, severity, key=SEVERITIES.index)
            flags[flag] = (worst, reasons | {(reason, severity)})
        present = (asked.lender, asked.application) if asked else None
        # An application that is asked about again tells nothing new of the borrower.
        others = any((act.lender, act.application) != present for act in before)
        found = bool(borrower.accounts) or others
        status = "ASSESSED" if found else "NO_RECORD"
        return Expected(status, len(borrower.active_lenders), band, flags)

    def today(self, now: datetime) -> date:
        """The day that it is for the policy."""
        return now.astimezone(self._zone).date()

    def _multi_lender(self, lenders: int, band: tuple[int, int]) -> Iterable[tuple[str, str, str]]:
        rules = self._policy["multi_lender"]
        severity = _at_least(rules.get("active_lenders", {}), lenders)
        if severity:
            yield "MULTI_LENDER", "ACTIVE_LENDERS_AT_LEAST", severity
        if lenders < 2:
            return
        for rule in rules.get("joint_outstanding", []):
            severity = _at_least(rule, band[1] - 1)
            if rule["currency"] == CURRENCY and severity:
                yield "MULTI_LENDER", "JOINT_OUTSTANDING_AT_LEAST", severity

    def _rapid_probing(
        self, borrower: Borrower, asked: list[Act], now: datetime
    ) -> Iterable[tuple[str, str, str]]:
        first: dict[tuple[str, str], datetime] = {}
        applied = [
            Act(event.lender, event.application, datetime.fromtimestamp(event.time, UTC))
            for event in borrower.events
            if event.kind == "applied"
        ]
        for act in [*applied, *asked]:
            first[act.key] = min(act.time, first.get(act.key, act.time))
        today = self.today(now)
        windows = {
            "applications_7d": today - timedelta(days=6),
            "applications_15d": today - timedelta(days=14),
            "applications_1m": _months_before(today, 1) + timedelta(days=1),
        }
        for name, day in windows.items():
            count = sum(self._midnight(day) <= moment <= now for moment in first.values())
            severity = _at_least(self._policy["rapid_probing"].get(name, {}), count)
            if severity:
                yield "RAPID_PROBING", f"{name.upper()}_AT_LEAST", severity

    def _repayment(
        self, borrower: Borrower, asker: str, now: datetime
    ) -> Iterable[tuple[str, str, str]]:
        flag, rules = "REPAYMENT_IRREGULARITY", self._policy["repayment_irregularity"]
        today = self.today(now)
        severity = _at_least(rules.get("days_past_due", {}), borrower.days_past_due(today))
        if severity:
            yield flag, "DAYS_PAST_DUE_AT_LEAST", severity
        this_month = today.year * 12 + today.month - 1 - 1970 * 12
        # The asker's own months and all others' are judged apart; the worse of both is told.
        sides = [
            self._months([a for a in borrower.accounts if (a.lender == asker) is own], this_month)
            for own in (True, False)
        ]
        irregular = max(months for months, _ in sides)
        severity = _at_least(rules.get("irregular_months_12m", {}), irregular)
        if severity:
            yield flag, "IRREGULAR_MONTHS_AT_LEAST", severity
        start = self._midnight(_months_before(today, 24) + timedelta(days=1))
        written_off = sum(
            event.kind == "written_off" and start.timestamp() <= event.time <= now.timestamp()
            for event in borrower.events
        )
        severity = _at_least(rules.get("written_off_24m", {}), written_off)
        if severity:
            yield flag, "WRITTEN_OFF_AT_LEAST", severity
        percents = [percent for _, percent in sides if percent is not None]
        if percents:
            limits = rules.get("paid_percent_3m_below", {})
            below = [name for name in SEVERITIES if name in limits and min(percents) < limits[name]]
            if below:
                yield flag, "PAID_PERCENT_BELOW", below[-1]

    @staticmethod
    def _months(accounts: Iterable[Account], this_month: int) -> tuple[int, int | None]:
        """Irregular months of twelve, and percent paid of what was due in three."""
        irregular, due, paid = set(), 0, 0
        for account in accounts:
            if account.history is None or account.role == GUARANTOR:
                continue
            for back, letter in enumerate(account.history.statuses):
                month = account.history.latest_month - back
                if letter in "12345W" and 0 <= this_month - month < 12:
                    irregular.add(month)
                if 1 <= this_month - month <= 3:
                    due += account.history.due_minor[back]
                    paid += account.history.paid_minor[back]
        return len(irregular), min(100, 100 * paid // due) // 10 * 10 if due else None

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._zone)


def _at_least(thresholds: Mapping[str, Any], value: int) -> str:
    """The highest severity whose threshold is met; empty for none."""
    met = [name for name in SEVERITIES if name in thresholds and value >= thresholds[name]]
    return met[-1] if met else ""


def _band(amount: int) -> tuple[int, int]:
    """The band of the grid 0, 1, 2, 5, 10, 20, 50, ... that holds an amount: [low, high)."""
    if amount == 0:
        return 0, 1
    power = 10 ** (len(str(amount)) - 1)
    steps = (power, 2 * power, 5 * power, 10 * power)
    return next((low, high) for low, high in pairwise(steps) if amount < high)


def _months_before(day: date, months: int) -> date:
    """The same day so many months earlier; the month's last one where it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 - months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
