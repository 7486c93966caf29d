"""Times between domain integers and `google.protobuf.Timestamp`.

Times of loans and batches are whole seconds; times of messages (create, expire, received, assess)
are microseconds. Both count from 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from .errors import InvalidInput, Reason
from .fields import check_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def seconds_to_proto(seconds: int) -> Timestamp:
    """Whole seconds as a Timestamp."""
    return Timestamp(seconds=seconds)


def seconds_from_proto(timestamp: Timestamp, field: str) -> int:
    """A Timestamp of whole seconds; a fraction or an absent one raises InvalidInput."""
    if timestamp.nanos:
        raise InvalidInput(Reason.FIELD_INVALID, "must be whole seconds", field=field)
    if not timestamp.seconds:
        raise InvalidInput(Reason.FIELD_MISSING, "a time is required", field=field)
    return check_time(timestamp.seconds, field)


def micros_to_proto(micros: int) -> Timestamp:
    """Microseconds as a Timestamp."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def micros_from_proto(timestamp: Timestamp, field: str) -> int:
    """A Timestamp in microseconds; finer or absent ones raise InvalidInput."""
    if timestamp.nanos % 1_000 or not 0 <= timestamp.nanos < 1_000_000_000:
        raise InvalidInput(Reason.FIELD_INVALID, "must be whole microseconds", field=field)
    if not timestamp.seconds:
        raise InvalidInput(Reason.FIELD_MISSING, "a time is required", field=field)
    return check_time(timestamp.seconds, field) * 1_000_000 + timestamp.nanos // 1_000


def micros(moment: datetime) -> int:
    """An aware datetime as microseconds."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def seconds(moment: datetime) -> int:
    """An aware datetime as whole seconds, rounded down."""
    return micros(moment) // 1_000_000


def from_micros(value: int) -> datetime:
    """Microseconds as an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=value)


def from_seconds(value: int) -> datetime:
    """Seconds as an aware UTC datetime."""
    return _EPOCH + timedelta(seconds=value)
