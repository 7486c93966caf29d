"""Facts in the docs that can be recomputed, are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from counterfoil import amounts, answer, batch
from counterfoil.answer import RecordUsed
from counterfoil.errors import Reason
from counterfoil_daemon.status_codes import STATUS_OF, TRANSIENT

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs/protocol/README.md").read_text(encoding="utf-8")
SALT = bytes(range(32))


def test_the_protocols_examples_hold() -> None:
    leaf = batch.leaf(SALT, b"record")
    assert f"leaf = root = {leaf.hex()}" in PROTOCOL
    opening = answer.records_opening((RecordUsed("harbour", 1, 0, leaf),))
    commitment = answer.records_commitment(SALT, opening)
    assert f"records_commitment = {commitment.hex()}" in PROTOCOL
    band = amounts.band_of(70_000)
    told = f"band {band}, [{amounts.band_low(band):,}, {amounts.band_high(band):,})"
    assert told in PROTOCOL


def test_the_page_of_errors_is_the_code() -> None:
    text = (ROOT / "docs/protocol/errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| ([A-Z_]+) \| (yes|no) \|", text, re.MULTILINE)
    expected = [
        (reason.value, STATUS_OF[reason].name, "yes" if reason in TRANSIENT else "no")
        for reason in Reason
    ]
    assert rows == expected


@pytest.mark.parametrize(
    "page",
    sorted(str(p.relative_to(ROOT)) for p in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]),
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    missing = [target for target in targets if not (path.parent / target).exists()]
    assert not missing
