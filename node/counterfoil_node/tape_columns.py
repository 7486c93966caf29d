"""The columns of a loan tape, and how one row of text becomes a loan. docs/loan-tape.md tells it to
people; a test keeps the two equal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from counterfoil.amounts import MAX_AMOUNT_MINOR, minor_digits
from counterfoil.errors import InvalidInput, Reason
from counterfoil.exposure import (
    IncomeSource,
    InstalmentCycle,
    PaymentStatus,
    ProductKind,
    Role,
)
from counterfoil.fields import check_zone
from counterfoil.identifier import Identifier

from .days import month_of, parse_day, parse_instant, parse_month
from .loans import KnownIncome, Loan, LoanStatus, Months, Standing

REQUIRED = (
    "loan_id",
    "identifier_scheme",
    "identifier_value",
    "role",
    "product_kind",
    "status",
    "currency",
    "amount",
)
"""Columns that a tape must have, and values that every row must have."""

COLUMNS = (
    "loan_id",
    "application_id",
    "identifier_scheme",
    "identifier_value",
    "identifier_country",
    "role",
    "product_kind",
    "status",
    "applied_time",
    "declined_time",
    "opened_time",
    "ended_time",
    "currency",
    "amount",
    "limit",
    "outstanding",
    "instalment",
    "instalment_cycle",
    "next_due_date",
    "final_due_date",
    "oldest_unpaid_due_date",
    "history_month",
    "history_status",
    "history_due",
    "history_paid",
    "income_annual",
    "income_source",
    "income_date",
    "time_zone",
)
"""Every column that a tape may have, in the documented order."""

HISTORY_STATUSES = {
    ".": PaymentStatus.NO_DATA,
    "0": PaymentStatus.AS_AGREED,
    "1": PaymentStatus.PAST_DUE_1,
    "2": PaymentStatus.PAST_DUE_30,
    "3": PaymentStatus.PAST_DUE_60,
    "4": PaymentStatus.PAST_DUE_90,
    "5": PaymentStatus.PAST_DUE_120,
    "W": PaymentStatus.WRITTEN_OFF,
}
"""The letters of `history_status`."""

_DECIMAL = re.compile(r"(-?)([0-9]{1,16})(?:\.([0-9]+))?")
_WORD = re.compile(r"[a-z_]{1,40}")
_STANDING_COLUMNS = (
    "limit",
    "outstanding",
    "instalment",
    "instalment_cycle",
    "next_due_date",
    "final_due_date",
    "oldest_unpaid_due_date",
)
E = TypeVar("E", bound=IntEnum)


@dataclass(frozen=True, slots=True)
class TapeRow:
    """One good row: who, and what."""

    identifier: Identifier
    loan: Loan


def parse_amount(text: str, currency: str, field: str) -> int:
    """A decimal string as minor units, exactly; more digits than the currency has are refused."""
    match = _DECIMAL.fullmatch(text)
    if not match:
        raise InvalidInput(Reason.FIELD_INVALID, "not a decimal number", field=field)
    sign, whole, fraction = match[1], match[2], match[3] or ""
    digits = minor_digits(currency)
    if fraction[digits:].strip("0"):
        raise InvalidInput(
            Reason.FIELD_INVALID, f"the currency has {digits} decimal digits", field=field
        )
    amount = int(whole + fraction[:digits].ljust(digits, "0"))
    if sign and amount:
        raise InvalidInput(Reason.AMOUNT_NEGATIVE, "an amount is never negative", field=field)
    if amount > MAX_AMOUNT_MINOR:
        raise InvalidInput(
            Reason.AMOUNT_TOO_LARGE, f"more than {MAX_AMOUNT_MINOR} minor units", field=field
        )
    return amount


def check_columns(names: list[str]) -> None:
    """A header: known columns, each once, none of the required missing; else TAPE_INVALID."""
    for place, name in enumerate(names, start=1):
        if name not in COLUMNS:
            # A tape without a header has someone's number there: only plain words are repeated.
            shown = f" {name}" if _WORD.fullmatch(name) else ""
            raise InvalidInput(
                Reason.TAPE_INVALID, f"column {place}{shown} is not known", field="header"
            )
        if names.count(name) > 1:
            raise InvalidInput(Reason.TAPE_INVALID, f"column {name} twice", field="header")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InvalidInput(
            Reason.TAPE_INVALID, f"columns are missing: {', '.join(missing)}", field="header"
        )


def parse_row(cells: Mapping[str, str], as_of: int, default_zone: str) -> TapeRow:
    """One row of a tape as of a time; raises InvalidInput with the column as its field."""
    values = {name: cells.get(name, "").strip() for name in COLUMNS}
    for name in COLUMNS:
        if not values[name].isprintable():
            raise InvalidInput(
                Reason.TEXT_INVALID, "not UTF-8, or holds unprintable characters", field=name
            )
    for name in REQUIRED:
        if not values[name]:
            raise InvalidInput(Reason.FIELD_MISSING, "is required", field=name)
    identifier = _identifier(values)
    zone = check_zone(values["time_zone"] or default_zone)
    status = _status(values["status"])
    currency = values["currency"]
    loan = Loan(
        loan_id=values["loan_id"],
        application_id=values["application_id"],
        role=_enum(Role, values["role"], "role"),
        product_kind=_enum(ProductKind, values["product_kind"], "product_kind"),
        status=status,
        currency=currency,
        amount_minor=parse_amount(values["amount"], currency, "amount"),
        time_zone=zone,
        applied_time=_instant(values, "applied_time", zone, as_of),
        declined_time=_instant(values, "declined_time", zone, as_of),
        opened_time=_instant(values, "opened_time", zone, as_of),
        ended_time=_instant(values, "ended_time", zone, as_of),
        standing=_standing(values, status, currency),
        months=_months(values, currency, month_of(as_of, zone)),
        income=_income(values, currency),
    )
    return TapeRow(identifier, loan)


def _identifier(values: Mapping[str, str]) -> Identifier:
    try:
        return Identifier.parse(
            values["identifier_scheme"], values["identifier_value"], values["identifier_country"]
        )
    except InvalidInput as error:
        column = f"identifier_{error.field or 'value'}"
        raise InvalidInput(error.reason, error.message, field=column) from None


def _status(text: str) -> LoanStatus:
    try:
        return LoanStatus(text)
    except ValueError:
        raise InvalidInput(Reason.ENUM_UNKNOWN, "not a known status", field="status") from None


def _enum(kind: type[E], text: str, field: str) -> E:
    member = kind.__members__.get(text.upper())
    if member is None or text != text.lower():
        raise InvalidInput(Reason.ENUM_UNKNOWN, f"not a known {field}", field=field)
    return member


def _instant(values: Mapping[str, str], field: str, zone: str, as_of: int) -> int | None:
    if not values[field]:
        return None
    instant = parse_instant(values[field], zone, field)
    if instant > as_of:
        raise InvalidInput(Reason.FIELD_INVALID, "later than the tape's as-of", field=field)
    return instant


def _standing(values: Mapping[str, str], status: LoanStatus, currency: str) -> Standing | None:
    if status is not LoanStatus.OPEN:
        for name in ("next_due_date", "oldest_unpaid_due_date"):
            if values[name]:
                raise InvalidInput(
                    Reason.FIELD_INVALID, "only open loans have payments due", field=name
                )
        for name in ("limit", "outstanding", "instalment"):
            if values[name]:
                parse_amount(values[name], currency, name)
        return None
    for name in ("limit", "outstanding", "instalment_cycle"):
        if not values[name]:
            raise InvalidInput(Reason.FIELD_MISSING, "an open loan needs it", field=name)
    days = {
        name: parse_day(values[name], name) if values[name] else None
        for name in _STANDING_COLUMNS
        if name.endswith("_date")
    }
    return Standing(
        limit_minor=parse_amount(values["limit"], currency, "limit"),
        outstanding_minor=parse_amount(values["outstanding"], currency, "outstanding"),
        instalment_cycle=_enum(InstalmentCycle, values["instalment_cycle"], "instalment_cycle"),
        instalment_minor=parse_amount(values["instalment"] or "0", currency, "instalment"),
        next_due_day=days["next_due_date"],
        final_due_day=days["final_due_date"],
        oldest_unpaid_due_day=days["oldest_unpaid_due_date"],
    )


def _months(values: Mapping[str, str], currency: str, newest: int) -> Months | None:
    names = ("history_month", "history_status", "history_due", "history_paid")
    if not any(values[name] for name in names):
        return None
    for name in names:
        if not values[name]:
            raise InvalidInput(Reason.FIELD_MISSING, "a history needs all its columns", field=name)
    latest = parse_month(values["history_month"], "history_month")
    if latest > newest:
        raise InvalidInput(
            Reason.FIELD_INVALID, "later than the tape's as-of", field="history_month"
        )
    unknown = set(values["history_status"]) - HISTORY_STATUSES.keys()
    if unknown:
        raise InvalidInput(
            Reason.ENUM_UNKNOWN, "letters other than . 0 1 2 3 4 5 W", field="history_status"
        )
    if latest + 1 < len(values["history_status"]):
        raise InvalidInput(Reason.FIELD_INVALID, "reaches back past 1970", field="history_status")
    amounts = {
        name: tuple(parse_amount(part, currency, name) for part in values[name].split(";"))
        for name in ("history_due", "history_paid")
    }
    return Months(
        latest_month=latest,
        statuses=tuple(HISTORY_STATUSES[letter] for letter in values["history_status"]),
        due_minor=amounts["history_due"],
        paid_minor=amounts["history_paid"],
    )


def _income(values: Mapping[str, str], currency: str) -> KnownIncome | None:
    names = ("income_annual", "income_source", "income_date")
    if not any(values[name] for name in names):
        return None
    for name in names:
        if not values[name]:
            raise InvalidInput(Reason.FIELD_MISSING, "an income needs all its columns", field=name)
    return KnownIncome(
        annual_minor=parse_amount(values["income_annual"], currency, "income_annual"),
        source=_enum(IncomeSource, values["income_source"], "income_source"),
        evidence_day=parse_day(values["income_date"], "income_date"),
    )
