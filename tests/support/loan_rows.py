"""Rows of loan tapes for tests."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from counterfoil_node.tape_columns import COLUMNS

from .books import resident_id

AS_OF = "2026-11-20T00:00:00Z"
AS_OF_SECONDS = 1_795_132_800


def open_row(number: int, loan_id: str = "", **changes: str) -> dict[str, str]:
    """An open loan of the borrower of a number."""
    row = {
        "loan_id": loan_id or f"L-{number}",
        "identifier_scheme": "cn-resident-id",
        "identifier_value": resident_id(number),
        "role": "sole",
        "product_kind": "cash_loan",
        "status": "open",
        "applied_time": "2026-06-01T09:00:00+08:00",
        "opened_time": "2026-06-02",
        "currency": "CNY",
        "amount": "10000.00",
        "limit": "10000.00",
        "outstanding": "8000.00",
        "instalment": "900.00",
        "instalment_cycle": "monthly",
        "next_due_date": "2026-12-02",
        "final_due_date": "2027-06-02",
    }
    return row | changes


def ended_row(number: int, status: str, loan_id: str = "", **changes: str) -> dict[str, str]:
    """A loan that ended."""
    row = open_row(number, loan_id, status=status, ended_time="2026-10-01")
    for name in ("limit", "outstanding", "instalment", "instalment_cycle"):
        del row[name]
    del row["next_due_date"]
    return row | changes


def write_tape(
    path: Path, rows: Iterable[Mapping[str, str]], columns: Iterable[str] = COLUMNS
) -> Path:
    """A CSV tape of rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path
