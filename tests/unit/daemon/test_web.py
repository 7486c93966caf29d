"""The operator's port: alive, ready, metrics; on loopback and nowhere else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil_daemon.server import Readiness
from counterfoil_daemon.web import Web


@asynccontextmanager
async def started(server: Web) -> AsyncIterator[aiohttp.ClientSession]:
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
            yield session
    finally:
        await server.stop()


async def test_a_process_that_runs_is_alive_even_when_it_is_not_ready(
    registry: CollectorRegistry,
) -> None:
    async with started(Web("127.0.0.1:0", registry, Readiness({}))) as session:
        async with session.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"alive": True})
        async with session.get("/readyz") as answer:
            assert answer.status == 503
            assert not (await answer.json())["ready"]


async def test_readiness_names_the_checks_that_fail(registry: CollectorRegistry) -> None:
    broken = True

    async def store() -> None:
        if broken:
            raise CounterfoilError(Reason.STORE_FAILED, "gone")

    async def link() -> None:
        return None

    readiness = Readiness({"store": store, "link": link})
    async with started(Web("127.0.0.1:0", registry, readiness)) as session:
        await readiness.judge()
        async with session.get("/readyz") as answer:
            expected = {"ready": False, "failing": {"store": "STORE_FAILED"}}
            assert (answer.status, await answer.json()) == (503, expected)
        broken = False
        await readiness.judge()
        async with session.get("/readyz") as answer:
            assert (answer.status, await answer.json()) == (200, {"ready": True, "failing": {}})


async def test_metrics_are_those_of_the_registry(registry: CollectorRegistry) -> None:
    Counter("counterfoil_things", "Things", registry=registry).inc(3)
    async with (
        started(Web("127.0.0.1:0", registry, Readiness({}))) as session,
        session.get("/metrics") as answer,
    ):
        assert answer.status == 200
        assert answer.content_type == "text/plain"
        assert "counterfoil_things_total 3.0" in await answer.text()


async def test_a_caller_can_add_pages(registry: CollectorRegistry) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    server = Web("127.0.0.1:0", registry, Readiness({}))
    server.app.router.add_get("/page", page)
    async with started(server) as session, session.get("/page") as answer:
        assert await answer.text() == "hello"


@pytest.mark.parametrize(
    "address", ["0.0.0.0:7480", "192.0.2.1:7480", "gateway.example:7480", "127.0.0.1", "[::]:7480"]
)
def test_an_address_that_is_not_loopback_is_refused(
    registry: CollectorRegistry, address: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Web(address, registry, Readiness({}))
    assert (caught.value.reason, caught.value.field) == (Reason.CONFIG_INVALID, "web_listen")


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.2:0", "localhost:0", "[::1]:0"])
def test_every_way_to_write_loopback_is_taken(registry: CollectorRegistry, address: str) -> None:
    Web(address, registry, Readiness({}))


async def test_a_port_in_use_is_refused(registry: CollectorRegistry) -> None:
    first = Web("127.0.0.1:0", registry, Readiness({}))
    await first.start()
    try:
        second = Web(f"127.0.0.1:{first.port}", registry, Readiness({}))
        with pytest.raises(InvalidInput) as caught:
            await second.start()
    finally:
        await first.stop()
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert str(first.port) in caught.value.message
