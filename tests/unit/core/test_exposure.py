"""The record: what it accepts, and that its bytes hold exactly what it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given

from counterfoil import exposure_codec, limits
from counterfoil.errors import InvalidInput, Reason
from counterfoil.exposure import (
    EventKind,
    Exposure,
    InstalmentCycle,
    PaymentHistory,
    PaymentStatus,
)
from counterfoil.v1 import exposure_pb2 as pb
from support.exposures import NOON, exposures, plain_event, plain_exposure, plain_facility


@given(exposures())
def test_decoding_gives_back_what_was_encoded(exposure: Exposure) -> None:
    record = exposure_codec.encode(exposure)
    assert record.startswith(exposure_codec.TAG)
    assert exposure_codec.decode(record) == exposure
    assert exposure_codec.encode(exposure_codec.decode(record)) == record


def test_a_record_of_a_borrower_without_facilities_keeps_its_events() -> None:
    exposure = plain_exposure(facilities=(), payment_histories=())
    assert exposure_codec.decode(exposure_codec.encode(exposure)).events == exposure.events


def test_the_token_is_not_in_the_repr() -> None:
    assert "token=" not in repr(plain_exposure(token=b"\xab" * 32))


HISTORY = PaymentHistory("USD", 680, (PaymentStatus.AS_AGREED,), (1,), (1,))


@pytest.mark.parametrize(
    ("make", "reason", "field"),
    [
        (lambda: plain_facility(outstanding_minor=-1), Reason.AMOUNT_NEGATIVE, "outstanding"),
        (lambda: plain_facility(limit_minor=10**16), Reason.AMOUNT_TOO_LARGE, "limit"),
        (lambda: plain_facility(currency="ZZZ"), Reason.CURRENCY_UNKNOWN, "currency"),
        (lambda: plain_facility(next_due_day=-1), Reason.FIELD_INVALID, "next_due_day"),
        (lambda: plain_facility(application_reference=b"x"), Reason.FIELD_INVALID, "reference"),
        (
            lambda: plain_facility(instalment_cycle=InstalmentCycle.NONE),
            Reason.FIELD_INVALID,
            "instalment_minor",
        ),
        (lambda: plain_exposure(token=b"short"), Reason.FIELD_INVALID, "token"),
        (lambda: plain_exposure(token=b""), Reason.FIELD_MISSING, "token"),
        (lambda: plain_exposure(token_epoch=0), Reason.FIELD_INVALID, "token_epoch"),
        (lambda: plain_exposure(effective_time=0), Reason.FIELD_INVALID, "effective_time"),
        (lambda: plain_exposure(effective_time=NOON - 10**6), Reason.FIELD_INVALID, "times"),
        (lambda: plain_exposure(effective_time=NOON + 10**8), Reason.FIELD_INVALID, "times"),
        (
            lambda: plain_exposure(facilities=(plain_facility(),) * 65),
            Reason.FIELD_INVALID,
            "facilities",
        ),
        (
            lambda: plain_exposure(payment_histories=(HISTORY, HISTORY)),
            Reason.FIELD_INVALID,
            "currency",
        ),
        (
            lambda: plain_exposure(
                events=(
                    plain_event(EventKind.OPENED, NOON),
                    plain_event(EventKind.APPLIED, NOON - 1),
                )
            ),
            Reason.FIELD_INVALID,
            "times",
        ),
        (
            lambda: plain_exposure(events=(plain_event(EventKind.APPLIED, NOON),) * 201),
            Reason.TOO_MANY_EVENTS,
            "events",
        ),
        (lambda: plain_exposure(omitted_count=1), Reason.FIELD_INVALID, "omitted_count"),
        (
            lambda: PaymentHistory("USD", 680, (PaymentStatus.AS_AGREED,), (1, 2), (1,)),
            Reason.FIELD_INVALID,
            "payment_histories",
        ),
        (lambda: PaymentHistory("USD", 680, (), (), ()), Reason.FIELD_INVALID, "statuses"),
        (
            lambda: PaymentHistory("USD", 680, (PaymentStatus.AS_AGREED,), (-1,), (1,)),
            Reason.AMOUNT_NEGATIVE,
            "due_minor",
        ),
    ],
)
def test_what_breaks_a_rule_is_refused_with_reason_and_field(
    make: Callable[[], object], reason: Reason, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        make()
    assert refused.value.reason is reason
    assert field in refused.value.field


def altered(change: Callable[[pb.ExposureSummary], object]) -> bytes:
    """A record whose message was changed behind the domain type's back."""
    message = pb.ExposureSummary.FromString(exposure_codec.encode(plain_exposure())[4:])
    change(message)
    return exposure_codec.TAG + message.SerializeToString()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: setattr(m, "subject_kind", 77), Reason.ENUM_UNKNOWN),
        (lambda m: setattr(m, "institution_kind", 0), Reason.ENUM_UNKNOWN),
        (lambda m: setattr(m.facilities[0], "role", 9), Reason.ENUM_UNKNOWN),
        (lambda m: m.events.kinds.__setitem__(0, 99), Reason.ENUM_UNKNOWN),
        (lambda m: m.payment_histories[0].statuses.__setitem__(0, 0), Reason.ENUM_UNKNOWN),
        (lambda m: m.events.times.append(NOON), Reason.FIELD_INVALID),
        (lambda m: m.events.currencies.append("EUR"), Reason.FIELD_INVALID),
        (lambda m: m.events.currencies.append("USD"), Reason.FIELD_INVALID),
        (lambda m: m.events.currency_indexes.extend([0, 5]), Reason.FIELD_INVALID),
        (lambda m: m.events.time_zones.__setitem__(0, "Mars/Olympus"), Reason.TIME_ZONE_UNKNOWN),
        (lambda m: setattr(m.events, "application_references", b"1"), Reason.FIELD_INVALID),
        (lambda m: setattr(m.effective_time, "nanos", 5), Reason.FIELD_INVALID),
        (lambda m: m.ClearField("effective_time"), Reason.FIELD_MISSING),
    ],
)
def test_bytes_that_no_honest_node_makes_are_refused(
    change: Callable[[pb.ExposureSummary], object], reason: Reason
) -> None:
    with pytest.raises(InvalidInput) as refused:
        exposure_codec.decode(altered(change))
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", Reason.RECORD_VERSION_UNKNOWN),
        (b"CFX\x02", Reason.RECORD_VERSION_UNKNOWN),
        (b"CFX\x01\xff\xff", Reason.MALFORMED),
        (b"CFX\x01" + bytes(limits.MAX_RECORD_BYTES), Reason.MESSAGE_TOO_LARGE),
        # facilities[0].currency holds bytes that are not UTF-8
        (b"CFX\x01\x32\x04\x1a\x02\xff\xfe", Reason.MALFORMED),
    ],
)
def test_bytes_that_are_no_record_are_refused(record: bytes, reason: Reason) -> None:
    with pytest.raises(InvalidInput) as refused:
        exposure_codec.decode(record)
    assert refused.value.reason is reason


def test_the_largest_record_fits_its_limit() -> None:
    events = tuple(plain_event(EventKind.APPLIED, NOON, bytes([i]) * 16) for i in range(200))
    column = tuple([10**15] * 24)
    histories = tuple(
        PaymentHistory(currency, 680, (PaymentStatus.WRITTEN_OFF,) * 24, column, column)
        for currency in ("USD", "CNY", "JPY", "EUR", "GBP", "INR", "KWD", "CHF")
    )
    largest = plain_exposure(
        facilities=(plain_facility(limit_minor=10**15, outstanding_minor=10**15),) * 64,
        payment_histories=histories,
        events=events,
        omitted_count=10**6,
    )
    assert len(exposure_codec.encode(largest)) <= limits.MAX_RECORD_BYTES
