"""The truth: who borrows where, how much, how late, when. Known because the demo dealt it.

Amounts are minor units of USD, times are seconds since 1970-01-01T00:00:00Z, months are counted
from January 1970.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from .identities import Identity

CURRENCY = "USD"
GUARANTOR = "guarantor"

STEPS = ("applied", "declined", "opened")
"""Steps of an account that are dated by a column of their own; an end is named by the status."""

ENDS = ("closed", "repaid_early", "written_off")


@dataclass(frozen=True, slots=True)
class History:
    """How an account's months went, newest first."""

    latest_month: int
    statuses: str
    """A character a month, as loan tapes have it."""
    due_minor: tuple[int, ...]
    paid_minor: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """One borrower's part in one loan or application at one lender."""

    lender: str
    loan_id: str
    application_id: str
    """Empty: the loan's number names the application."""
    product_kind: str
    status: str
    amount_minor: int
    role: str = "sole"
    applied_time: int | None = None
    declined_time: int | None = None
    opened_time: int | None = None
    ended_time: int | None = None
    limit_minor: int = 0
    outstanding_minor: int = 0
    instalment_minor: int = 0
    instalment_cycle: str = ""
    next_due: date | None = None
    final_due: date | None = None
    oldest_unpaid: date | None = None
    history: History | None = None

    @property
    def counts(self) -> bool:
        """Whether the borrower owes on it now, not merely as a guarantor."""
        return self.status == "open" and self.role != GUARANTOR

    @property
    def application(self) -> str:
        """The lender's own number of the application."""
        return self.application_id or self.loan_id


@dataclass(frozen=True, slots=True)
class Event:
    """One dated event."""

    lender: str
    kind: str
    time: int
    application: str


@dataclass(frozen=True, slots=True)
class Borrower:
    """One borrower with everything it has at all lenders."""

    label: str
    """Names the borrower in files and on the screen, in place of its identifier."""
    identity: Identity
    income_minor: int
    income_source: str
    accounts: tuple[Account, ...]

    @property
    def known_to(self) -> frozenset[str]:
        """Lenders that have it in their books, for whatever reason."""
        return frozenset(account.lender for account in self.accounts)

    @property
    def active_lenders(self) -> frozenset[str]:
        """Lenders that it owes to."""
        return frozenset(account.lender for account in self.accounts if account.counts)

    def owed_to(self, lender: str) -> int:
        """What it owes to one lender."""
        return sum(a.outstanding_minor for a in self.accounts if a.counts and a.lender == lender)

    @property
    def joint_outstanding(self) -> int:
        """What it owes to all."""
        return sum(a.outstanding_minor for a in self.accounts if a.counts)

    def days_past_due(self, today: date) -> int:
        """Of its worst account."""
        late = (
            (today - a.oldest_unpaid).days for a in self.accounts if a.counts and a.oldest_unpaid
        )
        return max(0, *late, 0)

    @property
    def events(self) -> list[Event]:
        """What happened, oldest first. A guarantor's loans are the debtor's events."""
        events = []
        for account in self.accounts:
            if account.role == GUARANTOR:
                continue
            times = [account.applied_time, account.declined_time, account.opened_time]
            dated = [*zip(STEPS, times, strict=True), (account.status, account.ended_time)]
            events += [
                Event(account.lender, kind, time, account.application)
                for kind, time in dated
                if time is not None
            ]
        return sorted(events, key=lambda event: (event.time, event.lender, event.application))


def iso(seconds: float) -> str:
    """A time as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def write_truth(path: Path, borrowers: Iterable[Borrower], today: date) -> None:
    """truth.jsonl: one line a borrower, as dealt. `today` is the day that lateness is told of."""
    with path.open("w", encoding="utf-8") as file:
        for borrower in borrowers:
            line = {
                "borrower": borrower.label,
                "active_lenders": len(borrower.active_lenders),
                "joint_outstanding_minor": borrower.joint_outstanding,
                "worst_days_past_due": borrower.days_past_due(today),
                "events": [
                    {
                        "lender": event.lender,
                        "kind": event.kind,
                        "time": iso(event.time),
                        "application": event.application,
                    }
                    for event in borrower.events
                ],
            }
            file.write(json.dumps(line) + "\n")
