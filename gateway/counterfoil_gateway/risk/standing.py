"""Whether a lender's records count: the one place where fresh, stale and suspended are decided."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from counterfoil.answer import ExclusionReason
from counterfoil.membership import MemberState

from .policy import Policy

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600


@dataclass(frozen=True, slots=True)
class LenderStanding:
    """Where a lender stands. Times are in seconds; None: never."""

    lender: str
    state: MemberState
    suspended_since: int | None
    last_as_of: int | None
    complete_as_of: int | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether records count, and why they are marked or left out."""

    fresh: bool
    counted: bool
    mark: ExclusionReason | None


FRESH = Judgement(fresh=True, counted=True, mark=None)


def judge(standing: LenderStanding, policy: Policy, now: datetime) -> Judgement:
    """Judges one lender. A lender that never published anything is neither fresh nor counted."""
    terms = policy.freshness
    at = now.timestamp()
    if standing.state is MemberState.SUSPENDED:
        since = standing.suspended_since or 0
        if at - since <= terms.suspended_counted_days * DAY_SECONDS:
            return Judgement(False, True, ExclusionReason.SUSPENDED_COUNTED)
        return Judgement(False, False, ExclusionReason.SUSPENDED_LENDER)
    if standing.state is not MemberState.ACTIVE:
        return Judgement(False, False, None)
    complete = standing.complete_as_of
    if complete is not None and at - complete <= terms.fresh_hours * HOUR_SECONDS:
        return FRESH
    # A lender that never declared completeness is judged by what it sent last, but never fresh.
    known = complete if complete is not None else standing.last_as_of
    if known is None:
        return Judgement(False, False, None)
    if at - known <= terms.counted_days * DAY_SECONDS:
        return Judgement(False, True, ExclusionReason.STALE_COUNTED)
    return Judgement(False, False, ExclusionReason.STALE_LENDER)
