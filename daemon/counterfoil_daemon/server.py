"""gRPC servers and channels with the house's options, and mTLS that reloads."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.limits import MAX_MESSAGE_BYTES

from .edge import Edge
from .files import require_file
from .lifecycle import Stop

log = structlog.get_logger()

TRANSPORT_MESSAGE_BYTES = 2 * MAX_MESSAGE_BYTES
"""Above MAX_MESSAGE_BYTES the edge refuses with a reason; above this gRPC hangs up without one."""

KEEPALIVE_MS = 30_000
MAX_STREAMS = 1_000
"""Concurrent calls on one connection."""

READINESS_SECONDS = 1.0
"""How often readiness is judged anew."""

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    # Two servers on one port would share its callers in silence.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", TRANSPORT_MESSAGE_BYTES),
    ("grpc.max_send_message_length", TRANSPORT_MESSAGE_BYTES),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
)

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", TRANSPORT_MESSAGE_BYTES),
    ("grpc.max_send_message_length", TRANSPORT_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Channels of one process to one address would else share a connection and its certificate.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a server's or client's certificate, key and the CA's certificate are."""

    certificate: Path
    key: Path
    ca: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Certificate, key and CA as PEM; FILE_MISSING names what is not there."""
        certificate, key, ca = (
            require_file(path).read_bytes() for path in (self.certificate, self.key, self.ca)
        )
        return certificate, key, ca


class ReloadingCredentials:
    """Server credentials that take new files at `reload`, for new connections."""

    def __init__(self, files: TlsFiles, *, require_client: bool) -> None:
        self._files = files
        self._require_client = require_client
        self._fresh: Any = None
        self.credentials = grpc.dynamic_ssl_server_credentials(
            self._read(), self._fetch, require_client_authentication=require_client
        )

    def reload(self) -> None:
        """Reads the files again; the next handshake uses them. Raises FILE_MISSING."""
        self._fresh = self._read()

    def _read(self) -> Any:
        certificate, key, ca = self._files.read()
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self._files.certificate,
                self._files.key,
                # A daemon has nobody to ask: a key under a passphrase is refused.
                password="",
            )
        except (ssl.SSLError, OSError):
            # gRPC would take it and then fail every handshake.
            raise InvalidInput(
                Reason.CONFIG_INVALID, "certificate and key do not fit", field="tls"
            ) from None
        return grpc.ssl_server_certificate_configuration(
            [(key, certificate)], root_certificates=ca if self._require_client else None
        )

    def _fetch(self) -> Any:
        # Called by gRPC at every handshake; None keeps what is in use.
        fresh, self._fresh = self._fresh, None
        return fresh


def make_server(edge: Edge | None = None) -> grpc.aio.Server:
    """A server with the house's options; `edge` sees every call."""
    return grpc.aio.server(interceptors=[edge] if edge else [], options=SERVER_OPTIONS)


def bind(server: grpc.aio.Server, address: str, credentials: Any = None) -> int:
    """Listens on `host:port` (port 0: any) or `unix:path`; returns the port.

    Raises CONFIG_INVALID if that cannot be had.
    """
    try:
        port = (
            server.add_insecure_port(address)
            if credentials is None
            else server.add_secure_port(address, credentials)
        )
    except RuntimeError:
        port = 0
    if not port:
        raise InvalidInput(
            Reason.CONFIG_INVALID, f"cannot listen on {address}: is it in use?", field="listen"
        )
    return int(port)


def secure_channel(
    address: str, *, ca: bytes, certificate: bytes | None = None, key: bytes | None = None
) -> grpc.aio.Channel:
    """A channel to `host:port`, with the client's certificate on the mTLS port."""
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    return grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)


Check = Callable[[], Awaitable[None]]
"""Returns if all is well; raises CounterfoilError if not."""


class _Health(health.aio.HealthServicer):  # type: ignore[misc]
    """gRPC health that says NOT_SERVING, not SERVING, until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self._server_status[""] = health_pb2.HealthCheckResponse.NOT_SERVING


class Readiness:
    """Whether the daemon can do its work, by named checks, told to gRPC health and to the web."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)
        self._servicers: list[tuple[_Health, tuple[str, ...]]] = []
        self.failing: dict[str, str] = {"start": "not judged yet"}
        """Name and reason of each check that fails; empty when ready."""

    @property
    def ready(self) -> bool:
        """Whether every check passed when last judged."""
        return not self.failing

    def add_to(self, server: grpc.aio.Server, services: Sequence[str] = ()) -> None:
        """Serves grpc.health.v1 on a server, for the whole and for each of its services."""
        servicer = _Health()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        self._servicers.append((servicer, ("", *services)))

    async def judge(self) -> None:
        """Runs every check and tells the result."""
        failing: dict[str, str] = {}
        for name, check in self._checks.items():
            try:
                await check()
            except CounterfoilError as error:
                failing[name] = error.reason.value
        if failing.keys() != self.failing.keys():
            log.info("readiness", ready=not failing, failing=sorted(failing))
        self.failing = failing
        await self._tell(self.ready)

    async def watch(self, stop: Stop) -> None:
        """Judges again and again; when the daemon is to end, says NOT_SERVING."""
        while not await stop.wait(READINESS_SECONDS):
            await self.judge()
        self.failing = {"stopping": Reason.SHUTTING_DOWN.value}
        await self._tell(False)

    async def _tell(self, ready: bool) -> None:
        kind = health_pb2.HealthCheckResponse
        for servicer, services in self._servicers:
            for service in services:
                await servicer.set(service, kind.SERVING if ready else kind.NOT_SERVING)


def enable_reflection(server: grpc.aio.Server, services: Sequence[str]) -> None:
    """Serves reflection for the named services, for tools like grpcurl."""
    reflection.enable_server_reflection([*services, reflection.SERVICE_NAME], server)


async def drain(servers: Sequence[grpc.aio.Server], seconds: float) -> None:
    """Takes no new calls and lets those under way finish, at most `seconds`."""
    await asyncio.gather(*(server.stop(seconds) for server in servers))
