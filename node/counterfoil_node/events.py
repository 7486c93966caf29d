"""What the lender's systems report of a loan between tapes, and what it does to its row. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from counterfoil.amounts import check_amount, check_currency
from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.exposure import EventKind, InstalmentCycle, ProductKind, Role
from counterfoil.fields import check_time

from .loans import ENDED_EVENTS, Loan, LoanStatus, Standing, check_text

_ENDED_STATUS = {kind: status for status, kind in ENDED_EVENTS.items()}


@dataclass(frozen=True, slots=True)
class LoanEvent:
    """One reported step of one loan. `kind` None is a mere change of standing."""

    kind: EventKind | None
    time: int
    """Seconds."""
    loan_id: str
    application_id: str
    product_kind: ProductKind
    role: Role
    currency: str
    amount_minor: int
    time_zone: str
    standing: Standing | None = None

    def __post_init__(self) -> None:
        check_text(self.loan_id, "loan_id")
        if self.application_id:
            check_text(self.application_id, "application_id")
        check_time(self.time, "event_time")
        check_currency(self.currency)
        check_amount(self.amount_minor, "amount_minor")
        if self.standing is None and self.kind in (None, EventKind.OPENED):
            raise InvalidInput(
                Reason.FIELD_MISSING, "required for this kind of event", field="standing"
            )

    def to_body(self) -> str:
        """The event as JSON, for the book."""
        standing = self.standing
        return json.dumps(
            {
                "kind": self.kind,
                "time": self.time,
                "loan_id": self.loan_id,
                "application_id": self.application_id,
                "product_kind": self.product_kind,
                "role": self.role,
                "currency": self.currency,
                "amount_minor": self.amount_minor,
                "time_zone": self.time_zone,
                "standing": None
                if standing is None
                else {name: getattr(standing, name) for name in Standing.__slots__},
            },
            separators=(",", ":"),
            ensure_ascii=False,
        )

    @classmethod
    def from_body(cls, body: str) -> LoanEvent:
        """An event from its JSON."""
        data = json.loads(body)
        kind, standing = data.pop("kind"), data.pop("standing")
        if standing is not None:
            standing["instalment_cycle"] = InstalmentCycle(standing["instalment_cycle"])
        return cls(
            kind=None if kind is None else EventKind(kind),
            product_kind=ProductKind(data.pop("product_kind")),
            role=Role(data.pop("role")),
            standing=None if standing is None else Standing(**standing),
            **data,
        )


def begin(event: LoanEvent) -> Loan:
    """The row that the first event of an unknown loan gives; LOAN_UNKNOWN when it cannot be one."""
    known: LoanStatus
    times: dict[str, int] = {}
    if event.kind is EventKind.APPLIED:
        known, times = LoanStatus.APPLIED, {"applied_time": event.time}
    elif event.kind is EventKind.DECLINED:
        known, times = LoanStatus.DECLINED, {"declined_time": event.time}
    elif event.kind is EventKind.OPENED:
        known, times = LoanStatus.OPEN, {"opened_time": event.time}
    elif event.kind is None:
        known = LoanStatus.OPEN
    else:
        raise CounterfoilError(
            Reason.LOAN_UNKNOWN, "the book does not know this loan", field="loan_id"
        )
    return Loan(
        loan_id=event.loan_id,
        application_id=event.application_id,
        role=event.role,
        product_kind=event.product_kind,
        status=known,
        currency=event.currency,
        amount_minor=event.amount_minor,
        time_zone=event.time_zone,
        applied_time=times.get("applied_time"),
        declined_time=times.get("declined_time"),
        opened_time=times.get("opened_time"),
        standing=event.standing if known is LoanStatus.OPEN else None,
    )


def replay(loan: Loan, event: LoanEvent) -> Loan:
    """The row after an event; InvalidInput when the event cannot follow."""
    if event.currency != loan.currency:
        raise InvalidInput(Reason.FIELD_INVALID, "not the currency of the loan", field="currency")
    loan = replace(loan, application_id=loan.application_id or event.application_id)
    if event.kind is EventKind.APPLIED:
        earliest = min(event.time, loan.applied_time or event.time)
        return replace(loan, applied_time=earliest)
    if event.kind is EventKind.DECLINED:
        if loan.status not in (LoanStatus.APPLIED, LoanStatus.DECLINED):
            raise InvalidInput(Reason.FIELD_INVALID, "the loan was opened", field="kind")
        return replace(loan, status=LoanStatus.DECLINED, declined_time=event.time)
    if event.kind is EventKind.OPENED:
        if loan.status.ended:
            raise InvalidInput(Reason.FIELD_INVALID, "the loan has ended", field="kind")
        return replace(
            loan,
            status=LoanStatus.OPEN,
            declined_time=None,
            opened_time=event.time,
            role=event.role,
            amount_minor=event.amount_minor,
            product_kind=event.product_kind,
            standing=event.standing,
        )
    if loan.status is not LoanStatus.OPEN:
        raise InvalidInput(Reason.FIELD_INVALID, "the loan is not open", field="kind")
    if event.kind is None:
        return replace(loan, standing=event.standing)
    return replace(loan, status=_ENDED_STATUS[event.kind], ended_time=event.time, standing=None)
