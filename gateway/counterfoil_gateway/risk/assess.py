"""`assess`: one borrower's profile, judged by a policy at a time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from counterfoil.answer import (
    AmountBand,
    AnswerStatus,
    Coverage,
    Exclusion,
    ExclusionReason,
    Flag,
    Indicator,
)

from .disclosure import told_count, told_outstanding
from .facts import Facts, gather
from .flags import Told, judge_flags, tell
from .policy import Policy
from .profile import LenderRecord, Profile
from .windows import Day


@dataclass(frozen=True, slots=True)
class Assessment:
    """What an answer says, apart from its bindings. Nothing in it names a lender."""

    status: AnswerStatus
    active_lenders: int
    joint_outstanding: tuple[AmountBand, ...]
    indicators: tuple[Indicator, ...]
    flags: tuple[Flag, ...]
    coverage: Coverage


def assess(profile: Profile, policy: Policy, now: datetime) -> Assessment:
    """Judges a profile. `now` is aware; events later than it do not count."""
    today = Day.of(now, policy.day_zone)
    facts = gather(profile, int(now.timestamp()))
    told = tell(facts, policy, today)
    outstanding = told_outstanding(facts.own_outstanding, facts.others_outstanding)
    return Assessment(
        status=_status(profile, facts, policy),
        active_lenders=told.active_lenders,
        joint_outstanding=outstanding,
        indicators=tuple(_indicators(told, outstanding)),
        flags=judge_flags(facts, told, policy, today),
        coverage=_coverage(profile, facts, policy),
    )


def _status(profile: Profile, facts: Facts, policy: Policy) -> AnswerStatus:
    if not profile.counted_lender_count:
        return AnswerStatus.NO_COVERAGE
    if 100 * profile.fresh_count < policy.freshness.min_fresh_percent * profile.member_count:
        return AnswerStatus.STALE
    if facts.other_acts or any(_knows(record, profile) for record in profile.records):
        return AnswerStatus.ASSESSED
    return AnswerStatus.NO_RECORD


def _knows(record: LenderRecord, profile: Profile) -> bool:
    """Whether a record knows more than that the present application was made.

    The asker's own record of it may be published while the question is still on its way.
    """
    exposure, present = record.exposure, profile.present
    if record.lender != present.lender or exposure.facilities or exposure.payment_histories:
        return True
    references = {event.application_reference for event in exposure.events}
    return references != {present.application_reference}


def _indicators(told: Told, outstanding: tuple[AmountBand, ...]) -> Iterator[Indicator]:
    yield Indicator("active_lenders", told.active_lenders, "count")
    for band in outstanding:
        yield Indicator("joint_outstanding_minor", band.low_minor, band.currency)
    yield Indicator("applications_7d", told.applications_7d, "count")
    yield Indicator("applications_15d", told.applications_15d, "count")
    yield Indicator("applications_1m", told.applications_1m, "count")
    yield Indicator("worst_days_past_due", told.worst_days_past_due, "days")
    yield Indicator("irregular_months_12m", told.irregular_months_12m, "count")
    yield Indicator("written_off_24m", told.written_off_24m, "count")
    if told.paid_percent_3m is not None:
        yield Indicator("paid_percent_3m", told.paid_percent_3m, "percent")


def _coverage(profile: Profile, facts: Facts, policy: Policy) -> Coverage:
    touched: Counter[ExclusionReason] = Counter(profile.left_out)
    for record in profile.records:
        for mark in record.marks:
            touched[mark] += 1
    if facts.omitting_lenders:
        touched[ExclusionReason.EVENTS_OMITTED] = facts.omitting_lenders
    oldest = profile.oldest_complete_as_of
    week = (
        None
        if oldest is None
        else Day.of(datetime.fromtimestamp(oldest, UTC), policy.day_zone).week_end
    )
    percent = 100 * profile.fresh_count // profile.member_count if profile.member_count else 0
    banded = policy.lender_counts_banded
    return Coverage(
        member_count=told_count(profile.member_count, banded=banded),
        fresh_percent=percent // 10 * 10,
        oldest_complete_week=week,
        exclusions=tuple(
            Exclusion(reason, told_count(count, banded=banded))
            for reason, count in sorted(touched.items())
            if count
        ),
    )
