"""A loan as the book keeps it: one row for each (loan, borrower), as its lender tells it.

Amounts are in minor units of the row's currency, times are seconds since 1970-01-01T00:00:00Z,
days are days since 1970-01-01. The row holds no identifier: the borrower is a number of the book.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

from counterfoil import limits
from counterfoil.amounts import check_amount, check_currency
from counterfoil.errors import InvalidInput, Reason
from counterfoil.exposure import (
    EventKind,
    IncomeSource,
    InstalmentCycle,
    PaymentStatus,
    ProductKind,
    Role,
)
from counterfoil.fields import check_time, check_zone

MAX_LOAN_ID_CHARACTERS = 128


class LoanStatus(StrEnum):
    """Where a loan or an application stands."""

    APPLIED = "applied"
    DECLINED = "declined"
    OPEN = "open"
    CLOSED = "closed"
    REPAID_EARLY = "repaid_early"
    WRITTEN_OFF = "written_off"

    @property
    def ended(self) -> bool:
        """Whether a loan with this status was open once and is no longer."""
        return self in ENDED_EVENTS


ENDED_EVENTS = {
    LoanStatus.CLOSED: EventKind.CLOSED,
    LoanStatus.REPAID_EARLY: EventKind.REPAID_EARLY,
    LoanStatus.WRITTEN_OFF: EventKind.WRITTEN_OFF,
}
"""The event that each way of ending gives."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is owed on an open loan, and when."""

    limit_minor: int
    outstanding_minor: int
    instalment_cycle: InstalmentCycle
    instalment_minor: int = 0
    next_due_day: int | None = None
    final_due_day: int | None = None
    oldest_unpaid_due_day: int | None = None

    def __post_init__(self) -> None:
        check_amount(self.limit_minor, "limit")
        check_amount(self.outstanding_minor, "outstanding")
        check_amount(self.instalment_minor, "instalment")
        if self.instalment_cycle is InstalmentCycle.NONE and self.instalment_minor:
            raise InvalidInput(
                Reason.FIELD_INVALID, "an instalment needs a cycle", field="instalment"
            )


@dataclass(frozen=True, slots=True)
class Months:
    """How the last months went, newest first; all tuples are equally long."""

    latest_month: int
    """Months since January 1970."""
    statuses: tuple[PaymentStatus, ...]
    due_minor: tuple[int, ...]
    paid_minor: tuple[int, ...]

    def __post_init__(self) -> None:
        count = len(self.statuses)
        if not 0 < count <= limits.MAX_HISTORY_MONTHS:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"1 to {limits.MAX_HISTORY_MONTHS} months",
                field="history_status",
            )
        for name, amounts in (("history_due", self.due_minor), ("history_paid", self.paid_minor)):
            if len(amounts) != count:
                raise InvalidInput(
                    Reason.FIELD_INVALID, "not as long as history_status", field=name
                )
            for amount in amounts:
                check_amount(amount, name)


@dataclass(frozen=True, slots=True)
class KnownIncome:
    """What the lender knows of the borrower's yearly income."""

    annual_minor: int
    source: IncomeSource
    evidence_day: int

    def __post_init__(self) -> None:
        check_amount(self.annual_minor, "income_annual")


