"""Days, months and instants, as tapes and records count them."""

from __future__ import annotations

import calendar as _calendar
import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from counterfoil.errors import InvalidInput, Reason

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MONTH = re.compile(r"(\d{4})-(\d{2})")


def parse_day(text: str, field: str) -> int:
    """An ISO 8601 date as days since 1970-01-01."""
    if not _DATE.fullmatch(text):
        raise InvalidInput(Reason.FIELD_INVALID, "not a date YYYY-MM-DD", field=field)
    try:
        day = date.fromisoformat(text).toordinal() - _EPOCH_ORDINAL
    except ValueError:
        raise InvalidInput(Reason.FIELD_INVALID, "not a day of the calendar", field=field) from None
    if day < 0:
        raise InvalidInput(Reason.FIELD_INVALID, "before 1970", field=field)
    return day


def parse_month(text: str, field: str) -> int:
    """A month YYYY-MM as months since January 1970."""
    match = _MONTH.fullmatch(text)
    if not match or not 1 <= int(match[2]) <= 12 or int(match[1]) < 1970:
        raise InvalidInput(Reason.FIELD_INVALID, "not a month YYYY-MM", field=field)
    return (int(match[1]) - 1970) * 12 + int(match[2]) - 1


def parse_instant(text: str, zone: str, field: str) -> int:
    """An ISO 8601 time with offset or Z, or a bare date (midnight in `zone`), as seconds."""
    try:
        if _DATE.fullmatch(text):
            moment = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(Reason.FIELD_INVALID, "not an ISO 8601 time", field=field) from None
    if moment.tzinfo is None:
        raise InvalidInput(Reason.FIELD_INVALID, "a time needs its offset (or Z)", field=field)
    try:
        return int(moment.timestamp() // 1)
    except (OverflowError, ValueError):
        raise InvalidInput(Reason.FIELD_INVALID, "out of range", field=field) from None


def month_of(seconds: int, zone: str = "UTC") -> int:
    """The month that an instant falls into, as months since January 1970."""
    moment = datetime.fromtimestamp(seconds, ZoneInfo(zone))
    return (moment.year - 1970) * 12 + moment.month - 1


def months_before(seconds: int, months: int) -> int:
    """The instant `months` calendar months earlier (UTC; clamped to the month's last day)."""
    moment = datetime.fromtimestamp(seconds, UTC)
    index = moment.year * 12 + moment.month - 1 - months
    year, month = divmod(index, 12)
    last = _calendar.monthrange(year, month + 1)[1]
    return int(moment.replace(year=year, month=month + 1, day=min(moment.day, last)).timestamp())
