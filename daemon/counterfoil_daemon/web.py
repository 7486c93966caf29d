"""The operator's HTTP port: /healthz, /readyz, /metrics. Loopback only."""

from __future__ import annotations

import ipaddress

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from counterfoil.errors import InvalidInput, Reason

from .server import Readiness
from .settings import split_address


class Web:
    """The HTTP server. `port` is known once it is started."""

    def __init__(self, address: str, registry: CollectorRegistry, readiness: Readiness) -> None:
        self._host, self._wanted = split_address(address, "web_listen")
        self._host = self._host.removeprefix("[").removesuffix("]")
        if not _is_loopback(self._host):
            raise InvalidInput(
                Reason.CONFIG_INVALID, "metrics are told on loopback only", field="web_listen"
            )
        self._registry = registry
        self._readiness = readiness
        self.port = 0
        self.app = web.Application()
        self.app.router.add_get("/healthz", self._healthz)
        self.app.router.add_get("/readyz", self._readyz)
        self.app.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(self.app, access_log=None, handle_signals=False)

    async def start(self) -> None:
        """Listens; raises CONFIG_INVALID if the port cannot be had."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._wanted)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise InvalidInput(
                Reason.CONFIG_INVALID,
                f"cannot listen on {self._host}:{self._wanted}: is it in use?",
                field="web_listen",
            ) from None
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Ends the server."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._readiness.ready
        return web.json_response(
            {"ready": ready, "failing": self._readiness.failing}, status=200 if ready else 503
        )

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
