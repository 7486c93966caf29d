"""A real SQLite store for the gateway's parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from counterfoil.keys import PrivateKey
from counterfoil_gateway.store.base import Store
from counterfoil_gateway.store.sqlite import SqliteStore
from support.stores import database, identity


@pytest.fixture
def answer_key() -> PrivateKey:
    return PrivateKey.load(b"\x0a" * 32)


@pytest.fixture
async def store(tmp_path: Path, answer_key: PrivateKey) -> AsyncIterator[Store]:
    await SqliteStore.create(database(tmp_path), identity(answer_key))
    opened = await SqliteStore.open(database(tmp_path))
    yield opened
    await opened.close()
