"""The stores under test: SQLite today; another database joins by its backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from unit.gateway.conformance import Backend, SqliteBackend
from unit.gateway.house import House, build

from counterfoil_gateway.store.base import Store

BACKENDS = {"sqlite": SqliteBackend}


@pytest.fixture(params=BACKENDS)
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    made: Backend = BACKENDS[request.param](tmp_path)
    await made.create()
    return made


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    opened = await backend.open()
    yield opened
    await opened.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A gateway with no members yet."""
    async with build(tmp_path) as built:
        yield built
