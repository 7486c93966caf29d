"""The exposure summary: one lender's standing with one borrower, and the dated events behind it.

A record is `TAG` followed by a `counterfoil.v1.ExposureSummary` (protos/counterfoil/v1/
exposure.proto says what each field means). Domain types here check themselves when made; amounts
are in minor units, days are days since 1970-01-01, times are seconds since 1970-01-01T00:00:00Z.
Bytes are made and read by `exposure_codec`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from . import limits
from .amounts import check_amount, check_band, check_currency
from .errors import InvalidInput, Reason
from .fields import check_bytes, check_positive, check_time, check_zone

NO_REFERENCE = bytes(limits.REFERENCE_BYTES)
"""The application reference of an event for which the lender has none."""

_MAX_DAY = 2_932_896  # 9999-12-31


class SubjectKind(IntEnum):
    """A borrower's nature."""

    PERSON = 1
    COMPANY = 2


class InstitutionKind(IntEnum):
    """A lender's nature."""

    BANK = 1
    CONSUMER_FINANCE = 2
    MICROFINANCE = 3
    ONLINE_LENDER = 4
    POINT_OF_SALE = 5
    LEASING = 6
    CREDIT_UNION = 7
    OTHER = 8


class ProductKind(IntEnum):
    """What a facility or an application is for."""

    CASH_LOAN = 1
    REVOLVING = 2
    PURCHASE_INSTALMENT = 3
    MORTGAGE = 4
    VEHICLE = 5
    EDUCATION = 6
    BUSINESS = 7
    LEASE = 8
    PLEDGE = 9
    OTHER = 10


class Role(IntEnum):
    """The borrower's part in a facility."""

    SOLE = 1
    JOINT = 2
    GUARANTOR = 3


class InstalmentCycle(IntEnum):
    """How often an instalment falls due."""

    NONE = 1
    DAILY = 2
    WEEKLY = 3
    FORTNIGHTLY = 4
    MONTHLY = 5
    QUARTERLY = 6
    YEARLY = 7


class PaymentStatus(IntEnum):
    """How a month went; the order is that of gravity."""

    NO_DATA = 1
    AS_AGREED = 2
    PAST_DUE_1 = 3
    PAST_DUE_30 = 4
    PAST_DUE_60 = 5
    PAST_DUE_90 = 6
    PAST_DUE_120 = 7
    WRITTEN_OFF = 8


class IncomeSource(IntEnum):
    """Where knowledge of an income comes from."""

    DECLARED = 1
    EMPLOYER = 2
    BANK_STATEMENT = 3
    TAX = 4
    ACCOUNTS = 5
    OTHER = 6


class EventKind(IntEnum):
    """What kind of thing happened."""

    APPLIED = 1
    DECLINED = 2
    OPENED = 3
    REPAID_EARLY = 4
    CLOSED = 5
    WRITTEN_OFF = 6


def _check_day(day: int | None, name: str) -> None:
    if day is not None and not 0 <= day <= _MAX_DAY:
        raise InvalidInput(Reason.FIELD_INVALID, "not a day from 1970 to 9999", field=name)


@dataclass(frozen=True, slots=True)
class Facility:
    """One facility open as of the record's effective time."""

    product_kind: ProductKind
    role: Role
    currency: str
    limit_minor: int
    outstanding_minor: int
    instalment_minor: int
    instalment_cycle: InstalmentCycle
    next_due_day: int | None = None
    final_due_day: int | None = None
    oldest_unpaid_due_day: int | None = None
    application_reference: bytes = b""

    def __post_init__(self) -> None:
        check_currency(self.currency, "facilities.currency")
        check_amount(self.limit_minor, "facilities.limit_minor")
        check_amount(self.outstanding_minor, "facilities.outstanding_minor")
        check_amount(self.instalment_minor, "facilities.instalment_minor")
        if self.instalment_cycle is InstalmentCycle.NONE and self.instalment_minor:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "an instalment needs a cycle",
                field="facilities.instalment_minor",
            )
        _check_day(self.next_due_day, "facilities.next_due_day")
        _check_day(self.final_due_day, "facilities.final_due_day")
        _check_day(self.oldest_unpaid_due_day, "facilities.oldest_unpaid_due_day")
        if self.application_reference:
            check_bytes(
                self.application_reference,
                limits.REFERENCE_BYTES,
                "facilities.application_reference",
            )


