"""Loan tapes: every rule of every column, told by line, column and reason, never by value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterfoil.amounts import MAX_AMOUNT_MINOR, minor_digits
from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.exposure import PaymentStatus, ProductKind, Role
from counterfoil_node.loans import LoanStatus, from_body, to_body
from counterfoil_node.tape import BadRow, open_tape
from counterfoil_node.tape_columns import COLUMNS, TapeRow, parse_amount, parse_row
from support.books import ZONE, resident_id
from support.loan_rows import AS_OF_SECONDS, ended_row, open_row, write_tape


def read(path: Path) -> list[TapeRow | BadRow]:
    return [line.row for line in open_tape(path, AS_OF_SECONDS, ZONE).lines]


def parse(row: dict[str, str]) -> TapeRow:
    return parse_row(row, AS_OF_SECONDS, ZONE)


def test_an_open_row_becomes_a_loan() -> None:
    row = parse(
        open_row(
            1,
            application_id="A-1",
            oldest_unpaid_due_date="2026-11-02",
            history_month="2026-11",
            history_status="10.",
            history_due="900.00;900.00;0",
            history_paid="0;900;0",
            income_annual="96000",
            income_source="employer",
            income_date="2026-05-01",
        )
    )
    loan = row.loan
    assert row.identifier.value == resident_id(1)
    assert (loan.role, loan.product_kind, loan.status) == (
        Role.SOLE,
        ProductKind.CASH_LOAN,
        LoanStatus.OPEN,
    )
    assert loan.applied_time == int(datetime(2026, 6, 1, 1, tzinfo=UTC).timestamp())
    # A bare date is midnight at the lender's counter, eight hours before midnight UTC.
    assert loan.opened_time == int(datetime(2026, 6, 1, 16, tzinfo=UTC).timestamp())
    assert loan.standing is not None
    assert loan.standing.outstanding_minor == 800_000
    assert loan.standing.oldest_unpaid_due_day == date(2026, 11, 2).toordinal() - 719_163
    assert loan.months is not None
    assert loan.months.latest_month == 682
    assert loan.months.statuses == (
        PaymentStatus.PAST_DUE_1,
        PaymentStatus.AS_AGREED,
        PaymentStatus.NO_DATA,
    )
    assert loan.months.paid_minor == (0, 90_000, 0)
    assert loan.income is not None
    assert loan.income.annual_minor == 9_600_000
    assert from_body(to_body(loan)) == loan


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"loan_id": ""}, Reason.FIELD_MISSING, "loan_id"),
        ({"loan_id": "x" * 129}, Reason.FIELD_INVALID, "loan_id"),
        ({"loan_id": "a\x07b"}, Reason.TEXT_INVALID, "loan_id"),
        ({"identifier_scheme": ""}, Reason.FIELD_MISSING, "identifier_scheme"),
        ({"identifier_scheme": "e164"}, Reason.IDENTIFIER_SCHEME_UNKNOWN, "identifier_scheme"),
        ({"identifier_value": ""}, Reason.FIELD_MISSING, "identifier_value"),
        (
            {"identifier_value": "110105194912310021"},
            Reason.IDENTIFIER_CHECK_DIGIT,
            "identifier_value",
        ),
        ({"identifier_value": "abc"}, Reason.IDENTIFIER_INVALID, "identifier_value"),
        ({"role": "owner"}, Reason.ENUM_UNKNOWN, "role"),
        ({"role": "SOLE"}, Reason.ENUM_UNKNOWN, "role"),
        ({"product_kind": "loan"}, Reason.ENUM_UNKNOWN, "product_kind"),
        ({"status": "active"}, Reason.ENUM_UNKNOWN, "status"),
        ({"currency": "RMB"}, Reason.CURRENCY_UNKNOWN, "currency"),
        ({"amount": ""}, Reason.FIELD_MISSING, "amount"),
        ({"amount": "-1.00"}, Reason.AMOUNT_NEGATIVE, "amount"),
        ({"amount": "1,000.00"}, Reason.FIELD_INVALID, "amount"),
        ({"amount": "1e3"}, Reason.FIELD_INVALID, "amount"),
        ({"amount": "0.005"}, Reason.FIELD_INVALID, "amount"),
        ({"amount": "10000000000000.01"}, Reason.AMOUNT_TOO_LARGE, "amount"),
        ({"amount": "10.5", "currency": "JPY"}, Reason.FIELD_INVALID, "amount"),
        ({"limit": ""}, Reason.FIELD_MISSING, "limit"),
        ({"outstanding": ""}, Reason.FIELD_MISSING, "outstanding"),
        ({"outstanding": "-0.01"}, Reason.AMOUNT_NEGATIVE, "outstanding"),
        ({"instalment_cycle": ""}, Reason.FIELD_MISSING, "instalment_cycle"),
        ({"instalment_cycle": "often"}, Reason.ENUM_UNKNOWN, "instalment_cycle"),
        ({"instalment_cycle": "none"}, Reason.FIELD_INVALID, "instalment"),
        ({"next_due_date": "2026-02-30"}, Reason.FIELD_INVALID, "next_due_date"),
        ({"final_due_date": "20270602"}, Reason.FIELD_INVALID, "final_due_date"),
        ({"applied_time": "2026-06-01T09:00:00"}, Reason.FIELD_INVALID, "applied_time"),
        ({"applied_time": "yesterday"}, Reason.FIELD_INVALID, "applied_time"),
        ({"applied_time": "2026-06-03"}, Reason.FIELD_INVALID, "opened_time"),
        ({"opened_time": "2026-11-20T00:00:01Z"}, Reason.FIELD_INVALID, "opened_time"),
        ({"declined_time": "2026-06-01"}, Reason.FIELD_INVALID, "declined_time"),
        ({"ended_time": "2026-07-01"}, Reason.FIELD_INVALID, "ended_time"),
        ({"time_zone": "Mars/Olympus"}, Reason.TIME_ZONE_UNKNOWN, "time_zone"),
        ({"history_month": "2026-11"}, Reason.FIELD_MISSING, "history_status"),
        (
            {
                "history_month": "2026-12",
                "history_status": "0",
                "history_due": "1",
                "history_paid": "1",
            },
            Reason.FIELD_INVALID,
            "history_month",
        ),
        (
            {
                "history_month": "2026-11",
                "history_status": "0X",
                "history_due": "1;1",
                "history_paid": "1;1",
            },
            Reason.ENUM_UNKNOWN,
            "history_status",
        ),
        (
            {
                "history_month": "2026-11",
                "history_status": "00",
                "history_due": "1",
                "history_paid": "1;1",
            },
            Reason.FIELD_INVALID,
            "history_due",
        ),
        (
            {
                "history_month": "2026-11",
                "history_status": "0" * 25,
                "history_due": ";".join("1" * 25),
                "history_paid": ";".join("1" * 25),
            },
            Reason.FIELD_INVALID,
            "history_status",
        ),
        ({"income_annual": "1"}, Reason.FIELD_MISSING, "income_source"),
        (
            {"income_annual": "1", "income_source": "guess", "income_date": "2026-01-01"},
            Reason.ENUM_UNKNOWN,
            "income_source",
        ),
    ],
)
def test_a_row_that_breaks_a_rule_is_told_by_reason_and_column(
    changes: dict[str, str], reason: Reason, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(open_row(1) | changes)
    assert (refused.value.reason, refused.value.field) == (reason, field)
    for value in changes.values():
        assert len(value) < 4 or value not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "changes", "field"),
    [
        ("applied", {"applied_time": ""}, "applied_time"),
        ("applied", {"opened_time": "2026-06-02", "ended_time": ""}, "opened_time"),
        ("declined", {"opened_time": "", "ended_time": ""}, "declined_time"),
        ("closed", {"ended_time": ""}, "ended_time"),
        ("repaid_early", {"ended_time": ""}, "ended_time"),
        ("written_off", {"ended_time": ""}, "ended_time"),
        ("closed", {"next_due_date": "2026-12-01"}, "next_due_date"),
        ("closed", {"ended_time": "2026-06-01"}, "ended_time"),
        ("closed", {"outstanding": "x"}, "outstanding"),
    ],
)
def test_each_status_asks_for_its_own_times(
    status: str, changes: dict[str, str], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(ended_row(1, status) | changes)
    assert refused.value.field == field


@pytest.mark.parametrize("status", ["closed", "repaid_early", "written_off"])
def test_ended_loans_have_no_standing(status: str) -> None:
    assert parse(ended_row(1, status)).loan.standing is None


@given(
    amount=st.integers(0, MAX_AMOUNT_MINOR),
    currency=st.sampled_from(["CNY", "JPY", "BHD"]),
    zeros=st.integers(0, 3),
)
def test_amounts_are_exact(amount: int, currency: str, zeros: int) -> None:
    digits = minor_digits(currency)
    text = f"{Decimal(amount).scaleb(-digits):f}"
    if zeros:
        text = text + ("" if "." in text else ".") + "0" * zeros
    assert parse_amount(text, currency, "amount") == amount


@given(st.text(max_size=12))
def test_no_text_is_an_amount_by_accident(text: str) -> None:
    try:
        amount = parse_amount(text, "CNY", "amount")
    except InvalidInput:
        return
    assert Decimal(text).scaleb(2) == amount


@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=20)))
def test_any_row_is_a_loan_or_an_invalid_input(changes: dict[str, str]) -> None:
    try:
        row = parse(open_row(1) | changes)
    except InvalidInput:
        return
    assert from_body(to_body(row.loan)) == row.loan


def test_bad_rows_carry_their_line_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "tape.csv", [open_row(1), open_row(2), open_row(3)])
    lines = path.read_bytes().split(b"\r\n")
    lines[2] = lines[2].replace(b"L-2", b"L-\xff")
    lines.insert(3, b"too,few")
    path.write_bytes(b"\r\n".join(lines))
    rows = [(line.number, line.row) for line in open_tape(path, AS_OF_SECONDS, ZONE).lines]
    assert [number for number, _ in rows] == [2, 3, 4, 5]
    bad = [row for _, row in rows if isinstance(row, BadRow)]
    assert [(b.line, b.reason, b.field) for b in bad] == [
        (3, Reason.TEXT_INVALID, "loan_id"),
        (4, Reason.MALFORMED, ""),
    ]


def test_quoting_that_is_not_csv_is_a_bad_row(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "tape.csv", [open_row(1)])
    path.write_bytes(path.read_bytes() + b'"a"b,c\r\n')
    assert [type(row) for row in read(path)] == [TapeRow, BadRow]


def test_a_byte_order_mark_and_empty_lines_do_not_matter(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "tape.csv", [open_row(1)])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")
    assert [type(row) for row in read(path)] == [TapeRow]


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("loan_id,colour", "colour"),
        ("loan_id,loan_id", "twice"),
        ("loan_id,role", "missing"),
        ("", "missing"),
    ],
)
def test_a_header_must_be_known_and_whole(tmp_path: Path, header: str, told: str) -> None:
    path = tmp_path / "tape.csv"
    path.write_text(header + "\n")
    with pytest.raises(InvalidInput, match=told) as refused:
        open_tape(path, AS_OF_SECONDS, ZONE)
    assert refused.value.reason is Reason.TAPE_INVALID


def test_a_tape_without_header_does_not_leak_its_first_row(tmp_path: Path) -> None:
    path = tmp_path / "tape.csv"
    path.write_text(f"L-1,{resident_id(1)}\n")
    with pytest.raises(InvalidInput) as refused:
        open_tape(path, AS_OF_SECONDS, ZONE)
    assert resident_id(1) not in str(refused.value)


def test_a_missing_tape_is_told(tmp_path: Path) -> None:
    with pytest.raises(CounterfoilError) as refused:
        open_tape(tmp_path / "nothing.csv", AS_OF_SECONDS, ZONE)
    assert refused.value.reason is Reason.FILE_MISSING


def test_a_tape_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "tape.csv", [open_row(1), open_row(2)])
    lines = open_tape(path, AS_OF_SECONDS, ZONE).lines
    next(lines)
    with path.open("ab") as file:
        file.write(b"\r\n")
    with pytest.raises(InvalidInput) as refused:
        list(lines)
    assert refused.value.reason is Reason.TAPE_INVALID


def test_parquet_of_text_reads_like_csv(tmp_path: Path) -> None:
    rows = [open_row(1), open_row(2)]
    table = pa.table({name: [row.get(name) for row in rows] for name in COLUMNS})
    pq.write_table(table, tmp_path / "tape.parquet")
    assert read(tmp_path / "tape.parquet") == read(write_tape(tmp_path / "tape.csv", rows))


def test_parquet_of_natural_types_reads_like_csv(tmp_path: Path) -> None:
    text = open_row(1)
    columns = {name: pa.array([value]) for name, value in text.items()}
    columns |= {
        "amount": pa.array([Decimal("10000.00")], pa.decimal128(18, 4)),
        "limit": pa.array([10_000], pa.int64()),
        "outstanding": pa.array([8000.0], pa.float64()),
        "next_due_date": pa.array([date(2026, 12, 2)], pa.date32()),
        "applied_time": pa.array(
            [datetime(2026, 6, 1, 1, tzinfo=UTC)], pa.timestamp("us", "Asia/Shanghai")
        ),
    }
    pq.write_table(pa.table(columns), tmp_path / "tape.parquet")
    (row,) = read(tmp_path / "tape.parquet")
    assert row == parse(text)


def test_parquet_of_other_types_is_a_bad_row(tmp_path: Path) -> None:
    columns = {name: pa.array([value]) for name, value in open_row(1).items()}
    columns["loan_id"] = pa.array([[1, 2]], pa.list_(pa.int64()))
    pq.write_table(pa.table(columns), tmp_path / "tape.parquet")
    (row,) = read(tmp_path / "tape.parquet")
    assert isinstance(row, BadRow)
    assert (row.line, row.field) == (1, "loan_id")


def test_a_broken_parquet_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "tape.parquet"
    path.write_bytes(b"PAR1 nothing like it PAR1")
    with pytest.raises(InvalidInput) as refused:
        open_tape(path, AS_OF_SECONDS, ZONE)
    assert refused.value.reason is Reason.TAPE_INVALID
