"""Counting: from a profile to plain facts, exact and not yet told to anyone."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from counterfoil.exposure import NO_REFERENCE, EventKind, PaymentHistory, PaymentStatus, Role

from .profile import Profile

LIABLE = (Role.SOLE, Role.JOINT)
"""Roles in which the borrower owes; a guarantor's debt is contingent."""

PAID_MONTHS = 3
IRREGULAR_MONTHS = 12


class Payments:
    """How the months went, at the asker alone or at all others together.

    The two are never added up before they are told: whoever can vary its own figures could else
    read the others' out of the sum.
    """

    def __init__(self) -> None:
        self._irregular: set[int] = set()
        self._due_and_paid: dict[tuple[str, int], tuple[int, int]] = {}

    def add(self, history: PaymentHistory) -> None:
        """Takes one lender's months in one currency in."""
        for back, status in enumerate(history.statuses):
            month = history.latest_month - back
            if status >= PaymentStatus.PAST_DUE_1:
                self._irregular.add(month)
            fell_due, was_paid = history.due_minor[back], history.paid_minor[back]
            if fell_due or was_paid:
                due, paid = self._due_and_paid.get((history.currency, month), (0, 0))
                self._due_and_paid[(history.currency, month)] = (due + fell_due, paid + was_paid)

    def irregular_months_until(self, month: int) -> int:
        """Irregular months among a month and the 11 before it."""
        return sum(month - IRREGULAR_MONTHS < m <= month for m in self._irregular)

    def paid_percent_before(self, month: int) -> int | None:
        """Paid of due over the 3 complete months before a month, of the worst currency.

        Rounded down to a multiple of 10, at most 100; None when nothing was due.
        """
        due: defaultdict[str, int] = defaultdict(int)
        paid: defaultdict[str, int] = defaultdict(int)
        for (currency, at), (fell_due, was_paid) in self._due_and_paid.items():
            if month - PAID_MONTHS <= at < month:
                due[currency] += fell_due
                paid[currency] += was_paid
        percents = [min(100 * paid[c] // due[c], 100) for c in due if due[c]]
        return min(percents) // 10 * 10 if percents else None


@dataclass(frozen=True, slots=True)
class Facts:
    """Counted facts of one borrower. Amounts in minor units, times in seconds."""

    active_lenders: int
    own_outstanding: Mapping[str, int]
    others_outstanding: Mapping[str, int]
    """By currency; every currency of a facility of others is there, even when nothing is owed."""
    acts: tuple[int, ...]
    """Earliest known time of each application act, ascending, none later than now."""
    other_acts: bool
    """Whether there is an act besides the present inquiry's."""
    own_unpaid_since: int | None
    others_unpaid_since: int | None
    """Due day (days since 1970) of the oldest unpaid payment."""
    own_payments: Payments
    others_payments: Payments
    write_offs: tuple[int, ...]
    """Ascending, none later than now."""
    omitting_lenders: int
    """Lenders whose records omit events because of the cap."""

    def applications_since(self, start: int) -> int:
        """Acts from a time on."""
        return len(self.acts) - bisect_left(self.acts, start)

    def write_offs_since(self, start: int) -> int:
        """Write-offs from a time on."""
        return len(self.write_offs) - bisect_left(self.write_offs, start)


def gather(profile: Profile, now: int) -> Facts:
    """Counts everything that the indicators are made of."""
    active: set[str] = set()
    own: defaultdict[str, int] = defaultdict(int)
    others: defaultdict[str, int] = defaultdict(int)
    acts: dict[tuple[str, bytes], int] = {}
    nameless: list[int] = []
    own_unpaid: list[int] = []
    others_unpaid: list[int] = []
    own_payments, others_payments = Payments(), Payments()
    write_offs: list[int] = []
    omitting = 0
    for record in profile.records:
        lender, exposure = record.lender, record.exposure
        mine = lender == profile.asker
        omitting += exposure.omitted_count > 0
        for facility in exposure.facilities:
            if facility.role not in LIABLE:
                continue
            active.add(lender)
            (own if mine else others)[facility.currency] += facility.outstanding_minor
            if facility.oldest_unpaid_due_day is not None:
                (own_unpaid if mine else others_unpaid).append(facility.oldest_unpaid_due_day)
        for event in exposure.events:
            if event.time > now:
                continue
            if event.kind is EventKind.APPLIED:
                if event.application_reference == NO_REFERENCE:
                    nameless.append(event.time)
                else:
                    _earliest(acts, (lender, event.application_reference), event.time)
            elif event.kind is EventKind.WRITTEN_OFF:
                write_offs.append(event.time)
        for history in exposure.payment_histories:
            (own_payments if mine else others_payments).add(history)
    for inquiry in profile.inquiries:
        if inquiry.credit_seeking and inquiry.time <= now:
            _earliest(acts, (inquiry.lender, inquiry.application_reference), inquiry.time)
    present = (profile.present.lender, profile.present.application_reference)
    other_acts = bool(nameless) or any(act != present for act in acts)
    if profile.present.credit_seeking:
        _earliest(acts, present, profile.present.time)
    return Facts(
        active_lenders=len(active),
        own_outstanding=own,
        others_outstanding=others,
        acts=tuple(sorted([*acts.values(), *nameless])),
        other_acts=other_acts,
        own_unpaid_since=min(own_unpaid, default=None),
        others_unpaid_since=min(others_unpaid, default=None),
        own_payments=own_payments,
        others_payments=others_payments,
        write_offs=tuple(sorted(write_offs)),
        omitting_lenders=omitting,
    )


def _earliest(acts: dict[tuple[str, bytes], int], act: tuple[str, bytes], time: int) -> None:
    known = acts.get(act)
    if known is None or time < known:
        acts[act] = time
