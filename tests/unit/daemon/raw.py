"""Calls and handlers of plain bytes: what a peer with another library, or a bad one, may send."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc


def unary(channel: grpc.aio.Channel, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """A unary method by its full name."""
    return channel.unary_unary(method)


def stream(
    channel: grpc.aio.Channel, method: str
) -> grpc.aio.StreamStreamMultiCallable[bytes, bytes]:
    """A method with streams both ways by its full name."""
    return channel.stream_stream(method)


def serve(server: grpc.aio.Server, behaviour: Callable[[bytes, Any], Awaitable[bytes]]) -> None:
    """Serves `behaviour` as `/t/Ping`."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(behaviour)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t", {"Ping": handler}),))
