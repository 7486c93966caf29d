"""Payment histories: how each month of an account went."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date
from random import Random

from .truth import History

MONTHS = 24
"""As many as a loan tape may tell."""

_STEPS = ((120, "5"), (90, "4"), (60, "3"), (30, "2"), (1, "1"))
"""Least days past due of each status."""


@dataclass(frozen=True, slots=True)
class PastDue:
    """An account that is overdue."""

    since: date
    """The day on which the oldest unpaid payment was due."""
    share_paid: float
    """Of each instalment since then."""


def month_number(day: date) -> int:
    """Months since January 1970."""
    return (day.year - 1970) * 12 + day.month - 1


def last_day(month: int) -> date:
    """The last day of a month."""
    year, index = divmod(month, 12)
    return date(1970 + year, index + 1, monthrange(1970 + year, index + 1)[1])


def status_of(days_past_due: int) -> str:
    """The tape's character for so many days."""
    return next((letter for least, letter in _STEPS if days_past_due >= least), "0")


def history(
    *,
    opened: date,
    today: date,
    newest: int,
    instalment_minor: int,
    late: PastDue | None,
    slips: int,
    rng: Random,
) -> History | None:
    """An open account's months up to `newest`; None for one that has no month to tell of."""
    oldest = max(month_number(opened) + 1, newest - MONTHS + 1)
    months = range(newest, oldest - 1, -1)
    if not months:
        return None
    since = month_number(late.since) if late else newest + 1
    good = [month for month in months if month < since]
    slipped = set(rng.sample(good, min(slips, len(good))))
    statuses, due, paid = [], [], []
    for month in months:
        status, share = "0", 1.0
        if late and month >= since:
            status = status_of((min(last_day(month), today) - late.since).days)
            share = late.share_paid
        elif month in slipped:
            status, share = rng.choice("1122"), rng.choice((0.0, 0.5, 0.9))
        elif month - 1 in slipped:
            # What was missing is paid on top, some time later.
            share = rng.choice((1.0, 1.5, 2.0))
        statuses.append(status)
        due.append(instalment_minor)
        paid.append(round(instalment_minor * share))
    return History(newest, "".join(statuses), tuple(due), tuple(paid))


def ended_history(
    *, ended: date, today: date, instalment_minor: int, written_off: bool
) -> History | None:
    """An ended account's last months; None when it ended before what is still told."""
    newest = month_number(ended)
    if newest < month_number(today) - MONTHS + 1:
        return None
    if not written_off:
        count = 6
        return History(
            newest, "0" * count, (instalment_minor,) * count, (instalment_minor,) * count
        )
    statuses = "W5432100"
    return History(
        newest,
        statuses,
        (instalment_minor,) * len(statuses),
        tuple(0 if letter in "W5432" else instalment_minor for letter in statuses),
    )
