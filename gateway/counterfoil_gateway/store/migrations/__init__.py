"""Numbered SQL migrations, one folder for each database: `sqlite/0001_spine.sql` and on.

A migration is never changed once it is released. Numbers are contiguous from 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: its number and its SQL script."""

    number: int
    script: str


def load(database: str) -> tuple[Migration, ...]:
    """The migrations for one database (`sqlite`), in order.

    Raises ValueError when their numbers have a gap: the package itself is broken then.
    """
    found = []
    for file in resources.files(__package__).joinpath(database).iterdir():
        match = _NAME.fullmatch(file.name)
        if match is not None:
            found.append(Migration(int(match[1]), file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations for {database} are not numbered 1, 2, 3 …")
    return tuple(found)
