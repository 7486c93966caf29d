"""The lenders' loan tapes: one CSV each, in the columns of docs/loan-tape.md, with identifiers as
untidy as loan systems keep them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from .identities import untidy
from .market import Lender
from .truth import CURRENCY, Account, Borrower

COLUMNS = (
    "loan_id application_id identifier_scheme identifier_value identifier_country role "
    "product_kind status applied_time declined_time opened_time ended_time currency amount limit "
    "outstanding instalment instalment_cycle next_due_date final_due_date oldest_unpaid_due_date "
    "history_month history_status history_due history_paid income_annual income_source income_date"
).split()


def write_tape(
    path: Path, lender: Lender, borrowers: Iterable[Borrower], as_of: datetime, rng: Random
) -> int:
    """Writes a full tape of a lender's book; returns its number of rows."""
    rows = [
        _row(lender, borrower, account, as_of, rng)
        for borrower in borrowers
        for account in borrower.accounts
        if account.lender == lender.name
    ]
    rng.shuffle(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _row(
    lender: Lender, borrower: Borrower, account: Account, as_of: datetime, rng: Random
) -> dict[str, str]:
    value, country = untidy(borrower.identity, rng)
    row = {
        "loan_id": account.loan_id,
        "application_id": account.application_id,
        "identifier_scheme": borrower.identity.scheme,
        "identifier_value": value,
        "identifier_country": country,
        "role": account.role,
        "product_kind": account.product_kind,
        "status": account.status,
        "applied_time": _time(account.applied_time, lender),
        "declined_time": _time(account.declined_time, lender),
        "opened_time": _time(account.opened_time, lender),
        "ended_time": _time(account.ended_time, lender),
        "currency": CURRENCY,
        "amount": decimal(account.amount_minor),
        "income_annual": decimal(borrower.income_minor),
        "income_source": borrower.income_source,
        "income_date": as_of.date().replace(day=1).isoformat(),
    }
    if account.status == "open":
        row |= {
            "limit": decimal(account.limit_minor),
            "outstanding": decimal(account.outstanding_minor),
            "instalment": decimal(account.instalment_minor),
            "instalment_cycle": account.instalment_cycle,
            "next_due_date": _day(account.next_due),
            "oldest_unpaid_due_date": _day(account.oldest_unpaid),
            "final_due_date": _day(account.final_due),
        }
    history = account.history
    if history is not None:
        year, month = divmod(history.latest_month, 12)
        row |= {
            "history_month": f"{1970 + year}-{month + 1:02d}",
            "history_status": history.statuses,
            "history_due": _decimals(history.due_minor),
            "history_paid": _decimals(history.paid_minor),
        }
    return row


def decimal(amount_minor: int) -> str:
    """Minor units as an exact decimal string."""
    whole, cents = divmod(amount_minor, 100)
    return f"{whole}.{cents:02d}"


def _decimals(amounts: Sequence[int]) -> str:
    return ";".join(map(decimal, amounts))


def _day(day: date | None) -> str:
    return "" if day is None else day.isoformat()


def _time(seconds: int | None, lender: Lender) -> str:
    """As the lender's system writes times: some by offset, some in UTC, some dates only."""
    if seconds is None:
        return ""
    local = datetime.fromtimestamp(seconds, ZoneInfo(lender.time_zone))
    if lender.writes_times == "date":
        return local.date().isoformat()
    if lender.writes_times == "utc":
        return local.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return local.isoformat()
