"""What may be told of others: everything about them is put into bands here and nowhere else."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

from counterfoil.amounts import band_high, band_low, band_of
from counterfoil.answer import AmountBand

COUNT_STEPS = (0, 1, 2, 3, 5, 10, 20)
"""Counts of lenders and members where policy bands them."""

DAYS_STEPS = (0, 1, 7, 15, 30, 60, 90, 120)
"""Others' days past due."""


def lower_edge(steps: tuple[int, ...], value: int) -> int:
    """The lower edge of the step that a value lies in."""
    return steps[bisect_right(steps, value) - 1]


def told_count(count: int, *, banded: bool) -> int:
    """A count of lenders as it is told."""
    return lower_edge(COUNT_STEPS, count) if banded else count


def told_days(own: int, others: int) -> int:
    """Worst days past due as told: the asker's own exactly, others' by their step."""
    return max(own, lower_edge(DAYS_STEPS, others))


def told_percent(own: int | None, others: int | None) -> int | None:
    """The worse of the asker's own percentage and all others' together; never one of the sum."""
    return min((percent for percent in (own, others) if percent is not None), default=None)


def told_outstanding(own: Mapping[str, int], others: Mapping[str, int]) -> tuple[AmountBand, ...]:
    """What is owed jointly, by currency: the band of others' sum plus the asker's own figure.

    The sum is banded, not its parts, so that no lender's figure can be subtracted out of it.
    """
    bands = []
    for currency in sorted({*own, *others}):
        band = band_of(others.get(currency, 0))
        mine = own.get(currency, 0)
        bands.append(AmountBand(currency, mine + band_low(band), mine + band_high(band)))
    return tuple(bands)
