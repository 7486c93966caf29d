"""Structured logs: one JSON object a line, UTC, and nothing in it that must not leave.

Callers log events by name with plain facts (`log.info("batch_accepted", lender=…, sequence=…)`).
Two nets below them: bytes are never written, nor is any key that names a secret or a person; an
exception is written by its type, reason and place, never by its text or local values, since an
unknown exception's text may quote what it choked on.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from counterfoil.errors import CounterfoilError

FORBIDDEN = frozenset(
    {"token", "tokens", "identifier", "value", "secret", "salt", "salts", "record", "records"}
)
"""Keys that are never written, whatever they hold."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Sets logging up for the process, structlog's and the standard library's."""
    out = sys.stderr if stream is None else stream
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _explain,
            _withhold,
            _renderer(out),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    # Libraries log to the standard library: keep their warnings, by name and place only.
    handler = logging.Handler()
    handler.setLevel(logging.WARNING)
    handler.emit = _foreign  # type: ignore[method-assign]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)


def _renderer(out: TextIO) -> structlog.typing.Processor:
    """Lines for people on a terminal, JSON for everything else."""
    if out.isatty():
        return structlog.dev.ConsoleRenderer()
    return structlog.processors.JSONRenderer(default=lambda value: f"<{type(value).__name__}>")


def _foreign(record: logging.LogRecord) -> None:
    facts: dict[str, object] = {"logger": record.name, "place": f"{record.module}:{record.lineno}"}
    if record.exc_info and record.exc_info[0] is not None:
        facts["exception"] = record.exc_info[0].__name__
    structlog.get_logger().warning("library_warning", **facts)


def _explain(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """An exception as its type, reason and place."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["exception"] = type(error).__name__
        if isinstance(error, CounterfoilError):
            event["reason"] = error.reason.value
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        event["place"] = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}:{f.name}" for f in frames]
    return event


def _withhold(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops what must never be written."""
    for key, value in event.items():
        event[key] = _clean(key, value)
    return event


def _clean(key: object, value: object) -> object:
    if _forbidden(key) or isinstance(value, bytes | bytearray | memoryview):
        return "<withheld>"
    if isinstance(value, dict):
        return {
            inner if isinstance(inner, str) else f"<{type(inner).__name__}>": _clean(inner, held)
            for inner, held in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(None, held) for held in value]
    return value


def _forbidden(key: object) -> bool:
    """Whether a key names what must not be written, alone or as its last word."""
    return isinstance(key, str) and key.lower().rpartition("_")[2] in FORBIDDEN
