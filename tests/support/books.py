"""Books in process, for tests of the node's parts."""

from __future__ import annotations

import os
from pathlib import Path

from counterfoil.exposure import InstitutionKind
from counterfoil_node.book import Book, BookSettings
from counterfoil_node.vault import Vault

BOOK_KEY = bytes(range(32))
ZONE = "Asia/Shanghai"

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def resident_id(number: int) -> str:
    """A well-formed resident ID number of nobody, another for each number below 9,000,000."""
    day, order = divmod(number, 1_000)
    year, day = 1950 + day // 300, day % 300
    body = f"110105{year}{1 + day // 28:02}{1 + day % 28:02}{order:03}"
    total = sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True))
    return body + "10X98765432"[total % 11]


async def new_book(folder: Path, lender: str = "harbour") -> Book:
    """An empty book in a folder, with a known key."""
    settings = BookSettings(lender, InstitutionKind.BANK, ZONE)
    return await Book.create(folder / "node.db", Vault(BOOK_KEY, os.urandom), settings, os.urandom)


async def open_book(folder: Path, lender: str = "harbour") -> Book:
    """The book of `new_book` again: as another process, or after a crash."""
    settings = BookSettings(lender, InstitutionKind.BANK, ZONE)
    return await Book.open(folder / "node.db", Vault(BOOK_KEY, os.urandom), settings, os.urandom)
