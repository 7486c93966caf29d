"""Measuring: warm-up, repeated runs in turn, medians, and ratios against the bare operation.

A figure is a rate (operations a second). The measured and the bare operation run alternately, so
that both see the same machine. A machine's noise then cancels in the ratio, which is what counts.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from rich.console import Console
from rich.table import Table

Run = Callable[[], Awaitable[int]]
"""Does some work and returns how many operations it did."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the results."""

    name: str
    value: float
    unit: str
    against: float | None = None
    """The bare operation's figure in the same unit."""
    ratio: float | None = None


async def rate(run: Run) -> float:
    """Operations a second of one run."""
    start = perf_counter()
    count = await run()
    return count / (perf_counter() - start)


async def compare(name: str, unit: str, run: Run, bare: Run, *, repeats: int) -> Figure:
    """The median rate of `run` against that of `bare`, both run in turn after one warm-up each."""
    progress(name)
    await run()
    await bare()
    rates, bares = [], []
    for _ in range(repeats):
        rates.append(await rate(run))
        bares.append(await rate(bare))
    value, against = statistics.median(rates), statistics.median(bares)
    return Figure(name, round(value, 1), unit, round(against, 1), round(value / against, 3))


def progress(text: str) -> None:
    """Says what is being measured."""
    print(f"measuring {text} …", file=sys.stderr, flush=True)


def report(figures: list[Figure], results: Path) -> None:
    """Prints the table and writes the results file, a list of figures."""
    table = Table(title="Counterfoil bench")
    for column in ("name", "value", "unit", "against", "ratio"):
        table.add_column(column, justify="left" if column in ("name", "unit") else "right")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.value:,.1f}",
            figure.unit,
            "" if figure.against is None else f"{figure.against:,.1f}",
            "" if figure.ratio is None else f"{figure.ratio:.3f}",
        )
    Console().print(table)
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps([asdict(f) for f in figures], indent=2) + "\n")
