"""What both command lines share: exit codes, and errors as one line instead of a traceback."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import click

from counterfoil.errors import CounterfoilError, Reason, VerificationError

P = ParamSpec("P")
R = TypeVar("R")

OK = 0
FAILURE = 1
USAGE = 2
VERIFICATION_FAILED = 3
UNREACHABLE = 4

_USAGE = frozenset({Reason.CONFIG_INVALID, Reason.FILE_MISSING, Reason.POLICY_INVALID})
_UNREACHABLE = frozenset(
    {Reason.GATEWAY_UNREACHABLE, Reason.EVALUATOR_UNAVAILABLE, Reason.SHUTTING_DOWN}
)


def exit_code(error: CounterfoilError) -> int:
    """The exit code that tells what kind of error it was."""
    if isinstance(error, VerificationError):
        return VERIFICATION_FAILED
    if error.reason in _USAGE:
        return USAGE
    if error.reason in _UNREACHABLE:
        return UNREACHABLE
    return FAILURE


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Makes a command print `error: REASON: message (field)` on stderr and exit with its code."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except CounterfoilError as error:
            place = f" ({error.field})" if error.field else ""
            click.echo(f"error: {error.reason.value}: {error.message}{place}", err=True)
            if isinstance(error, VerificationError) and (error.expected or error.actual):
                click.echo(f"  expected {error.expected}\n  actual   {error.actual}", err=True)
            sys.exit(exit_code(error))

    return wrapped


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
