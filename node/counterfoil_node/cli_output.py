"""What the command line prints: results on standard output, messages on standard error."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from counterfoil.amounts import minor_digits
from counterfoil.answer import Answer, AnswerStatus
from counterfoil.timestamps import from_seconds
from counterfoil_daemon.cli import print_json
from counterfoil_daemon.settings import load

from .config import Settings
from .desk_client import DeskReply
from .importing import ImportOutcome
from .standing import NodeStanding


def checked(flags: dict[str, object]) -> Settings:
    """Settings of flags alone, as a new folder has them; CONFIG_INVALID."""
    return load(Settings, environment={}, flags=flags).value


@contextlib.contextmanager
def progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, only where it is a terminal."""
    if not sys.stderr.isatty():
        yield lambda position, size: None
        return
    columns = (TextColumn("importing"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=None)

        def advance(position: int, size: int) -> None:
            bar.update(task, total=size, completed=position)

        yield advance


def tell_import(outcome: ImportOutcome, as_json: bool) -> None:
    """What an import did, and every bad row."""
    result = outcome.result
    if as_json:
        print_json(
            {
                "applied": outcome.applied,
                "repeated": result.repeated,
                "rows": result.row_count,
                "bad_rows": [
                    {
                        "line": row.line,
                        "reason": row.reason.value,
                        "field": row.field,
                        "message": row.message,
                    }
                    for row in outcome.bad_rows
                ],
                "changed_borrowers": result.changed_borrower_count,
                "closed_loans": result.closed_loan_count,
            }
        )
        return
    for row in outcome.bad_rows:
        place = f" {row.field}:" if row.field else ""
        click.echo(f"line {row.line}: {row.reason.value}:{place} {row.message}", err=True)
    if outcome.applied:
        repeated = " (imported before; nothing was done again)" if result.repeated else ""
        click.echo(
            f"{result.row_count} rows, {result.bad_row_count} bad,"
            f" {result.changed_borrower_count} borrowers changed,"
            f" {result.closed_loan_count} loans closed{repeated}"
        )


def tell_answer(reply: DeskReply, as_json: bool) -> None:
    """An answer to a person or a program."""
    if as_json:
        print_json(reply_to_dict(reply))
        return
    answer = reply.answer
    table = Table(show_header=False, box=None)
    table.add_row("status", answer.status.name)
    if answer.status is AnswerStatus.UNAVAILABLE:
        table.add_row("why", answer.unavailable_reason)
    else:
        _add_facts(table, answer)
    table.add_row("own exposure", "yes" if reply.own_exposure else "no")
    Console(width=100, soft_wrap=True).print(table)


def _add_facts(table: Table, answer: Answer) -> None:
    table.add_row("active lenders", str(answer.active_lenders))
    for band in answer.joint_outstanding:
        digits = minor_digits(band.currency)
        low, high = (amount / 10**digits for amount in (band.low_minor, band.high_minor))
        table.add_row("joint outstanding", f"{band.currency} {low:,.2f} to under {high:,.2f}")
    for flag in answer.flags:
        reasons = "; ".join(
            f"{reason.indicator} {reason.observed} (threshold {reason.threshold})"
            for reason in flag.reasons
        )
        table.add_row(f"{flag.code} {flag.severity.name.lower()}", reasons)
        time = flag.clearing.clear_time
        when = f" by {from_seconds(time):%Y-%m-%d}" if time is not None else ""
        table.add_row("  clears", f"{flag.clearing.condition}{when}")
    coverage = answer.coverage
    table.add_row(
        "rests on", f"{coverage.member_count} members, {coverage.fresh_percent} % fresh or more"
    )
    for exclusion in coverage.exclusions:
        table.add_row("  but", f"{exclusion.reason.name} {exclusion.lender_count}")
    table.add_row("policy", answer.policy_version)


def reply_to_dict(reply: DeskReply) -> dict[str, object]:
    """The answer as JSON, with the signed original. The inquiry stays out: it holds the
    borrower's token, and output ends up in files."""
    signed = reply.signed_answer
    return {
        "answer": _plain(reply.answer),
        "own_exposure": reply.own_exposure,
        "signed_answer": {
            "payloadType": signed.payload_type,
            "payload": b64encode(signed.payload).decode(),
            "signatures": [
                {"keyid": one.key_id, "sig": b64encode(one.signature).decode()}
                for one in signed.signatures
            ],
        },
    }


def _plain(value: object) -> Any:
    """A domain value as JSON has it: enums by name, bytes in hex, times as they are."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


def tell_status(standing: NodeStanding, running: bool, as_json: bool) -> None:
    """How the node stands."""
    shown = {"running": running, **_plain(standing)}
    shown |= shown.pop("counts")
    for name in ("published_complete_as_of", "certificate_expire"):
        if shown[name] is not None:
            shown[name] = from_seconds(shown[name]).isoformat()
    if as_json:
        print_json(shown)
        return
    for name, value in shown.items():
        click.echo(f"{name}: {value}")
