"""Logs: one JSON object a line, and nothing in it that must not leave."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from counterfoil.errors import CounterfoilError, Reason
from counterfoil_daemon import logs

IDENTIFIER = "11010519491231002X"
TOKEN = bytes(range(32))


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("info", out)
    yield out
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_with_time_in_utc_and_level(stream: io.StringIO) -> None:
    before = datetime.now(UTC)
    structlog.get_logger().info("batch_accepted", lender="east-bank", sequence=7)
    (line,) = lines(stream)
    assert line["event"] == "batch_accepted"
    assert (line["lender"], line["sequence"], line["level"]) == ("east-bank", 7, "info")
    assert line["timestamp"].endswith("Z")
    assert before <= datetime.fromisoformat(line["timestamp"]) <= datetime.now(UTC)


def test_a_line_break_in_a_fact_does_not_start_a_line(stream: io.StringIO) -> None:
    structlog.get_logger().info("x", why='a\nb\r\n{"event": "forged"}')
    assert [line["event"] for line in lines(stream)] == ["x"]


def test_what_is_below_the_level_is_not_written() -> None:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.configure("warning", out)
        structlog.get_logger().info("quiet")
        structlog.get_logger().warning("loud")
    finally:
        structlog.reset_defaults()
        root.handlers[:] = handlers
        root.setLevel(level)
    assert [line["event"] for line in lines(out)] == ["loud"]


@pytest.mark.parametrize("key", sorted(logs.FORBIDDEN))
def test_a_key_that_names_a_secret_or_a_person_is_withheld(stream: io.StringIO, key: str) -> None:
    structlog.get_logger().info("x", **{key: IDENTIFIER})
    assert IDENTIFIER not in stream.getvalue()
    assert lines(stream)[0][key] == "<withheld>"


@pytest.mark.parametrize("hidden", [TOKEN, bytearray(TOKEN), memoryview(TOKEN)])
def test_bytes_are_withheld_under_any_key(stream: io.StringIO, hidden: object) -> None:
    structlog.get_logger().info("x", lender=hidden)
    assert lines(stream)[0]["lender"] == "<withheld>"


def test_bytes_inside_other_things_are_not_written(stream: io.StringIO) -> None:
    structlog.get_logger().info("x", facts=[TOKEN], more={"a": TOKEN})
    written = stream.getvalue()
    assert TOKEN.hex() not in written
    assert "\\u0001" not in written
    assert "\\x01" not in written


def test_a_forbidden_key_inside_other_things_is_withheld(stream: io.StringIO) -> None:
    structlog.get_logger().info("x", facts={"identifier": IDENTIFIER}, rows=[{"token": "abc123"}])
    assert IDENTIFIER not in stream.getvalue()
    assert "abc123" not in stream.getvalue()


def test_an_object_is_written_as_its_type_only(stream: io.StringIO) -> None:
    class Borrower:
        def __repr__(self) -> str:
            return IDENTIFIER

    structlog.get_logger().info("x", who=Borrower())
    assert lines(stream)[0]["who"] == "<Borrower>"


def test_an_unknown_exception_is_told_by_type_and_place_and_not_by_text(
    stream: io.StringIO,
) -> None:
    def parse(secret_local: str) -> int:
        return int(secret_local)

    try:
        parse(IDENTIFIER)
    except ValueError:
        structlog.get_logger().exception("import_failed", row=3)
    (line,) = lines(stream)
    assert (line["exception"], line["level"], line["row"]) == ("ValueError", "error", 3)
    assert line["place"][-1].startswith("test_logs.py:")
    assert line["place"][-1].endswith(":parse")
    assert IDENTIFIER not in stream.getvalue()
    assert "secret_local" not in stream.getvalue()


def test_an_exception_behind_an_exception_stays_untold(stream: io.StringIO) -> None:
    try:
        try:
            raise KeyError(IDENTIFIER)
        except KeyError as error:
            raise RuntimeError("second " + IDENTIFIER) from error
    except RuntimeError as error:
        structlog.get_logger().error("x", exc_info=error)
    assert lines(stream)[0]["exception"] == "RuntimeError"
    assert IDENTIFIER not in stream.getvalue()


def test_our_own_error_is_told_with_its_reason(stream: io.StringIO) -> None:
    error = CounterfoilError(Reason.STORE_FAILED, "the disk is full")
    structlog.get_logger().error("x", exc_info=error)
    assert lines(stream)[0]["reason"] == "STORE_FAILED"


def test_a_library_warning_is_told_by_name_and_place_without_its_text(
    stream: io.StringIO,
) -> None:
    try:
        raise OSError(IDENTIFIER)
    except OSError:
        logging.getLogger("some.library").warning("bad row %s", IDENTIFIER, exc_info=True)
    logging.getLogger("some.library").info("chatter")
    (line,) = lines(stream)
    assert (line["event"], line["logger"]) == ("library_warning", "some.library")
    assert line["exception"] == "OSError"
    assert line["place"].startswith("test_logs:")
    assert IDENTIFIER not in stream.getvalue()


def test_facts_bound_to_the_context_pass_the_same_nets(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(lender="east-bank", salt="aa"):
        structlog.get_logger().info("x")
    assert (lines(stream)[0]["lender"], lines(stream)[0]["salt"]) == ("east-bank", "<withheld>")


@pytest.mark.parametrize("key", ["borrower_token", "Identifier", "RAW_VALUE"])
def test_a_forbidden_word_at_the_end_of_a_key_is_enough(stream: io.StringIO, key: str) -> None:
    structlog.get_logger().info("x", **{key: IDENTIFIER})
    assert IDENTIFIER not in stream.getvalue()


def test_odd_keys_inside_a_value_do_not_break_the_log(stream: io.StringIO) -> None:
    structlog.get_logger().info("x", facts={b"\x01\x02": 1, 7: 2})
    assert lines(stream)[0]["facts"] == {"<bytes>": 1, "<int>": 2}
