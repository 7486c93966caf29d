"""A proxy between a node and its gateway that writes down every byte of every message.

It ends the node's TLS with a certificate of the test network's own CA, and goes on to the gateway
with the node's own client certificate, so that both sides take it for the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc

from counterfoil_daemon.server import SERVER_OPTIONS, secure_channel
from counterfoil_gateway.authority import Authority
from counterfoil_gateway.config import Folder


class RecordingProxy:
    """Listens on a loopback port of its own; a context manager."""

    def __init__(self, gateway: Path, upstream: str, node: Path | None = None) -> None:
        """`gateway` and `node` are their folders; without `node` no client certificate is used."""
        self._folder = Folder(gateway)
        self._upstream = upstream
        self._node = node
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.port = 0
        self.sent: list[bytes] = []
        """Every message, method name and header value that the node sent."""

    @property
    def address(self) -> str:
        """Where the node is to connect."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> RecordingProxy:
        self._thread.start()
        assert self._started.wait(10), "the proxy listens"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        authority = Authority.load(
            self._folder.ca_certificate.read_bytes(), self._folder.ca_key.read_bytes()
        )
        leaf, key = authority.issue_server(
            "proxy", ["127.0.0.1"], datetime.now(UTC), timedelta(hours=1)
        )
        ca = authority.certificate_pem.encode()
        server = grpc.aio.server(options=SERVER_OPTIONS)
        credentials = grpc.ssl_server_credentials(
            [(key, leaf.pem.encode())],
            root_certificates=ca if self._node else None,
            require_client_auth=self._node is not None,
        )
        certificate, client_key = (
            ((self._node / "tls" / name).read_bytes() for name in ("client.pem", "client.key"))
            if self._node
            else (None, None)
        )
        async with secure_channel(
            self._upstream, ca=ca, certificate=certificate, key=client_key
        ) as channel:
            server.add_generic_rpc_handlers((_Forward(channel, self.sent),))
            self.port = server.add_secure_port("127.0.0.1:0", credentials)
            await server.start()
            self._started.set()
            await self._stop.wait()
            await server.stop(0)


class _Forward(grpc.GenericRpcHandler):
    """Passes raw messages on. On the wire a unary call is a stream of one message."""

    def __init__(self, channel: grpc.aio.Channel, sent: list[bytes]) -> None:
        self._channel = channel
        self._sent = sent

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        self._sent.append(method.encode())
        for name, value in handler_call_details.invocation_metadata:
            self._sent.append(name.encode() + b"=" + _bytes(value))

        async def forward(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async def recorded() -> AsyncIterator[bytes]:
                async for request in requests:
                    self._sent.append(request)
                    yield request

            remaining = context.time_remaining()
            forwarding: Any = self._channel.stream_stream(method)
            call = forwarding(
                recorded(), timeout=remaining if remaining and remaining < 1e6 else None
            )
            try:
                await context.send_initial_metadata(tuple(await call.initial_metadata() or ()))
                async for response in call:
                    yield response
            except grpc.aio.AioRpcError as error:
                await context.abort(
                    error.code(), error.details() or "", tuple(error.trailing_metadata() or ())
                )

        return grpc.stream_stream_rpc_method_handler(forward)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
