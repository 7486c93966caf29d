"""Money: ISO 4217 currencies, amounts in minor units, and the fixed grid of amount bands.

An amount is an int in minor units (cents, fen) and never negative. The grid is the 1-2-5 series in
minor units, the same for every currency and for ever: band 0 is [0, 1), band 1 is [1, 2), band 2
is [2, 5), band 3 is [5, 10), ... What others hold is put into these bands before it is told.
"""

from __future__ import annotations

from bisect import bisect_right

from .errors import InvalidInput, Reason

MAX_AMOUNT_MINOR = 10**15
"""The largest amount that a field may hold, in minor units."""

_EDGES: tuple[int, ...] = (0, *(m * 10**e for e in range(19) for m in (1, 2, 5)))
BAND_COUNT = len(_EDGES) - 1

# ISO 4217, active currencies by the number of digits after the decimal separator.
_MINOR_DIGITS: dict[str, int] = {
    **dict.fromkeys(
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD"
        " CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP"
        " GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD"
        " LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB"
        " PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC"
        " SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW"
        " ZWG".split(),
        2,
    ),
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
}


def check_currency(code: str, field: str = "currency") -> str:
    """Returns `code` if it is an active ISO 4217 code; else raises CURRENCY_UNKNOWN."""
    if code not in _MINOR_DIGITS:
        raise InvalidInput(
            Reason.CURRENCY_UNKNOWN, "not an active ISO 4217 currency code", field=field
        )
    return code


def minor_digits(code: str) -> int:
    """Digits after the decimal separator of a currency: 2 for CNY, 0 for JPY."""
    return _MINOR_DIGITS[check_currency(code)]


def check_amount(amount_minor: int, field: str) -> int:
    """Returns an amount in minor units within [0, MAX_AMOUNT_MINOR]; else raises."""
    if amount_minor < 0:
        raise InvalidInput(Reason.AMOUNT_NEGATIVE, "an amount is never negative", field=field)
    if amount_minor > MAX_AMOUNT_MINOR:
        raise InvalidInput(
            Reason.AMOUNT_TOO_LARGE, f"more than {MAX_AMOUNT_MINOR} minor units", field=field
        )
    return amount_minor


def check_band(band: int, field: str) -> int:
    """Returns an index into the grid of amount bands; else raises FIELD_INVALID."""
    if not 0 <= band < BAND_COUNT:
        raise InvalidInput(Reason.FIELD_INVALID, "not in the grid of amount bands", field=field)
    return band


def band_of(amount_minor: int) -> int:
    """The band that holds an amount. Amounts past the grid fall into its last band."""
    if amount_minor < 0:
        raise InvalidInput(Reason.AMOUNT_NEGATIVE, "an amount is never negative")
    return min(bisect_right(_EDGES, amount_minor) - 1, BAND_COUNT - 1)


def band_low(band: int) -> int:
    """The lowest amount in a band, minor units."""
    return _EDGES[check_band(band, "band")]


def band_high(band: int) -> int:
    """The lowest amount above a band, minor units."""
    return _EDGES[check_band(band, "band") + 1]