@dataclass(frozen=True, slots=True)
class PaymentHistory:
    """What fell due and was paid by month, newest first, in one currency."""

    currency: str
    latest_month: int
    """Months since January 1970."""
    statuses: tuple[PaymentStatus, ...]
    due_minor: tuple[int, ...]
    paid_minor: tuple[int, ...]

    def __post_init__(self) -> None:
        check_currency(self.currency, "payment_histories.currency")
        months = len(self.statuses)
        if not 0 < months <= limits.MAX_HISTORY_MONTHS:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"a history has 1 to {limits.MAX_HISTORY_MONTHS} months",
                field="payment_histories.statuses",
            )
        if len(self.due_minor) != months or len(self.paid_minor) != months:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "statuses, due and paid differ in length",
                field="payment_histories",
            )
        if not months <= self.latest_month <= 12 * 8030:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "not a month after 1970",
                field="payment_histories.latest_month",
            )
        for due, paid in zip(self.due_minor, self.paid_minor, strict=True):
            check_amount(due, "payment_histories.due_minor")
            check_amount(paid, "payment_histories.paid_minor")


@dataclass(frozen=True, slots=True)
class Income:
    """What a lender knows of a borrower's yearly income."""

    band: int
    """Index into the grid of amount bands."""
    currency: str
    source: IncomeSource
    evidence_day: int

    def __post_init__(self) -> None:
        check_band(self.band, "income.band")
        check_currency(self.currency, "income.currency")
        _check_day(self.evidence_day, "income.evidence_day")


@dataclass(frozen=True, slots=True)
class Event:
    """One dated event."""

    kind: EventKind
    time: int
    """Seconds since 1970-01-01T00:00:00Z."""
    product_kind: ProductKind
    amount_band: int
    """Index into the grid of amount bands."""
    application_reference: bytes
    """16 bytes; `NO_REFERENCE` when the lender has none."""
    currency: str
    time_zone: str

    def __post_init__(self) -> None:
        check_time(self.time, "events.times")
        check_band(self.amount_band, "events.amount_bands")
        check_currency(self.currency, "events.currencies")
        check_zone(self.time_zone, "events.time_zones")
        if len(self.application_reference) != limits.REFERENCE_BYTES:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"not {limits.REFERENCE_BYTES} bytes",
                field="events.application_references",
            )


@dataclass(frozen=True, slots=True)
class Exposure:
    """One lender's standing with one borrower as of a time, and the dated events behind it."""

    token: bytes = field(repr=False)
    token_epoch: int
    effective_time: int
    subject_kind: SubjectKind
    institution_kind: InstitutionKind
    facilities: tuple[Facility, ...] = ()
    payment_histories: tuple[PaymentHistory, ...] = ()
    income: Income | None = None
    events: tuple[Event, ...] = ()
    """Oldest first."""
    omitted_count: int = 0
    """Older events of the 24 months left out because of the cap."""

    def __post_init__(self) -> None:
        check_bytes(self.token, limits.TOKEN_BYTES, "token")
        check_positive(self.token_epoch, "token_epoch")
        check_time(self.effective_time, "effective_time")
        if len(self.facilities) > limits.MAX_FACILITIES:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"more than {limits.MAX_FACILITIES} facilities",
                field="facilities",
            )
        histories = self.payment_histories
        if len(histories) > limits.MAX_HISTORIES:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"more than {limits.MAX_HISTORIES} payment histories",
                field="payment_histories",
            )
        if len({history.currency for history in histories}) != len(histories):
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "two payment histories in one currency",
                field="payment_histories.currency",
            )
        self._check_events()

    def _check_events(self) -> None:
        if len(self.events) > limits.MAX_EVENTS:
            raise InvalidInput(
                Reason.TOO_MANY_EVENTS, f"more than {limits.MAX_EVENTS} events", field="events"
            )
        if self.omitted_count < 0 or (self.omitted_count and len(self.events) < limits.MAX_EVENTS):
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "events are omitted only when the table is full",
                field="events.omitted_count",
            )
        previous = self.effective_time - limits.MAX_EVENT_AGE_SECONDS
        for event in self.events:
            if not previous <= event.time <= self.effective_time:
                raise InvalidInput(
                    Reason.FIELD_INVALID,
                    "events are in order of time, of the 24 months up to the effective time",
                    field="events.times",
                )
            previous = event.time
