"""Currencies, amounts and the grid of bands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil import amounts
from counterfoil.errors import InvalidInput, Reason


@given(st.integers(0, amounts.MAX_AMOUNT_MINOR))
def test_every_amount_lies_in_its_band(amount: int) -> None:
    band = amounts.band_of(amount)
    assert amounts.band_low(band) <= amount < amounts.band_high(band)


def test_the_grid_is_the_1_2_5_series_without_gaps() -> None:
    lows = [amounts.band_low(band) for band in range(9)]
    assert lows == [0, 1, 2, 5, 10, 20, 50, 100, 200]
    for band in range(amounts.BAND_COUNT - 1):
        assert amounts.band_high(band) == amounts.band_low(band + 1)


def test_amounts_past_the_grid_fall_into_its_last_band() -> None:
    assert amounts.band_of(10**30) == amounts.BAND_COUNT - 1


@pytest.mark.parametrize(("code", "digits"), [("CNY", 2), ("USD", 2), ("JPY", 0), ("KWD", 3)])
def test_minor_digits_are_those_of_iso_4217(code: str, digits: int) -> None:
    assert amounts.minor_digits(code) == digits


@pytest.mark.parametrize("code", ["", "cny", "XXX", "DEM", "RMB", "US"])
def test_unknown_currencies_are_refused(code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        amounts.check_currency(code)
    assert refused.value.reason is Reason.CURRENCY_UNKNOWN


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (-1, Reason.AMOUNT_NEGATIVE),
        (amounts.MAX_AMOUNT_MINOR + 1, Reason.AMOUNT_TOO_LARGE),
    ],
)
def test_amounts_out_of_range_are_refused(amount: int, reason: Reason) -> None:
    with pytest.raises(InvalidInput) as refused:
        amounts.check_amount(amount, "limit_minor")
    assert refused.value.reason is reason
    assert refused.value.field == "limit_minor"


def test_a_band_out_of_the_grid_is_refused() -> None:
    for band in (-1, amounts.BAND_COUNT):
        with pytest.raises(InvalidInput):
            amounts.band_low(band)
    with pytest.raises(InvalidInput):
        amounts.band_of(-1)
