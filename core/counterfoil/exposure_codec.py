"""Record bytes: the type and version tag, then a serialised `ExposureSummary`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import DecodeError

from . import limits
from .errors import InvalidInput, Reason
from .exposure import (
    Event,
    EventKind,
    Exposure,
    Facility,
    Income,
    IncomeSource,
    InstalmentCycle,
    InstitutionKind,
    PaymentHistory,
    PaymentStatus,
    ProductKind,
    Role,
    SubjectKind,
)
from .fields import to_enum, to_enums, to_number
from .timestamps import seconds_from_proto, seconds_to_proto
from .v1 import exposure_pb2 as pb

TAG = b"CFX\x01"
"""Type and version of a record: an exposure summary, version 1."""

T = TypeVar("T")


def encode(exposure: Exposure) -> bytes:
    """The exact bytes of a record, tag included."""
    message = pb.ExposureSummary(
        token=exposure.token,
        token_epoch=exposure.token_epoch,
        effective_time=seconds_to_proto(exposure.effective_time),
        subject_kind=to_number(exposure.subject_kind),
        institution_kind=to_number(exposure.institution_kind),
        facilities=[facility_to_proto(facility) for facility in exposure.facilities],
        payment_histories=[
            pb.PaymentHistory(
                currency=history.currency,
                latest_month=history.latest_month,
                statuses=[to_number(status) for status in history.statuses],
                due_minor=history.due_minor,
                paid_minor=history.paid_minor,
            )
            for history in exposure.payment_histories
        ],
    )
    if exposure.income is not None:
        message.income.CopyFrom(
            pb.IncomeEvidence(
                band=exposure.income.band,
                currency=exposure.income.currency,
                source=to_number(exposure.income.source),
                evidence_day=exposure.income.evidence_day,
            )
        )
    if exposure.events:
        message.events.CopyFrom(_events_to_proto(exposure.events, exposure.omitted_count))
    return TAG + message.SerializeToString(deterministic=True)


def decode(record: bytes) -> Exposure:
    """Reads the exact bytes of a record; raises InvalidInput with the reason and the field."""
    if len(record) > limits.MAX_RECORD_BYTES:
        raise InvalidInput(
            Reason.MESSAGE_TOO_LARGE, f"a record is at most {limits.MAX_RECORD_BYTES} bytes"
        )
    if not record.startswith(TAG):
        raise InvalidInput(Reason.RECORD_VERSION_UNKNOWN, "not a record of a known version")
    try:
        message = pb.ExposureSummary.FromString(record[len(TAG) :])
    except DecodeError:
        raise InvalidInput(Reason.MALFORMED, "not a serialised ExposureSummary") from None
    income = None
    if message.HasField("income"):
        income = Income(
            band=message.income.band,
            currency=message.income.currency,
            source=to_enum(IncomeSource, message.income.source, "income.source"),
            evidence_day=message.income.evidence_day,
        )
    return Exposure(
        token=message.token,
        token_epoch=message.token_epoch,
        effective_time=seconds_from_proto(message.effective_time, "effective_time"),
        subject_kind=to_enum(SubjectKind, message.subject_kind, "subject_kind"),
        institution_kind=to_enum(InstitutionKind, message.institution_kind, "institution_kind"),
        facilities=tuple(facility_from_proto(facility) for facility in message.facilities),
        payment_histories=tuple(
            PaymentHistory(
                currency=history.currency,
                latest_month=history.latest_month,
                statuses=to_enums(PaymentStatus, history.statuses, "payment_histories.statuses"),
                due_minor=tuple(history.due_minor),
                paid_minor=tuple(history.paid_minor),
            )
            for history in message.payment_histories
        ),
        income=income,
        events=_events_from_proto(message.events),
        omitted_count=message.events.omitted_count,
    )


def facility_to_proto(facility: Facility) -> pb.Facility:
    """A facility as a message."""
    return pb.Facility(
        product_kind=to_number(facility.product_kind),
        role=to_number(facility.role),
        currency=facility.currency,
        limit_minor=facility.limit_minor,
        outstanding_minor=facility.outstanding_minor,
        instalment_minor=facility.instalment_minor,
        instalment_cycle=to_number(facility.instalment_cycle),
        next_due_day=facility.next_due_day,
        final_due_day=facility.final_due_day,
        oldest_unpaid_due_day=facility.oldest_unpaid_due_day,
        application_reference=facility.application_reference,
    )


def facility_from_proto(message: pb.Facility) -> Facility:
    """A facility from a message; raises InvalidInput."""
    return Facility(
        product_kind=to_enum(ProductKind, message.product_kind, "facilities.product_kind"),
        role=to_enum(Role, message.role, "facilities.role"),
        currency=message.currency,
        limit_minor=message.limit_minor,
        outstanding_minor=message.outstanding_minor,
        instalment_minor=message.instalment_minor,
        instalment_cycle=to_enum(
            InstalmentCycle, message.instalment_cycle, "facilities.instalment_cycle"
        ),
        next_due_day=message.next_due_day if message.HasField("next_due_day") else None,
        final_due_day=message.final_due_day if message.HasField("final_due_day") else None,
        oldest_unpaid_due_day=(
            message.oldest_unpaid_due_day if message.HasField("oldest_unpaid_due_day") else None
        ),
        application_reference=message.application_reference,
    )


def _indexed(values: Iterable[str]) -> tuple[list[str], list[int]]:
    """A column as a dictionary and indexes into it; no indexes for a dictionary of one."""
    index: dict[str, int] = {}
    indexes = [index.setdefault(value, len(index)) for value in values]
    return list(index), indexes if len(index) > 1 else []


def _looked_up(
    dictionary: Iterable[str], indexes: Iterable[int], rows: int, field: str
) -> list[str]:
    names = list(dictionary)
    places = list(indexes)
    if len(set(names)) != len(names):
        raise InvalidInput(Reason.FIELD_INVALID, "a dictionary names a value twice", field=field)
    if not places and len(names) == 1:
        return names * rows
    if len(places) != rows or any(place >= len(names) for place in places):
        raise InvalidInput(Reason.FIELD_INVALID, "an index out of its dictionary", field=field)
    return [names[place] for place in places]


def _events_to_proto(events: tuple[Event, ...], omitted_count: int) -> pb.EventTable:
    currencies, currency_indexes = _indexed(event.currency for event in events)
    zones, zone_indexes = _indexed(event.time_zone for event in events)
    return pb.EventTable(
        kinds=[to_number(event.kind) for event in events],
        times=[event.time for event in events],
        product_kinds=[to_number(event.product_kind) for event in events],
        amount_bands=[event.amount_band for event in events],
        application_references=b"".join(event.application_reference for event in events),
        currencies=currencies,
        currency_indexes=currency_indexes,
        time_zones=zones,
        time_zone_indexes=zone_indexes,
        omitted_count=omitted_count,
    )


def _events_from_proto(table: pb.EventTable) -> tuple[Event, ...]:
    rows = len(table.kinds)
    if rows > limits.MAX_EVENTS:
        raise InvalidInput(
            Reason.TOO_MANY_EVENTS, f"more than {limits.MAX_EVENTS} events", field="events"
        )
    columns = (table.times, table.product_kinds, table.amount_bands)
    if any(len(column) != rows for column in columns) or (
        len(table.application_references) != rows * limits.REFERENCE_BYTES
    ):
        raise InvalidInput(Reason.FIELD_INVALID, "columns differ in length", field="events")
    if not rows:
        return ()
    currencies = _looked_up(table.currencies, table.currency_indexes, rows, "events.currencies")
    zones = _looked_up(table.time_zones, table.time_zone_indexes, rows, "events.time_zones")
    step = limits.REFERENCE_BYTES
    packed = table.application_references
    references = [packed[at : at + step] for at in range(0, rows * step, step)]
    return tuple(
        [
            Event(*row)
            for row in zip(
                to_enums(EventKind, table.kinds, "events.kinds"),
                table.times,
                to_enums(ProductKind, table.product_kinds, "events.product_kinds"),
                table.amount_bands,
                references,
                currencies,
                zones,
                strict=True,
            )
        ]
    )
