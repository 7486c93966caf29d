"""A risk policy: a versioned, hashed set of thresholds and terms, read from TOML.

docs/protocol/policy.md defines every term. Unknown keys are refused, so that a typing error never
silently switches a threshold off.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from counterfoil.amounts import MAX_AMOUNT_MINOR, check_currency
from counterfoil.answer import Severity
from counterfoil.errors import InvalidInput, Reason
from counterfoil.fields import check_zone

Ladder = tuple[tuple[Severity, int], ...]
"""Thresholds by severity, mildest first."""

NEVER: Ladder = ()

MAX_VERSION_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whose records count."""

    fresh_hours: int
    counted_days: int
    suspended_counted_days: int
    min_fresh_percent: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that turns counted facts into flags."""

    version: str
    hash: bytes
    """SHA-256 of the file's bytes."""
    day_zone: ZoneInfo
    freshness: Freshness
    lender_counts_banded: bool
    interval_seconds: int
    active_lenders: Ladder
    joint_outstanding: Mapping[str, Ladder]
    """By currency, minor units."""
    applications_7d: Ladder
    applications_15d: Ladder
    applications_1m: Ladder
    days_past_due: Ladder
    irregular_months_12m: Ladder
    written_off_24m: Ladder
    paid_percent_3m_below: Ladder
    """Met when the percentage is below; multiples of 10."""


def load(data: bytes) -> Policy:
    """Reads a policy file. Raises InvalidInput(POLICY_INVALID) naming the field."""
    try:
        tree = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _invalid("policy", f"not TOML: {error}") from None
    root = _Table("", tree)
    freshness = root.table("freshness")
    disclosure = root.table("disclosure")
    intervals = root.table("intervals")
    lending = root.table("multi_lender")
    probing = root.table("rapid_probing")
    repayment = root.table("repayment_irregularity")
    policy = Policy(
        version=_version(root.text("version")),
        hash=hashlib.sha256(data).digest(),
        day_zone=_zone(root.text("day_zone")),
        freshness=Freshness(
            fresh_hours=freshness.number("fresh_hours", 1, 24 * 366),
            counted_days=freshness.number("counted_days", 0, 3_660),
            suspended_counted_days=freshness.number("suspended_counted_days", 0, 3_660),
            min_fresh_percent=freshness.number("min_fresh_percent", 0, 100),
        ),
        lender_counts_banded=disclosure.choice("lender_counts", ("exact", "banded")) == "banded",
        interval_seconds=intervals.number("seconds", 1, 86_400),
        active_lenders=lending.ladder("active_lenders"),
        joint_outstanding=_joint(lending.tables("joint_outstanding")),
        applications_7d=probing.ladder("applications_7d"),
        applications_15d=probing.ladder("applications_15d"),
        applications_1m=probing.ladder("applications_1m"),
        days_past_due=repayment.ladder("days_past_due"),
        irregular_months_12m=repayment.ladder("irregular_months_12m"),
        written_off_24m=repayment.ladder("written_off_24m"),
        paid_percent_3m_below=repayment.ladder("paid_percent_3m_below", falling=True),
    )
    for table in (root, freshness, disclosure, intervals, lending, probing, repayment):
        table.require_empty()
    return policy


def met(ladder: Ladder, value: int) -> tuple[Severity, int] | None:
    """The gravest threshold that a value reaches, or None."""
    found = None
    for severity, threshold in ladder:
        if value >= threshold:
            found = (severity, threshold)
    return found


def met_below(ladder: Ladder, value: int) -> tuple[Severity, int] | None:
    """The gravest threshold that a value is below, or None."""
    found = None
    for severity, threshold in ladder:
        if value < threshold:
            found = (severity, threshold)
    return found


def _joint(tables: list[_Table]) -> dict[str, Ladder]:
    ladders: dict[str, Ladder] = {}
    for table in tables:
        currency = table.text("currency")
        try:
            check_currency(currency)
        except InvalidInput:
            raise _invalid(f"{table.path}.currency", "not an ISO 4217 code") from None
        if currency in ladders:
            raise _invalid(f"{table.path}.currency", "two ladders for one currency")
        ladders[currency] = table.own_ladder()
        table.require_empty()
    return ladders


def _version(text: str) -> str:
    if not 0 < len(text) <= MAX_VERSION_CHARACTERS:
        raise _invalid("version", f"1 to {MAX_VERSION_CHARACTERS} characters")
    return text


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(check_zone(name))
    except InvalidInput:
        raise _invalid("day_zone", "not an IANA time zone") from None


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(Reason.POLICY_INVALID, message, field=field)


class _Table:
    """One TOML table, emptied as it is read, so that what is left over is unknown."""

    def __init__(self, path: str, content: Mapping[str, Any]) -> None:
        self.path = path
        self._left = dict(content)

    def table(self, name: str) -> _Table:
        value = self._left.pop(name, {})
        if not isinstance(value, dict):
            raise _invalid(self._field(name), "not a table")
        return _Table(self._field(name), value)

    def tables(self, name: str) -> list[_Table]:
        values = self._left.pop(name, [])
        if not isinstance(values, list) or not all(isinstance(v, dict) for v in values):
            raise _invalid(self._field(name), "not an array of tables")
        return [_Table(self._field(name), value) for value in values]

    def text(self, name: str) -> str:
        return str(self._take(name, lambda value: isinstance(value, str), "a text is required"))

    def choice(self, name: str, options: tuple[str, ...]) -> str:
        wanted = f"one of {', '.join(options)}"
        return str(self._take(name, lambda value: value in options, wanted))

    def number(self, name: str, low: int, high: int) -> int:
        value = self._take(
            name,
            lambda value: type(value) is int and low <= value <= high,
            f"a whole number from {low} to {high} is required",
        )
        return int(value)

    def ladder(self, name: str, *, falling: bool = False) -> Ladder:
        """Thresholds by severity; a ladder that is absent is never met."""
        if name not in self._left:
            return NEVER
        table = self.table(name)
        ladder = table.own_ladder(falling=falling)
        table.require_empty()
        return ladder

    def own_ladder(self, *, falling: bool = False) -> Ladder:
        high = 100 if falling else MAX_AMOUNT_MINOR
        names = [severity for severity in Severity if severity.name.lower() in self._left]
        ladder = tuple(
            (severity, self.number(severity.name.lower(), 1, high)) for severity in names
        )
        thresholds = [threshold for _, threshold in ladder]
        if falling and any(threshold % 10 for threshold in thresholds):
            raise _invalid(self.path, "percentages are told in steps of 10")
        if thresholds != sorted(thresholds, reverse=falling) or not thresholds:
            raise _invalid(self.path, "graver thresholds must not be easier to meet")
        return ladder

    def require_empty(self) -> None:
        if self._left:
            raise _invalid(self._field(next(iter(self._left))), "there is no such setting")

    def _take(self, name: str, good: Callable[[Any], bool], wanted: str) -> Any:
        value = self._left.pop(name, None)
        if not good(value):
            raise _invalid(self._field(name), wanted)
        return value

    def _field(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name
