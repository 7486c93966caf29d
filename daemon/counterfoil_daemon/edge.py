"""What every call passes on its way in: deadline, load, parsing, errors, counting."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.limits import MAX_MESSAGE_BYTES

from .errors_on_wire import DETAILS_KEY, to_status
from .status_codes import STATUS_OF

EXEMPT = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Infrastructure methods: no deadline asked, not counted, never refused for load."""

NO_DEADLINE_SECONDS = 366 * 86_400.0
"""gRPC reports a call without a deadline as one in the far future."""

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

log = structlog.get_logger()


class _Unparsed:
    """Stands in for a request that could not be parsed, until a handler can refuse it."""

    def __init__(self, error: CounterfoilError) -> None:
        self.error = error


class Edge(grpc.aio.ServerInterceptor):
    """The interceptor. One for a server; its metrics go into `registry`.

    Unary calls need a deadline (DEADLINE_REQUIRED) and at most `max_in_flight` run at once
    (OVERLOADED with a retry hint). Streams have neither: they live as long as their peers.
    """

    def __init__(self, registry: CollectorRegistry, *, max_in_flight: int = 200) -> None:
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._calls = Counter(
            "counterfoil_calls",
            "Calls by method and reason",
            ["method", "reason"],
            registry=registry,
        )
        self._seconds = Histogram(
            "counterfoil_call_seconds",
            "Time of unary calls",
            ["method"],
            registry=registry,
            buckets=BUCKETS,
        )
        self._gauge = Gauge(
            "counterfoil_calls_in_flight", "Unary calls under way", registry=registry
        )

    def with_own_limit(self, max_in_flight: int) -> Edge:
        """An edge for another port: the same metrics, a limit that only its own callers use up."""
        other = copy.copy(self)
        other._max_in_flight = max_in_flight
        other._in_flight = 0
        return other

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wraps the method's handler; called by gRPC for each call."""
        handler = await continuation(details)
        method = details.method
        if handler is None or method.startswith(EXEMPT):
            return handler
        deserialize = _guarded(handler.request_deserializer)
        name = method.rpartition("/")[2]
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(name, handler.unary_unary), deserialize, handler.response_serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._unary_stream(name, handler.unary_stream),
                deserialize,
                handler.response_serializer,
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(name, handler.stream_stream), deserialize, handler.response_serializer
            )
        return handler

    def _unary(self, name: str, behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def call(request: Any, context: Any) -> Any:
            start = perf_counter()
            reason = "OK"
            self._in_flight += 1
            self._gauge.inc()
            try:
                if isinstance(request, _Unparsed):
                    raise request.error
                if self._in_flight > self._max_in_flight:
                    raise CounterfoilError(
                        Reason.OVERLOADED, "too many calls under way", retry_after=1.0
                    )
                remaining = context.time_remaining()
                if remaining is None or remaining > NO_DEADLINE_SECONDS:
                    raise CounterfoilError(Reason.DEADLINE_REQUIRED, "a call needs a deadline")
                return await behaviour(request, context)
            except CounterfoilError as error:
                reason = error.reason.value
                await _abort(context, error)
            except asyncio.CancelledError:
                reason = "CANCELLED"
                raise
            except Exception:
                reason = Reason.INTERNAL.value
                log.exception("call_failed", method=name)
                await _abort(context, CounterfoilError(Reason.INTERNAL, "internal error"))
            finally:
                self._in_flight -= 1
                self._gauge.dec()
                self._calls.labels(name, reason).inc()
                self._seconds.labels(name).observe(perf_counter() - start)

        return call

    def _unary_stream(
        self, name: str, behaviour: Callable[..., AsyncIterator[Any]]
    ) -> Callable[..., Any]:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                if isinstance(request, _Unparsed):
                    raise request.error
                async for response in behaviour(request, context):
                    yield response
            except CounterfoilError as error:
                await self._stream_failed(name, context, error)
            except Exception:
                await self._stream_broke(name, context)

        return call

    def _stream(
        self, name: str, behaviour: Callable[..., AsyncIterator[Any]]
    ) -> Callable[..., Any]:
        async def parsed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
            async for request in requests:
                if isinstance(request, _Unparsed):
                    raise request.error
                yield request

        async def call(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
            try:
                async for response in behaviour(parsed(requests), context):
                    yield response
            except CounterfoilError as error:
                await self._stream_failed(name, context, error)
            except Exception:
                await self._stream_broke(name, context)

        return call

    async def _stream_failed(self, name: str, context: Any, error: CounterfoilError) -> None:
        self._calls.labels(name, error.reason.value).inc()
        await _abort(context, error)

    async def _stream_broke(self, name: str, context: Any) -> None:
        self._calls.labels(name, Reason.INTERNAL.value).inc()
        log.exception("stream_failed", method=name)
        await _abort(context, CounterfoilError(Reason.INTERNAL, "internal error"))


def _guarded(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A deserializer that never raises: gRPC would turn that into an error without a reason."""

    def guarded(data: bytes) -> Any:
        if len(data) > MAX_MESSAGE_BYTES:
            return _Unparsed(
                CounterfoilError(
                    Reason.MESSAGE_TOO_LARGE, f"a message is at most {MAX_MESSAGE_BYTES} bytes"
                )
            )
        try:
            return deserialize(data)
        except DecodeError:
            # Invalid UTF-8 in a text field ends up here too.
            return _Unparsed(CounterfoilError(Reason.MALFORMED, "not a message of this method"))

    return guarded


async def _abort(context: Any, error: CounterfoilError) -> NoReturn:
    status = to_status(error)
    await context.abort(
        STATUS_OF[error.reason],
        error.message,
        trailing_metadata=((DETAILS_KEY, status.SerializeToString()),),
    )
    raise AssertionError("abort raises")
