"""`make demo` as a newcomer runs it, and what it keeps."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.processes import environment

ROOT = Path(__file__).resolve().parents[2]
LENDERS = {"harbour", "meridian", "lotus", "quarry", "tide"}


@dataclasses.dataclass
class Demo:
    """One run of the demo."""

    out: Path
    printed: str
    truth: dict[str, dict[str, Any]]
    answers: list[dict[str, Any]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    out = tmp_path_factory.mktemp("demo") / "out"
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=environment() | {"DEMO_OUT": str(out)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    truth = {line["borrower"]: line for line in lines(out / "truth.jsonl")}
    return Demo(out, done.stdout, truth, lines(out / "answers.jsonl"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_every_answer_is_true(demo: Demo) -> None:
    """Judged anew from the kept files alone."""
    assert len({answer["borrower"] for answer in demo.answers}) >= 2_000
    for answer in demo.answers:
        truth = demo.truth[answer["borrower"]]
        low, high = answer["joint_outstanding_band"]
        assert answer["active_lenders"] == truth["active_lenders"]
        assert low <= truth["joint_outstanding_minor"] < high
        late = truth["worst_days_past_due"] >= 1
        flagged = [flag["code"] for flag in answer["flags"]]
        assert ("MULTI_LENDER" in flagged) >= (truth["active_lenders"] >= 2)
        assert ("REPAYMENT_IRREGULARITY" in flagged) >= late
    assert "Every one of" in demo.printed


@pytest.mark.slow
def test_the_market_is_dealt_as_real_ones_are(demo: Demo) -> None:
    counts = [truth["active_lenders"] for truth in demo.truth.values() if truth["active_lenders"]]
    share = {n: sum(c == n for c in counts) / len(counts) for n in range(1, 6)}
    assert share[1] + share[2] == pytest.approx(0.87, abs=0.02)
    assert share[3] == pytest.approx(0.07, abs=0.02)
    assert share[4] + share[5] == pytest.approx(0.06, abs=0.02)


@pytest.mark.slow
def test_answers_of_each_kind_are_there_in_the_order_asked(demo: Demo) -> None:
    asked = [answer["asked_at"] for answer in demo.answers]
    assert asked == sorted(asked)
    assert {answer["asked_by"] for answer in demo.answers} == LENDERS
    assert {answer["status"] for answer in demo.answers} == {"ASSESSED", "NO_RECORD"}
    codes = {flag["code"] for answer in demo.answers for flag in answer["flags"]}
    assert codes == {"MULTI_LENDER", "RAPID_PROBING", "REPAYMENT_IRREGULARITY"}
    severities = {flag["severity"] for answer in demo.answers for flag in answer["flags"]}
    assert severities == {"info", "watch", "high", "critical"}


@pytest.mark.slow
def test_everything_is_kept_and_nothing_runs_on(demo: Demo) -> None:
    assert {path.stem for path in (demo.out / "tapes").glob("*.csv")} == LENDERS
    assert {path.name for path in (demo.out / "nodes").iterdir()} == LENDERS
    assert (demo.out / "gateway" / "gateway.db").is_file()
    assert (demo.out / "policy.toml").is_file()
    assert {path.stem for path in (demo.out / "logs").iterdir()} == {"gateway", *LENDERS}
    assert not running_in(demo.out)


def running_in(folder: Path) -> list[str]:
    """Processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in command:
                found.append(entry.name)
    return found


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env=environment() | {"DEMO_OUT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "not empty" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
