"""The dealt market: the same seed gives the same, its identifiers are valid however written, and
the independent calculation stands on its own feet."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from counterfoil import amounts
from counterfoil.identifier import Identifier
from counterfoil_node import tape_columns
from demo import independent, market
from demo.identities import Registry, spellings
from demo.independent import Act, Calculation
from demo.tapes import COLUMNS, write_tape
from demo.truth import Borrower

AS_OF = datetime(2026, 11, 24, 6, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]
POLICY = (ROOT / "gateway/counterfoil_gateway/policies/default.toml").read_bytes()


@pytest.fixture(scope="module")
def people() -> list[Borrower]:
    return market.deal(1, AS_OF, 300, 20)


def test_the_same_seed_deals_the_same_market(people: list[Borrower]) -> None:
    assert market.deal(1, AS_OF, 300, 20) == people
    assert market.deal(2, AS_OF, 300, 20) != people


def test_nothing_lies_after_the_as_of(people: list[Borrower]) -> None:
    times = [event.time for borrower in people for event in borrower.events]
    assert times
    assert max(times) <= AS_OF.timestamp()


def test_every_spelling_is_one_borrower() -> None:
    registry = Registry(Random(3))
    for _ in range(200):
        identity = registry.draw()
        inputs = {
            Identifier.parse(identity.scheme, way, identity.country).oprf_input()
            for way in spellings(identity)
        }
        assert inputs == {f"{identity.scheme}\0{identity.normal_form}".encode()}


def test_a_tape_has_columns_of_the_documented_schema(
    people: list[Borrower], tmp_path: Path
) -> None:
    assert set(COLUMNS) <= set(tape_columns.COLUMNS)
    rows = write_tape(tmp_path / "t.csv", market.LENDERS[0], people, AS_OF, Random(1))
    assert len((tmp_path / "t.csv").read_text().splitlines()) == rows + 1


def test_the_independent_calculation_imports_nothing_of_counterfoil() -> None:
    for module in (independent, market):
        tree = ast.parse(Path(module.__file__ or "").read_text())
        names = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not any(name.startswith("counterfoil") for name in names)


def test_its_bands_are_those_of_the_grid(people: list[Borrower]) -> None:
    """Both grids were written separately: on real amounts they agree."""
    calculation = Calculation(POLICY)
    for borrower in people:
        expected = calculation.expect(borrower, "nobody", AS_OF, [], None)
        band = amounts.band_of(borrower.joint_outstanding)
        assert expected.band == (amounts.band_low(band), amounts.band_high(band))


def test_it_counts_an_application_once_however_often_it_is_asked_about(
    people: list[Borrower],
) -> None:
    stranger = next(borrower for borrower in people if not borrower.known_to)
    calculation = Calculation(POLICY)
    same = [Act("tide", "T1", AS_OF)] * 9
    assert calculation.expect(stranger, "tide", AS_OF, same, same[0]).flags == {}
    different = [Act("tide", f"T{i}", AS_OF) for i in range(9)]
    flags = calculation.expect(stranger, "tide", AS_OF, different, None).flags
    assert flags["RAPID_PROBING"][0] == "critical"
