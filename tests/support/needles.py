"""Searching bytes for what must not be in them."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path


def forms(text: str) -> dict[str, bytes]:
    """A text and its hashes, in every form in which it might have leaked, by what each is."""
    raw = text.encode()
    found = {"plain": raw, "utf-16": text.encode("utf-16-le"), "hex": raw.hex().encode()}
    for name in ("sha256", "sha1", "md5"):
        digest = hashlib.new(name, raw, usedforsecurity=False).digest()
        found[f"{name} binary"] = digest
        found[f"{name} hex"] = digest.hex().encode()
        found[f"{name} HEX"] = digest.hex().upper().encode()
        found[f"{name} base64"] = base64.b64encode(digest).rstrip(b"=")
    return found


def token_forms(token: bytes) -> dict[str, bytes]:
    """A token as it might show in a log."""
    return {
        "binary": token,
        "hex": token.hex().encode(),
        "HEX": token.hex().upper().encode(),
        "base64": base64.b64encode(token).rstrip(b"="),
        "base64url": base64.urlsafe_b64encode(token).rstrip(b"="),
        "repr": repr(token)[2:-1].encode(),
    }


def hits(needles: Iterable[tuple[str, bytes]], places: Iterable[tuple[str, bytes]]) -> set[str]:
    """`what in where` for each needle found. Never shows the needle itself."""
    sought = list(needles)
    return {
        f"{what} in {where}"
        for where, content in places
        for what, needle in sought
        if needle in content
    }


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, and of SQLite files every text and blob too.

    A value may lie across several pages of a database file, so that its bytes alone do not do.
    """
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        name = str(path.relative_to(folder))
        yield name, path.read_bytes()
        if path.suffix == ".db":
            yield from ((f"{name}:{table}", value) for table, value in values(path))


def values(database: Path) -> Iterator[tuple[str, bytes]]:
    """Every text and blob of a SQLite database, a table's all in one piece."""
    with closing(sqlite3.connect(database)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            parts = [
                value if isinstance(value, bytes) else value.encode()
                for row in connection.execute(f'SELECT * FROM "{table}"')
                for value in row
                if isinstance(value, bytes | str)
            ]
            yield table, b"\n".join(parts)
