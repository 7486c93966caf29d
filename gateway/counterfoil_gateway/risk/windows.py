"""Days, months and windows in the policy's day zone. Times are seconds since 1970."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_EPOCH = date(1970, 1, 1)

MIDNIGHTS_KEPT = 4_096
"""Days whose midnight is remembered: every answer of a day asks for the same few hundred."""


@dataclass(frozen=True, slots=True)
class Day:
    """One calendar day in the policy's zone, from which windows look back."""

    date: date
    zone: ZoneInfo

    @classmethod
    def of(cls, now: datetime, zone: ZoneInfo) -> Day:
        """The day that a moment falls on."""
        return cls(now.astimezone(zone).date(), zone)

    @property
    def number(self) -> int:
        """Days since 1970-01-01."""
        return (self.date - _EPOCH).days

    @property
    def month(self) -> int:
        """Months since January 1970."""
        return (self.date.year - 1970) * 12 + self.date.month - 1

    @property
    def start(self) -> int:
        """Its local midnight."""
        return midnight(self.date, self.zone)

    def plus(self, days: int) -> Day:
        """The day so many days later."""
        return Day(self.date + timedelta(days=days), self.zone)

    def days_back(self, count: int) -> int:
        """Start of the window of `count` days: this day and the ones before it."""
        return midnight(self.date - timedelta(days=count - 1), self.zone)

    def months_back(self, count: int) -> int:
        """Start of the window of `count` months: the day after the same day so many months ago.

        A day that the earlier month does not have is its last: one month back from 31 March is 28
        (or 29) February, so the window starts on 1 March.
        """
        months = self.date.year * 12 + self.date.month - 1 - count
        year, month = divmod(months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        same = date(year, month + 1, min(self.date.day, last))
        return midnight(same + timedelta(days=1), self.zone)

    @property
    def week_end(self) -> int:
        """End of the ISO week that the day lies in: midnight of the Monday after."""
        return midnight(self.date + timedelta(days=7 - self.date.weekday()), self.zone)


@lru_cache(maxsize=MIDNIGHTS_KEPT)
def midnight(day: date, zone: ZoneInfo) -> int:
    """Local midnight of a day, in seconds."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
