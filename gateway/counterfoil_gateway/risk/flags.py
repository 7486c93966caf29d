"""Flags: what a policy makes of the facts, with reasons and what clears each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from counterfoil.answer import Clearing, Flag, FlagReason, Severity

from .disclosure import told_count, told_days, told_outstanding, told_percent
from .facts import Facts
from .policy import Ladder, Policy, met, met_below
from .windows import Day

MULTI_LENDER = "MULTI_LENDER"
RAPID_PROBING = "RAPID_PROBING"
REPAYMENT_IRREGULARITY = "REPAYMENT_IRREGULARITY"

FEWER_ACTIVE_LENDERS = "FEWER_ACTIVE_LENDERS"
WINDOW_PASSES = "WINDOW_PASSES"
OVERDUE_PAID = "OVERDUE_PAID"

APPLICATION_WINDOW_DAYS = 32
"""After so many days without a new application every application window is empty."""
REPAYMENT_WINDOW_MONTHS = 25
"""After so many months without news every repayment window is empty."""
WRITE_OFF_MONTHS = 24


@dataclass(frozen=True, slots=True)
class Told:
    """The indicators as they may be told, at one day."""

    active_lenders: int
    applications_7d: int
    applications_15d: int
    applications_1m: int
    worst_days_past_due: int
    irregular_months_12m: int
    written_off_24m: int
    paid_percent_3m: int | None


def tell(facts: Facts, policy: Policy, day: Day) -> Told:
    """The indicators on a day, with what others hold in bands."""
    own = _overdue(facts.own_unpaid_since, day)
    others = _overdue(facts.others_unpaid_since, day)
    return Told(
        active_lenders=told_count(facts.active_lenders, banded=policy.lender_counts_banded),
        applications_7d=facts.applications_since(day.days_back(7)),
        applications_15d=facts.applications_since(day.days_back(15)),
        applications_1m=facts.applications_since(day.months_back(1)),
        worst_days_past_due=told_days(own, others),
        irregular_months_12m=max(
            facts.own_payments.irregular_months_until(day.month),
            facts.others_payments.irregular_months_until(day.month),
        ),
        written_off_24m=facts.write_offs_since(day.months_back(WRITE_OFF_MONTHS)),
        paid_percent_3m=told_percent(
            facts.own_payments.paid_percent_before(day.month),
            facts.others_payments.paid_percent_before(day.month),
        ),
    )


def judge_flags(facts: Facts, told: Told, policy: Policy, today: Day) -> tuple[Flag, ...]:
    """Every flag that the policy raises, gravest first, then by code."""
    flags: list[Flag] = []
    lending = list(_multi_lender(facts, told, policy))
    if lending:
        flags.append(_flag(MULTI_LENDER, lending, Clearing(FEWER_ACTIVE_LENDERS)))
    probing = list(_rapid_probing(told, policy))
    if probing:
        clearing = Clearing(WINDOW_PASSES, _probing_clears(facts, policy, today))
        flags.append(_flag(RAPID_PROBING, probing, clearing))
    repayment = list(_repayment_irregularity(told, policy))
    if repayment:
        clearing = _repayment_clears(facts, repayment, policy, today)
        flags.append(_flag(REPAYMENT_IRREGULARITY, repayment, clearing))
    return tuple(sorted(flags, key=lambda flag: (-flag.severity, flag.code)))


def _multi_lender(facts: Facts, told: Told, policy: Policy) -> Iterator[FlagReason]:
    yield from _at_least("active_lenders", told.active_lenders, policy.active_lenders)
    # One lender's own customer is not joint, however much it owes.
    if facts.active_lenders < 2:
        return
    for band in told_outstanding(facts.own_outstanding, facts.others_outstanding):
        ladder = policy.joint_outstanding.get(band.currency, ())
        # Judged by the most that it may be, so that a band's width never hides a debt.
        found = met(ladder, band.high_minor - 1)
        if found is not None:
            severity, threshold = found
            yield FlagReason(
                code="JOINT_OUTSTANDING_AT_LEAST",
                indicator="joint_outstanding_minor",
                observed=band.low_minor,
                threshold=threshold,
                severity=severity,
            )


def _rapid_probing(told: Told, policy: Policy) -> Iterator[FlagReason]:
    yield from _at_least("applications_7d", told.applications_7d, policy.applications_7d)
    yield from _at_least("applications_15d", told.applications_15d, policy.applications_15d)
    yield from _at_least("applications_1m", told.applications_1m, policy.applications_1m)


def _repayment_irregularity(told: Told, policy: Policy) -> Iterator[FlagReason]:
    yield from _at_least("worst_days_past_due", told.worst_days_past_due, policy.days_past_due)
    yield from _at_least(
        "irregular_months_12m", told.irregular_months_12m, policy.irregular_months_12m
    )
    yield from _at_least("written_off_24m", told.written_off_24m, policy.written_off_24m)
    percent = told.paid_percent_3m
    found = None if percent is None else met_below(policy.paid_percent_3m_below, percent)
    if found is not None:
        severity, threshold = found
        yield FlagReason(
            code=REASON_CODES["paid_percent_3m"],
            indicator="paid_percent_3m",
            observed=percent or 0,
            threshold=threshold,
            severity=severity,
        )


REASON_CODES = {
    "active_lenders": "ACTIVE_LENDERS_AT_LEAST",
    "joint_outstanding_minor": "JOINT_OUTSTANDING_AT_LEAST",
    "applications_7d": "APPLICATIONS_7D_AT_LEAST",
    "applications_15d": "APPLICATIONS_15D_AT_LEAST",
    "applications_1m": "APPLICATIONS_1M_AT_LEAST",
    "worst_days_past_due": "DAYS_PAST_DUE_AT_LEAST",
    "irregular_months_12m": "IRREGULAR_MONTHS_AT_LEAST",
    "written_off_24m": "WRITTEN_OFF_AT_LEAST",
    "paid_percent_3m": "PAID_PERCENT_BELOW",
}
"""The reason code that each indicator gives."""


def _at_least(indicator: str, value: int, ladder: Ladder) -> Iterator[FlagReason]:
    found = met(ladder, value)
    if found is not None:
        severity, threshold = found
        yield FlagReason(REASON_CODES[indicator], indicator, value, threshold, severity)


def _flag(code: str, reasons: list[FlagReason], clearing: Clearing) -> Flag:
    severity = Severity(max(reason.severity for reason in reasons))
    return Flag(code, severity, tuple(reasons), clearing)


def _probing_clears(facts: Facts, policy: Policy, today: Day) -> int | None:
    """End of the week of the first day on which, nothing new happening, the flag is gone."""
    low, high = 1, APPLICATION_WINDOW_DAYS
    if _still_probing(facts, policy, today.plus(high)):
        return None
    while low < high:  # Windows only lose acts as days pass.
        middle = (low + high) // 2
        if _still_probing(facts, policy, today.plus(middle)):
            low = middle + 1
        else:
            high = middle
    return today.plus(low).week_end


def _still_probing(facts: Facts, policy: Policy, day: Day) -> bool:
    return bool(
        met(policy.applications_7d, facts.applications_since(day.days_back(7)))
        or met(policy.applications_15d, facts.applications_since(day.days_back(15)))
        or met(policy.applications_1m, facts.applications_since(day.months_back(1)))
    )


def _repayment_clears(
    facts: Facts, reasons: list[FlagReason], policy: Policy, today: Day
) -> Clearing:
    # What is unpaid stays unpaid until somebody pays: time alone does not clear it.
    unpaid = facts.own_unpaid_since is not None or facts.others_unpaid_since is not None
    if unpaid or any(reason.code == REASON_CODES["paid_percent_3m"] for reason in reasons):
        return Clearing(OVERDUE_PAID)
    for day in _days_of_change(facts, policy, today):
        if not any(_repayment_irregularity(tell(facts, policy, day), policy)):
            return Clearing(WINDOW_PASSES, day.week_end)
    return Clearing(WINDOW_PASSES)


def _days_of_change(facts: Facts, policy: Policy, today: Day) -> list[Day]:
    """The coming days on which a repayment indicator may stop meeting its ladder, in order.

    Months leave on the first of a month. Write-offs leave oldest first, so only one of them
    matters: the one without which they are too few.
    """
    days = set()
    year, month = today.date.year, today.date.month
    for _ in range(REPAYMENT_WINDOW_MONTHS):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        days.add(today.date.replace(year=year, month=month, day=1))
    enough = policy.written_off_24m[0][1] if policy.written_off_24m else None
    if enough is not None and len(facts.write_offs) >= enough:
        day = _first_without(facts.write_offs[-enough], today)
        if day is not None:
            days.add(day.date)
    return [Day(date, today.zone) for date in sorted(days)]


def _first_without(write_off: int, today: Day) -> Day | None:
    """The first day after today whose 24-month window no longer holds a write-off."""
    low, high = 1, 31 * REPAYMENT_WINDOW_MONTHS
    if write_off < today.months_back(WRITE_OFF_MONTHS):
        return None
    while low < high:  # The window's start only moves forward.
        middle = (low + high) // 2
        if write_off < today.plus(middle).months_back(WRITE_OFF_MONTHS):
            high = middle
        else:
            low = middle + 1
    return today.plus(low)


def _overdue(unpaid_since: int | None, day: Day) -> int:
    return 0 if unpaid_since is None else max(0, day.number - unpaid_since)
