"""Checks that domain types share, so that a field is refused in the same words everywhere."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterable
from enum import IntEnum
from functools import cache, lru_cache
from typing import Any, TypeVar

from .errors import InvalidInput, Reason
from .limits import MAX_NAME_CHARACTERS

E = TypeVar("E", bound=IntEnum)

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
MAX_TIME_SECONDS = 253_402_300_799
"""The last second of the year 9999."""


def check_name(value: str, field: str) -> str:
    """A network's, gateway's or lender's name: a DNS label (RFC 1123) in lower case."""
    if not value:
        raise InvalidInput(Reason.FIELD_MISSING, "a name is required", field=field)
    if len(value) > MAX_NAME_CHARACTERS or not _NAME.fullmatch(value):
        raise InvalidInput(
            Reason.FIELD_INVALID,
            f"a name is 1 to {MAX_NAME_CHARACTERS} of a-z, 0-9 and inner hyphens",
            field=field,
        )
    return value


def check_bytes(value: bytes, size: int, field: str) -> bytes:
    """Exactly `size` bytes."""
    if not value:
        raise InvalidInput(Reason.FIELD_MISSING, f"{size} bytes are required", field=field)
    if len(value) != size:
        raise InvalidInput(Reason.FIELD_INVALID, f"not {size} bytes", field=field)
    return value


def check_positive(value: int, field: str) -> int:
    """An integer of 1 or more."""
    if value < 1:
        raise InvalidInput(Reason.FIELD_INVALID, "must be 1 or more", field=field)
    return value


def check_time(seconds: int, field: str) -> int:
    """A time in whole seconds since 1970-01-01T00:00:00Z, after it and before the year 10000."""
    if not 0 < seconds <= MAX_TIME_SECONDS:
        raise InvalidInput(Reason.FIELD_INVALID, "not a time after 1970", field=field)
    return seconds


def check_time_us(microseconds: int, field: str) -> int:
    """A time in microseconds since 1970-01-01T00:00:00Z."""
    check_time(microseconds // 1_000_000, field)
    return microseconds


def to_enum(kind: type[E], number: int, field: str) -> E:
    """The member of `kind` with this proto number; 0 and unknown numbers raise ENUM_UNKNOWN."""
    return to_enums(kind, (number,), field)[0]


def to_enums(kind: type[E], numbers: Iterable[int], field: str) -> tuple[E, ...]:
    """The members of a column of proto numbers, as `to_enum` gives one."""
    members = _members(kind)
    try:
        return tuple([members[number] for number in numbers])
    except KeyError:
        raise InvalidInput(
            Reason.ENUM_UNKNOWN, f"not a known {kind.__name__} number", field=field
        ) from None


@cache
def _members(kind: type[E]) -> dict[int, E]:
    # A plain dict answers five times faster than the enum's own look-up.
    return {member.value: member for member in kind}


def to_number(member: IntEnum) -> Any:
    """The proto number of a domain enum; each generated enum has an int type of its own."""
    return member.value


@lru_cache(maxsize=1024)
def _zone_known(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def check_zone(name: str, field: str = "time_zone") -> str:
    """An IANA time zone name."""
    if not name or len(name) > 64 or not name.isascii() or not _zone_known(name):
        raise InvalidInput(Reason.TIME_ZONE_UNKNOWN, "not an IANA time zone name", field=field)
    return name
