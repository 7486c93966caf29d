"""Loan tapes: CSV with a header, or Parquet with the same columns, read row by row.

A tape is never trusted to be well formed: each row becomes a `TapeRow` or a `BadRow` that names
line, column and rule, and never a value.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import Any

from counterfoil.errors import InvalidInput, Reason

from .tape_columns import TapeRow, check_columns, parse_row

MAX_TAPE_BYTES = 8 * 1024**3
"""Largest tape file."""

PARQUET_BATCH_ROWS = 5_000
"""Rows of a Parquet file held in memory at a time."""

PARQUET_MAGIC = b"PAR1"


class TapeKind(StrEnum):
    """What a tape claims to be."""

    FULL = "full"
    """Every open loan as of the as-of: what it no longer lists is closed."""
    DELTA = "delta"
    """What changed since the last tape."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that breaks a rule. `line` counts from 1; a CSV's header is line 1, a Parquet file's
    first row is row 1."""

    line: int
    reason: Reason
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a tape, good or bad, with the share of the file read when it was met."""

    number: int
    row: TapeRow | BadRow
    position: int
    """Bytes of a CSV, rows of a Parquet file."""


@dataclass(frozen=True, slots=True)
class Tape:
    """An opened tape. Iterate `lines` once."""

    digest: bytes
    """SHA-256 of the file."""
    size: int
    """What `Line.position` runs up to."""
    lines: Iterator[Line]


def open_tape(path: Path, as_of: int, default_zone: str) -> Tape:
    """Opens a tape and checks its header; raises TAPE_INVALID, FILE_MISSING.

    The file is closed when `lines` is exhausted or let go.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise InvalidInput(
            Reason.FILE_MISSING, f"cannot open the tape: {error.strerror}", field="tape"
        ) from None
    try:
        if file.seek(0, io.SEEK_END) > MAX_TAPE_BYTES:
            raise InvalidInput(
                Reason.TAPE_INVALID, f"larger than {MAX_TAPE_BYTES} bytes", field="tape"
            )
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
        file.seek(0)
        reader = _parquet if parquet else _csv
        size, rows = reader(file)
    except BaseException:
        file.close()
        raise

    def parse(cells: dict[str, str]) -> TapeRow:
        return parse_row(cells, as_of, default_zone)

    return Tape(digest, size, _lines(file, digest, rows, parse))


@dataclass(frozen=True, slots=True)
class _Cells:
    """A row as text by column, or why it has none."""

    number: int
    cells: dict[str, str] | BadRow
    position: int


def _lines(
    file: BufferedReader,
    digest: bytes,
    rows: Iterator[_Cells],
    parse: Callable[[dict[str, str]], TapeRow],
) -> Iterator[Line]:
    with file:
        for item in rows:
            row: TapeRow | BadRow
            if isinstance(item.cells, BadRow):
                row = item.cells
            else:
                try:
                    row = parse(item.cells)
                except InvalidInput as error:
                    row = BadRow(item.number, error.reason, error.field, error.message)
            yield Line(item.number, row, item.position)
        file.seek(0)
        if hashlib.file_digest(file, "sha256").digest() != digest:
            raise InvalidInput(
                Reason.TAPE_INVALID, "the tape changed while it was read", field="tape"
            )


def _csv(file: BufferedReader) -> tuple[int, Iterator[_Cells]]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    position = 0

    def text_lines() -> Iterator[str]:
        nonlocal position
        for number, raw in enumerate(file):
            position += len(raw)
            if number == 0:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            # Bytes that are not UTF-8 become lone surrogates, which no column accepts: the row is
            # told as bad, and the rows after it are still read.
            yield raw.decode("utf-8", errors="surrogateescape")

    reader = csv.reader(text_lines(), strict=True)
    try:
        header = next(reader, [])
    except csv.Error:
        raise InvalidInput(Reason.TAPE_INVALID, "the header is not CSV", field="header") from None
    names = [name.strip() for name in header]
    check_columns(names)

    def rows() -> Iterator[_Cells]:
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                bad = BadRow(number, Reason.MALFORMED, "", "the quoting is not CSV's")
                yield _Cells(number, bad, position)
                continue
            if not cells:
                continue
            if len(cells) != len(names):
                message = f"{len(cells)} fields where the header has {len(names)}"
                yield _Cells(number, BadRow(number, Reason.MALFORMED, "", message), position)
                continue
            yield _Cells(number, dict(zip(names, cells, strict=True)), position)

    return size, rows()


def _parquet(file: BufferedReader) -> tuple[int, Iterator[_Cells]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
    except (pa.ArrowException, OSError):
        raise InvalidInput(Reason.TAPE_INVALID, "not a Parquet file", field="tape") from None
    names = list(table.schema_arrow.names)
    check_columns(names)

    def rows() -> Iterator[_Cells]:
        number = 0
        try:
            for batch in table.iter_batches(batch_size=PARQUET_BATCH_ROWS):
                for values in batch.to_pylist():
                    number += 1
                    yield _Cells(number, _natural(values, number), number)
        except (pa.ArrowException, OSError):
            raise InvalidInput(
                Reason.TAPE_INVALID, f"the Parquet file breaks off after row {number}", field="tape"
            ) from None

    return table.metadata.num_rows, rows()


def _natural(values: dict[str, Any], number: int) -> dict[str, str] | BadRow:
    cells = {}
    for name, value in values.items():
        text = _text(value)
        if text is None:
            message = f"a {type(value).__name__} has no place in a tape"
            return BadRow(number, Reason.FIELD_INVALID, name, message)
        cells[name] = text
    return cells


def _text(value: object) -> str | None:
    """A Parquet value of a natural type as a CSV would have it; None for other types."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat()
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return None
