"""The story in a table: what one lender sees alone, what the gateway adds, why, in what time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from counterfoil.answer import Answer, AnswerStatus, Flag

from .asking import Answered
from .comparing import band_of

EACH_KIND = 2

STYLES = {"INFO": "cyan", "WATCH": "yellow", "HIGH": "dark_orange", "CRITICAL": "bold red"}

WORDS: dict[str, Callable[[int, int], str]] = {
    "ACTIVE_LENDERS_AT_LEAST": lambda seen, limit: f"owes {seen} lenders (from {limit})",
    "JOINT_OUTSTANDING_AT_LEAST": lambda _, limit: f"may owe {usd(limit)} or more in all",
    "APPLICATIONS_7D_AT_LEAST": lambda seen, limit: f"{seen} applications in 7 days (from {limit})",
    "APPLICATIONS_15D_AT_LEAST": lambda seen, limit: f"{seen} in 15 days (from {limit})",
    "APPLICATIONS_1M_AT_LEAST": lambda seen, limit: f"{seen} in a month (from {limit})",
    "DAYS_PAST_DUE_AT_LEAST": lambda seen, limit: f"{seen} days overdue (from {limit})",
    "IRREGULAR_MONTHS_AT_LEAST": lambda seen, limit: f"late in {seen} months of 12 (from {limit})",
    "WRITTEN_OFF_AT_LEAST": lambda seen, limit: f"{seen} written off in 24 months (from {limit})",
    "PAID_PERCENT_BELOW": lambda seen, limit: f"paid {seen} % of what was due (below {limit})",
}


def usd(minor: int) -> str:
    """Minor units in words."""
    return f"${minor / 100:,.0f}"


def has(code: str) -> Callable[[Answered], bool]:
    """Whether an answer raises a flag."""
    return lambda answered: any(flag.code == code for flag in answered.answer.flags)


KINDS: Mapping[str, Callable[[Answered], bool]] = {
    "nobody knows": lambda a: a.answer.status is AnswerStatus.NO_RECORD,
    "one lender, no flag": lambda a: a.answer.active_lenders == 1 and not a.answer.flags,
    "two lenders": lambda a: (
        a.answer.active_lenders == 2 and [f.code for f in a.answer.flags] == ["MULTI_LENDER"]
    ),
    "stacking": lambda a: a.answer.active_lenders >= 4,
    "probing": lambda a: has("RAPID_PROBING")(a) and a.answer.active_lenders <= 2,
    "late elsewhere": lambda a: (
        has("REPAYMENT_IRREGULARITY")(a)
        and not a.question.borrower.owed_to(a.question.desk.lender.name)
    ),
    "a company": lambda a: a.question.borrower.identity.scheme == "cn-uscc",
}


def tell(console: Console, answers: Sequence[Answered]) -> None:
    """Prints the table: a few borrowers of each kind."""
    table = Table(title="What one lender sees alone, and what the gateway adds", show_lines=True)
    for column in ("borrower", "asked by", "sees alone", "with the gateway", "why", "clears"):
        table.add_column(column)
    table.add_column("ms", justify="right")
    for kind, fits in KINDS.items():
        for answered in [a for a in answers if fits(a)][:EACH_KIND]:
            table.add_row(*_row(kind, answered))
    console.print(table)


def totals(console: Console, answers: Sequence[Answered], facts: Mapping[str, str]) -> None:
    """Prints what was done and how long it took."""
    times = sorted(answered.milliseconds for answered in answers)
    cuts = statistics.quantiles(times, n=100)
    flags = [flag for answered in answers for flag in answered.answer.flags]
    table = Table(show_header=False, title="In all")
    for name, value in facts.items():
        table.add_row(name, value)
    table.add_row("borrowers asked about", f"{len({a.question.borrower.label for a in answers}):,}")
    table.add_row("answers compared", f"{len(answers):,}")
    for code in sorted({flag.code for flag in flags}):
        table.add_row(code, f"{sum(flag.code == code for flag in flags):,} flags")
    table.add_row("answer, p50 / p99", f"{cuts[49]:.1f} / {cuts[98]:.1f} ms")
    console.print(table)


def _row(kind: str, answered: Answered) -> list[str]:
    borrower, lender = answered.question.borrower, answered.question.desk.lender.name
    own = borrower.owed_to(lender)
    if lender in borrower.active_lenders:
        alone = f"owes it {usd(own)}"
    elif lender in borrower.known_to:
        alone = "knows it, owes nothing"
    else:
        alone = "nothing"
    return [
        f"{borrower.label}\n[dim]{kind}[/dim]",
        lender,
        alone,
        _told(answered.answer),
        "\n".join(_why(flag) for flag in answered.answer.flags) or "-",
        "\n".join(_clears(flag) for flag in answered.answer.flags) or "-",
        f"{answered.milliseconds:.0f}",
    ]


def _told(answer: Answer) -> str:
    if answer.status is AnswerStatus.NO_RECORD:
        return "no record (which is not no risk)"
    low, high = band_of(answer)
    owes = f"{usd(low)} to {usd(high)}" if high > 1 else "nothing"
    return f"{answer.active_lenders} lenders\n{owes}"


def _why(flag: Flag) -> str:
    style = STYLES[flag.severity.name]
    reasons = "; ".join(WORDS[r.code](r.observed, r.threshold) for r in flag.reasons)
    return f"[{style}]{flag.code} {flag.severity.name.lower()}[/{style}]: {reasons}"


def _clears(flag: Flag) -> str:
    condition = flag.clearing.condition.lower().replace("_", " ")
    if flag.clearing.clear_time is None:
        return condition
    return f"{condition}, by {datetime.fromtimestamp(flag.clearing.clear_time, UTC):%d %b %Y}"
