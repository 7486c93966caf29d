"""Synthetic identifiers, valid by their check digits, and the untidy ways of writing them.

None is taken from a person: regions and dates are drawn, numbers are made up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from random import Random

RESIDENT_ID = "cn-resident-id"
PASSPORT = "passport"
USCC = "cn-uscc"

SHARES = {RESIDENT_ID: 0.90, PASSPORT: 0.08, USCC: 0.02}
"""How often each scheme is drawn."""

_REGIONS = "110105 310115 320505 330106 370202 420106 440305 500103 510104 610113".split()
_COUNTRIES = {"USA": "US", "GBR": "GB", "JPN": "JP", "KOR": "KR", "VNM": "VN", "DEU": "DE"}
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_FULL_WIDTH = {ord("0") + i: ord("\uff10") + i for i in range(10)} | {
    ord("A") + i: ord("\uff21") + i for i in range(26)
}


@dataclass(frozen=True, slots=True)
class Identity:
    """One borrower's identifier in its normal form."""

    scheme: str
    value: str
    """18 characters, or the bare number of a passport."""
    country: str = ""
    """Issuing country of a passport, alpha-3; else empty."""

    @property
    def normal_form(self) -> str:
        """As the OPRF's input has it: a passport carries its country."""
        return f"{self.country}:{self.value}" if self.country else self.value

    def __repr__(self) -> str:
        return f"Identity({self.scheme})"


class Registry:
    """Draws identities, no two the same."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._given: set[str] = set()

    def draw(self) -> Identity:
        """A new identity."""
        schemes, weights = list(SHARES), list(SHARES.values())
        makers = {RESIDENT_ID: self._resident, PASSPORT: self._passport, USCC: self._company}
        while True:
            identity = makers[self._rng.choices(schemes, weights)[0]]()
            # The old form drops century and check digit: it must be nobody else's either.
            known = {identity.normal_form, identity.normal_form[:6] + identity.normal_form[8:17]}
            if not known & self._given:
                self._given |= known
                return identity

    def _resident(self) -> Identity:
        born = date(1958, 1, 1) + timedelta(days=self._rng.randrange(46 * 365))
        digits = f"{self._rng.choice(_REGIONS)}{born:%Y%m%d}{self._rng.randrange(1, 1000):03d}"
        return Identity(RESIDENT_ID, digits + resident_check(digits))

    def _passport(self) -> Identity:
        letter = self._rng.choice("CEGKMPT")
        number = f"{letter}{self._rng.randrange(10**8):08d}"
        return Identity(PASSPORT, number, self._rng.choice(list(_COUNTRIES)))

    def _company(self) -> Identity:
        organisation = "".join(self._rng.choices(_USCC_ALPHABET, k=9))
        body = f"91{self._rng.choice(_REGIONS)}{organisation}"
        return Identity(USCC, body + uscc_check(body))


def resident_check(digits: str) -> str:
    """GB 11643: ISO 7064 MOD 11-2 over 17 digits."""
    return _CHECKS[sum(int(d) * w for d, w in zip(digits, _WEIGHTS, strict=True)) % 11]


def uscc_check(body: str) -> str:
    """GB 32100 over 17 characters."""
    total = sum(_USCC_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return _USCC_ALPHABET[-total % 31]


def spellings(identity: Identity) -> tuple[str, ...]:
    """Every way in which a lender of the demo may write an identifier; the normal value first."""
    value = identity.value
    groups = (0, 6, 10, 14, 18) if len(value) == 18 else (0, 3, 6, 9)
    parts = [value[a:b] for a, b in pairwise(groups)]
    ways = [
        value,
        " ".join(parts),
        "-".join(parts),
        value.lower(),
        value.translate(_FULL_WIDTH),
        f" {' '.join(parts).lower()} ",
    ]
    if identity.scheme == RESIDENT_ID and value[6:8] == "19":
        ways.append(value[:6] + value[8:17])
    return tuple(dict.fromkeys(ways))


def untidy(identity: Identity, rng: Random) -> tuple[str, str]:
    """One spelling of the value, and one of the country."""
    ways = spellings(identity)
    value = ways[0] if rng.random() < 0.5 else rng.choice(ways)
    country = identity.country
    if country and rng.random() < 0.5:
        country = _COUNTRIES[country]
    return value, country
