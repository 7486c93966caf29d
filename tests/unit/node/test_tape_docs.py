"""docs/loan-tape.md and its example say what the code does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from counterfoil.exposure import IncomeSource, InstalmentCycle, ProductKind, Role
from counterfoil_node.importing import ImportOrder, import_tape
from counterfoil_node.loans import MAX_LOAN_ID_CHARACTERS, LoanStatus
from counterfoil_node.tape import TapeKind
from counterfoil_node.tape_columns import COLUMNS, HISTORY_STATUSES, REQUIRED
from support.books import new_book
from support.loan_rows import AS_OF_SECONDS

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/loan-tape.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "docs/examples/loan-tape.csv"
ROWS = dict(re.findall(r"^\| `(\w+)`(?: \*)? \| (.+) \|$", PAGE, re.MULTILINE))


def test_the_page_lists_the_columns_in_order_and_marks_the_required() -> None:
    rows = re.findall(r"^\| `([a-z_]{4,})`( \*)? \| ", PAGE, re.MULTILINE)
    assert tuple(name for name, _ in rows) == COLUMNS
    assert {name for name, star in rows if star} == set(REQUIRED)


def test_the_page_lists_every_word_of_a_column() -> None:
    for column, words in (
        ("role", [role.name.lower() for role in Role]),
        ("product_kind", [kind.name.lower() for kind in ProductKind]),
        ("status", [status.value for status in LoanStatus]),
        ("instalment_cycle", [cycle.name.lower() for cycle in InstalmentCycle]),
        ("income_source", [source.name.lower() for source in IncomeSource]),
    ):
        assert re.findall(r"`(\w+)`", ROWS[column])[: len(words)] == words, column
    assert f"at most {MAX_LOAN_ID_CHARACTERS} characters" in ROWS["loan_id"]


def test_the_page_lists_every_letter_of_a_history() -> None:
    letters = re.findall(r"^\| `(.)` \| ", PAGE, re.MULTILINE)
    assert letters == list(HISTORY_STATUSES)


def test_the_example_has_every_column() -> None:
    header = EXAMPLE.read_text(encoding="utf-8").splitlines()[0]
    assert tuple(header.split(",")) == COLUMNS


async def test_the_example_is_imported_whole(tmp_path: Path) -> None:
    book = await new_book(tmp_path)
    order = ImportOrder(EXAMPLE, AS_OF_SECONDS, TapeKind.FULL)
    outcome = await import_tape(
        book, order, lambda: datetime.fromtimestamp(AS_OF_SECONDS + 60, UTC)
    )
    await book.close()
    assert outcome.bad_rows == ()
    assert outcome.applied
