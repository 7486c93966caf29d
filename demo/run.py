"""The demo from beginning to end."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from .asking import Answered, ask_all, plan
from .comparing import differences, write_answers
from .market import LENDERS, deal
from .processes import Daemons, DemoFailed
from .story import tell, totals
from .tapes import write_tape
from .town import Place, build, wait_published
from .truth import Borrower, write_truth

SEED = 20_261_124
BOOK_AGE = timedelta(hours=3)
"""The lenders' books are as of some hours ago, as after last night's run."""
SHOWN_DIFFERENCES = 20


class Phases:
    """Progress on the screen, and how long each phase took."""

    def __init__(self, console: Console) -> None:
        self.seconds: dict[str, float] = {}
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=not console.is_terminal,
        )

    @contextmanager
    def phase(self, name: str, total: int | None = None) -> Iterator[TaskID]:
        """A phase; yields the number by which its progress is told."""
        task = self.progress.add_task(name, total=total)
        start = time.perf_counter()
        yield task
        self.seconds[name] = time.perf_counter() - start
        self.progress.update(task, total=total or 1, completed=total or 1, description=name)
        if not self.progress.console.is_terminal:
            self.progress.console.print(f"{name}: {self.seconds[name]:.1f} s")


def main() -> int:
    """Runs it; returns 0 if every answer was right, else 1."""
    console = Console(width=None if os.isatty(1) else 150)
    wanted = os.environ.get("DEMO_OUT", "")
    with ExitStack() as stack:
        if wanted:
            root = Path(wanted).resolve()
            if root.exists() and any(root.iterdir()):
                console.print(f"FAILED: {wanted} is not empty")
                return 1
        else:
            root = Path(tempfile.mkdtemp(prefix="counterfoil-demo-"))
            stack.callback(shutil.rmtree, root, ignore_errors=True)
        try:
            return _run(console, Place(root), kept=wanted)
        except DemoFailed as failure:
            console.print(f"FAILED: {failure}", markup=False)
            return 1


def _run(console: Console, place: Place, kept: str) -> int:
    start = time.perf_counter()
    phases = Phases(console)
    as_of = datetime.now(UTC).replace(microsecond=0) - BOOK_AGE
    with Daemons(place.logs) as daemons, phases.progress:
        with phases.phase("deal real loans to five lenders"):
            people = deal(SEED, as_of)
            rows = _write_books(place, people, as_of)
        with phases.phase("gateway and nodes: keys, enrolment, import"):
            town = build(place, daemons, as_of)
        with phases.phase("tokens and records published") as task:
            asyncio.run(
                wait_published(town, lambda text: phases.progress.update(task, description=text))
            )
        questions = plan(town, people, Random(SEED))
        with phases.phase("questions asked", sum(map(len, questions))) as task:
            answers = asyncio.run(
                ask_all(questions, lambda done: phases.progress.update(task, completed=done))
            )
    policy = (place.gateway / "policy.toml").read_bytes()
    found = differences(answers, policy)
    _keep(place, people, answers, policy, as_of)
    tell(console, answers)
    facts = {
        "lenders": ", ".join(lender.name for lender in LENDERS),
        "borrowers dealt": f"{len(people):,}",
        "rows in five tapes": f"{rows:,}",
        **{name: f"{seconds:.1f} s" for name, seconds in phases.seconds.items()},
        "everything": f"{time.perf_counter() - start:.1f} s",
    }
    totals(console, answers, facts)
    if found:
        console.print(f"FAILED: {len(found)} differences from the independent calculation")
        for text in found[:SHOWN_DIFFERENCES]:
            console.print(text, markup=False)
        return 1
    console.print(
        f"Every one of {len(answers):,} answers is what an independent calculation from the truth"
        " says: lenders, band, flags and reasons."
    )
    if kept:
        console.print(f"Everything is kept in {kept}", markup=False)
    return 0


def _write_books(place: Place, people: list[Borrower], as_of: datetime) -> int:
    rng = Random(SEED)
    return sum(write_tape(place.tape(lender), lender, people, as_of, rng) for lender in LENDERS)


def _keep(
    place: Place,
    people: list[Borrower],
    answers: list[Answered],
    policy: bytes,
    as_of: datetime,
) -> None:
    today = as_of.astimezone(ZoneInfo("Asia/Shanghai")).date()
    write_truth(place.root / "truth.jsonl", people, today)
    write_answers(place.root / "answers.jsonl", answers)
    (place.root / "policy.toml").write_bytes(policy)
