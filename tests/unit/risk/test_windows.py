"""Days, months and weeks in the policy's zone."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from counterfoil_gateway.risk.windows import Day

SHANGHAI = ZoneInfo("Asia/Shanghai")
BERLIN = ZoneInfo("Europe/Berlin")


def seconds(zone: ZoneInfo, year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=zone).timestamp())


def test_the_day_is_the_zones() -> None:
    moment = datetime(2026, 11, 24, 17, 30, tzinfo=ZoneInfo("UTC"))
    assert Day.of(moment, SHANGHAI).date == date(2026, 11, 25)
    assert Day.of(moment, BERLIN).date == date(2026, 11, 24)


def test_a_window_of_days_is_today_and_the_days_before() -> None:
    day = Day(date(2026, 11, 24), SHANGHAI)
    assert day.days_back(1) == day.start == seconds(SHANGHAI, 2026, 11, 24)
    assert day.days_back(7) == seconds(SHANGHAI, 2026, 11, 18)


def test_days_are_calendar_days_where_clocks_change() -> None:
    """25 October 2026 has 25 hours in Berlin."""
    day = Day(date(2026, 10, 26), BERLIN)
    assert day.days_back(2) == seconds(BERLIN, 2026, 10, 25)
    assert day.start - day.days_back(2) == 25 * 3_600


@pytest.mark.parametrize(
    ("today", "months", "start"),
    [
        ((2026, 11, 24), 1, (2026, 10, 25)),
        ((2026, 3, 31), 1, (2026, 3, 1)),
        ((2028, 3, 31), 1, (2028, 3, 1)),
        ((2028, 3, 29), 1, (2028, 3, 1)),
        ((2028, 2, 29), 12, (2027, 3, 1)),
        ((2026, 1, 15), 1, (2025, 12, 16)),
        ((2026, 12, 31), 24, (2025, 1, 1)),
        ((2026, 5, 31), 1, (2026, 5, 1)),
    ],
)
def test_a_window_of_months_starts_the_day_after_the_same_day(
    today: tuple[int, int, int], months: int, start: tuple[int, int, int]
) -> None:
    assert Day(date(*today), SHANGHAI).months_back(months) == seconds(SHANGHAI, *start)


@pytest.mark.parametrize(("today", "end"), [((2026, 11, 23), 30), ((2026, 11, 29), 30)])
def test_a_week_ends_at_the_monday_after(today: tuple[int, int, int], end: int) -> None:
    assert Day(date(*today), SHANGHAI).week_end == seconds(SHANGHAI, 2026, 11, end)


def test_months_are_counted_from_january_1970() -> None:
    assert Day(date(1970, 1, 31), SHANGHAI).month == 0
    assert Day(date(2026, 11, 1), SHANGHAI).month == 682
    assert Day(date(1970, 1, 2), SHANGHAI).number == 1
