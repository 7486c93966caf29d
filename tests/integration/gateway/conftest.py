"""One real gateway with two enrolled lenders, shared by the tests of a module."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateways import GatewayProcess, enrol
from support.towns import Town


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder: Path = tmp_path_factory.mktemp("town")
    gateway = GatewayProcess(folder / "gateway")
    gateway.init()
    gateway.start()
    try:
        harbour = asyncio.run(enrol(gateway.admit("harbour", evaluator=True), evaluator=True))
        lotus = asyncio.run(enrol(gateway.admit("lotus", "online_lender")))
        yield Town(gateway, harbour, lotus)
    finally:
        gateway.stop()
