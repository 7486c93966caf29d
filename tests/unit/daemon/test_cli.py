"""Command lines: errors in one line, exit codes that a script can read."""

from __future__ import annotations

import json

import click
import pytest
from click.testing import CliRunner, Result

from counterfoil.errors import CounterfoilError, InvalidInput, Reason, VerificationError
from counterfoil_daemon.cli import print_json, reports_errors


def outcome(error: Exception | None) -> Result:
    @click.command()
    @reports_errors
    def command() -> None:
        if error is not None:
            raise error
        click.echo("done")

    return CliRunner().invoke(command)


def test_success_is_zero_with_results_on_standard_output() -> None:
    result = outcome(None)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "done\n", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CounterfoilError(Reason.STORE_FAILED, "m"), 1),
        (InvalidInput(Reason.TAPE_INVALID, "m"), 1),
        (InvalidInput(Reason.CONFIG_INVALID, "m"), 2),
        (CounterfoilError(Reason.FILE_MISSING, "m"), 2),
        (InvalidInput(Reason.POLICY_INVALID, "m"), 2),
        (VerificationError(Reason.SIGNATURE_INVALID, "m"), 3),
        (CounterfoilError(Reason.ALREADY_RUNNING, "m"), 1),
        (CounterfoilError(Reason.GATEWAY_UNREACHABLE, "m"), 4),
        (CounterfoilError(Reason.SHUTTING_DOWN, "m"), 4),
    ],
)
def test_the_exit_code_tells_the_kind_of_error(error: CounterfoilError, code: int) -> None:
    assert outcome(error).exit_code == code


def test_an_error_is_one_line_on_standard_error_without_a_traceback() -> None:
    result = outcome(InvalidInput(Reason.CONFIG_INVALID, "not a port", field="listen.port"))
    assert result.stdout == ""
    assert result.stderr == "error: CONFIG_INVALID: not a port (listen.port)\n"


def test_an_error_without_a_field_names_none() -> None:
    result = outcome(CounterfoilError(Reason.ALREADY_RUNNING, "busy"))
    assert result.stderr == "error: ALREADY_RUNNING: busy\n"


def test_a_failed_verification_shows_both_sides() -> None:
    error = VerificationError(Reason.BATCH_ROOT_MISMATCH, "m", expected="aa", actual="bb")
    assert outcome(error).stderr.splitlines()[1:] == ["  expected aa", "  actual   bb"]


def test_a_bug_is_not_disguised_as_a_refusal() -> None:
    result = outcome(ZeroDivisionError())
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_command_keeps_its_name_and_help() -> None:
    @reports_errors
    def admit() -> None:
        """Admits a lender."""

    assert (admit.__name__, admit.__doc__) == ("admit", "Admits a lender.")


def test_json_goes_to_standard_output_and_keeps_its_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"lender": "东方银行", "count": 1})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"lender": "东方银行", "count": 1}
    assert "东方银行" in out
    assert err == ""