@dataclass(frozen=True, slots=True)
class Loan:
    """One lender's row about one borrower's part in one loan or application."""

    loan_id: str
    role: Role
    product_kind: ProductKind
    status: LoanStatus
    currency: str
    amount_minor: int
    """Applied for, or opened."""
    time_zone: str
    application_id: str = ""
    """Empty: the loan's own number names the application."""
    applied_time: int | None = None
    declined_time: int | None = None
    opened_time: int | None = None
    ended_time: int | None = None
    standing: Standing | None = None
    months: Months | None = None
    income: KnownIncome | None = None

    def __post_init__(self) -> None:
        check_text(self.loan_id, "loan_id")
        if self.application_id:
            check_text(self.application_id, "application_id")
        check_currency(self.currency)
        check_amount(self.amount_minor, "amount")
        check_zone(self.time_zone)
        for name in ("applied_time", "declined_time", "opened_time", "ended_time"):
            time = getattr(self, name)
            if time is not None:
                check_time(time, name)
        self._check_status()
        self._check_order()

    def _check_status(self) -> None:
        wanted = {
            LoanStatus.APPLIED: "applied_time",
            LoanStatus.DECLINED: "declined_time",
            LoanStatus.CLOSED: "ended_time",
            LoanStatus.REPAID_EARLY: "ended_time",
            LoanStatus.WRITTEN_OFF: "ended_time",
        }.get(self.status)
        if wanted is not None and getattr(self, wanted) is None:
            raise InvalidInput(
                Reason.FIELD_MISSING, f"required when status is {self.status}", field=wanted
            )
        if self.status is LoanStatus.OPEN and self.standing is None:
            raise InvalidInput(
                Reason.FIELD_MISSING, "an open loan needs its standing", field="outstanding"
            )
        unwanted = {
            "declined_time": self.status is not LoanStatus.DECLINED,
            "opened_time": self.status in (LoanStatus.APPLIED, LoanStatus.DECLINED),
            "ended_time": not self.status.ended,
        }
        for name, refused in unwanted.items():
            if refused and getattr(self, name) is not None:
                raise InvalidInput(
                    Reason.FIELD_INVALID, f"not possible when status is {self.status}", field=name
                )

    def _check_order(self) -> None:
        previous = 0
        for name in ("applied_time", "declined_time", "opened_time", "ended_time"):
            time = getattr(self, name)
            if time is not None:
                if time < previous:
                    raise InvalidInput(
                        Reason.FIELD_INVALID, "earlier than the step before it", field=name
                    )
                previous = time

    @property
    def application_key(self) -> str:
        """The lender's own number of the application."""
        return self.application_id or self.loan_id

    @property
    def latest_time(self) -> int:
        """The time of the newest thing that happened, 0 when no time is known."""
        times = (self.applied_time, self.declined_time, self.opened_time, self.ended_time)
        return max(time or 0 for time in times)


def check_text(value: str, field: str) -> str:
    """A lender's own number of something: printable, no longer than MAX_LOAN_ID_CHARACTERS."""
    if not value:
        raise InvalidInput(Reason.FIELD_MISSING, "is required", field=field)
    if len(value) > MAX_LOAN_ID_CHARACTERS:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"longer than {MAX_LOAN_ID_CHARACTERS} characters", field=field
        )
    if not value.isprintable():
        raise InvalidInput(Reason.TEXT_INVALID, "holds unprintable characters", field=field)
    return value


def to_body(loan: Loan) -> str:
    """A loan as canonical JSON: equal loans give equal text."""
    return json.dumps(_plain(loan), separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def from_body(body: str) -> Loan:
    """A loan from its JSON."""
    data: dict[str, Any] = json.loads(body)
    standing, months, income = data.get("standing"), data.get("months"), data.get("income")
    if standing is not None:
        cycle = InstalmentCycle(standing.pop("instalment_cycle"))
        data["standing"] = Standing(instalment_cycle=cycle, **standing)
    if months is not None:
        data["months"] = Months(
            months["latest_month"],
            tuple(map(PaymentStatus, months["statuses"])),
            tuple(months["due_minor"]),
            tuple(months["paid_minor"]),
        )
    if income is not None:
        source = IncomeSource(income.pop("source"))
        data["income"] = KnownIncome(source=source, **income)
    data["role"] = Role(data["role"])
    data["product_kind"] = ProductKind(data["product_kind"])
    data["status"] = LoanStatus(data["status"])
    return Loan(**data)


def _plain(value: Loan | Standing | Months | KnownIncome) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if item is None or item == "":
            continue
        out[field.name] = (
            _plain(item) if isinstance(item, Standing | Months | KnownIncome) else item
        )
    return out
