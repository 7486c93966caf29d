"""Identifiers of borrowers: cleaned and checked, so that one borrower gives one input to the OPRF.

Schemes: `cn-resident-id` (GB 11643), `cn-uscc` (GB 32100) and `passport` (ICAO Doc 9303). The value
is personal: it is in no error, repr or exception chain of this module, and leaves the node only
blinded.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, field

from . import countries
from .errors import InvalidInput, Reason

CN_RESIDENT_ID = "cn-resident-id"
CN_USCC = "cn-uscc"
PASSPORT = "passport"

MAX_RAW_CHARACTERS = 64
"""Of a value as written, with its separators."""

_SEPARATORS = re.compile(r"[\s\-]+")

_RESIDENT_ID = re.compile(r"[0-9]{17}[0-9X]")
_OLD_RESIDENT_ID = re.compile(r"[0-9]{15}")
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_CHECK = "10X98765432"
_BIRTH_CENTURIES = frozenset({"18", "19", "20"})

_MAINLAND = frozenset(
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 "
    "50 51 52 53 54 61 62 63 64 65".split()
)
# 71, 81 and 82 by GB/T 2260; 83 is on the residence permits of residents from Taiwan, and 91 was
# given to persons from abroad.
_PROVINCES = _MAINLAND | {"71", "81", "82", "83", "91"}

_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
# Registering authority and category, six digits of region, nine of organisation, check character.
_USCC = re.compile(rf"[{_USCC_ALPHABET}]{{2}}[0-9]{{6}}[{_USCC_ALPHABET}]{{10}}")
_USCC_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))

_PASSPORT = re.compile(r"[0-9A-Z]{5,15}")


@dataclass(frozen=True, slots=True)
class Identifier:
    """A borrower's identifier in its one normal form; made by `parse`."""

    scheme: str
    value: str = field(repr=False)
    """Normal form: 18 characters, or `CHN:E12345678` for a passport."""
    country: str = field(default="", repr=False)
    """Issuing country of a passport, ISO 3166-1 alpha-3; else empty."""

    def __post_init__(self) -> None:
        if _normalised(self.scheme, self.value, self.country) != (self.value, self.country):
            raise _invalid("an identifier is not in its normal form")

    @classmethod
    def parse(cls, scheme: str, value: str, country: str = "") -> Identifier:
        """An identifier as a person or a loan system writes it; its normal form parses to itself.

        Full-width characters, spaces, hyphens and lower case do not matter. `country` is the
        issuing country of a passport (ISO 3166-1 alpha-2 or alpha-3); for the Chinese schemes it
        is empty or China.

        Raises InvalidInput: IDENTIFIER_SCHEME_UNKNOWN, IDENTIFIER_CHECK_DIGIT (well-formed but
        mistyped), IDENTIFIER_INVALID otherwise; `field` is `scheme`, `value` or `country`.
        """
        normal_value, normal_country = _normalised(scheme, value, country)
        return cls(scheme, normal_value, normal_country)

    def oprf_input(self) -> bytes:
        """What the token is computed from: scheme || 0x00 || normalised value."""
        return self.scheme.encode("ascii") + b"\x00" + self.value.encode("ascii")


def _normalised(scheme: str, value: str, country: str) -> tuple[str, str]:
    normalise = _SCHEMES.get(scheme) if isinstance(scheme, str) else None
    if normalise is None:
        # The scheme is not repeated: in a tape with shifted columns it is someone's number.
        raise InvalidInput(
            Reason.IDENTIFIER_SCHEME_UNKNOWN,
            f"an identifier's scheme is one of {', '.join(_SCHEMES)}",
            field="scheme",
        )
    return normalise(_cleaned(value, "value"), _cleaned(country, "country"))


def _cleaned(text: str, name: str) -> str:
    """Upper-case ASCII without separators."""
    if not isinstance(text, str) or len(text) > MAX_RAW_CHARACTERS:
        raise _invalid(f"text of at most {MAX_RAW_CHARACTERS} characters is needed", name)
    narrow = unicodedata.normalize("NFKC", text)
    if not narrow.isascii():
        raise _invalid("a character is neither a letter from A to Z nor a digit", name)
    return _SEPARATORS.sub("", narrow).upper()


def _resident_id(value: str, country: str) -> tuple[str, str]:
    _check_chinese(country)
    if _OLD_RESIDENT_ID.fullmatch(value):
        # The form before 1999: no century and no check character.
        value = value[:6] + "19" + value[6:]
        value += _resident_check(value)
    elif not _RESIDENT_ID.fullmatch(value):
        raise _invalid("a resident ID has 17 digits and a check character, or 15 digits")
    elif value[17] != _resident_check(value[:17]):
        raise _check_digit("a resident ID's check character does not fit its digits")
    # Foreign permanent residents have 9, the province, and the nationality's three digits.
    if value[:2] not in _PROVINCES and not (value[0] == "9" and value[1:3] in _MAINLAND):
        raise _invalid("a resident ID does not start with a province's code")
    if not _is_birth_date(value[6:14]):
        raise _invalid("a resident ID holds no possible date of birth")
    return value, ""


def _resident_check(digits: str) -> str:
    """ISO 7064 MOD 11-2 over 17 digits."""
    total = sum(int(d) * weight for d, weight in zip(digits, _RESIDENT_WEIGHTS, strict=True))
    return _RESIDENT_CHECK[total % 11]


def _is_birth_date(digits: str) -> bool:
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:])
    return (
        digits[:2] in _BIRTH_CENTURIES
        and 1 <= month <= 12
        and 1 <= day <= monthrange(year, month)[1]
    )


def _uscc(value: str, country: str) -> tuple[str, str]:
    _check_chinese(country)
    if not _USCC.fullmatch(value):
        raise _invalid("a unified social credit code has 18 characters, none of them I, O, S, V, Z")
    total = sum(
        _USCC_ALPHABET.index(character) * weight
        for character, weight in zip(value[:17], _USCC_WEIGHTS, strict=True)
    )
    if value[17] != _USCC_ALPHABET[-total % 31]:
        raise _check_digit("a unified social credit code's check character does not fit")
    return value, ""


def _passport(value: str, country: str) -> tuple[str, str]:
    # The normal form carries its country: `CHN:E12345678`.
    stated, colon, number = value.rpartition(":")
    issuer = countries.alpha3(country or stated)
    if issuer is None:
        raise _invalid("a passport needs its issuing country by ISO 3166-1", "country")
    if colon and countries.alpha3(stated) != issuer:
        raise _invalid("a passport names another country than was given", "country")
    if not _PASSPORT.fullmatch(number):
        raise _invalid("a passport number has 5 to 15 letters and digits")
    return f"{issuer}:{number}", issuer


def _check_chinese(country: str) -> None:
    if country and countries.alpha3(country) != "CHN":
        raise _invalid("a Chinese identifier has no other issuing country", "country")


def _invalid(message: str, name: str = "value") -> InvalidInput:
    return InvalidInput(Reason.IDENTIFIER_INVALID, message, field=name)


def _check_digit(message: str) -> InvalidInput:
    return InvalidInput(Reason.IDENTIFIER_CHECK_DIGIT, message, field="value")


_SCHEMES: dict[str, Callable[[str, str], tuple[str, str]]] = {
    CN_RESIDENT_ID: _resident_id,
    CN_USCC: _uscc,
    PASSPORT: _passport,
}
