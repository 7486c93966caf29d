"""The edge: every call is refused or failed with a reason, on a real server."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from prometheus_client import CollectorRegistry
from unit.daemon.raw import stream, unary

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.limits import MAX_MESSAGE_BYTES
from counterfoil.v1 import (
    assessment_service_pb2,
    assessment_service_pb2_grpc,
    envelope_pb2,
    evaluation_service_pb2,
    evaluation_service_pb2_grpc,
)
from counterfoil_daemon import logs
from counterfoil_daemon.edge import Edge
from counterfoil_daemon.errors_on_wire import DETAILS_KEY, from_rpc_error
from counterfoil_daemon.server import (
    CHANNEL_OPTIONS,
    TRANSPORT_MESSAGE_BYTES,
    Readiness,
    bind,
    enable_reflection,
    make_server,
)

ASSESS = "/counterfoil.v1.AssessmentService/Assess"
SERVE = "/counterfoil.v1.EvaluationService/ServeEvaluations"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SECRET = "11010519491231002X"

Request = assessment_service_pb2.AssessRequest
Response = assessment_service_pb2.AssessResponse
Up = evaluation_service_pb2.ServeEvaluationsRequest
Down = evaluation_service_pb2.ServeEvaluationsResponse
Assess = Callable[[Request, Any], Awaitable[Response]]
Serve = Callable[[AsyncIterator[Up], Any], AsyncIterator[Down]]


async def echo(request: Request, _: Any) -> Response:
    return Response(answer=request.inquiry)


async def echo_stream(requests: AsyncIterator[Up], _: Any) -> AsyncIterator[Down]:
    async for request in requests:
        yield Down(task_id=request.done.task_id)


@asynccontextmanager
async def serving(
    registry: CollectorRegistry,
    assess: Assess = echo,
    serve: Serve = echo_stream,
    max_in_flight: int = 200,
    edge: Edge | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """A server behind an edge, and a channel to it."""

    class Assessment(assessment_service_pb2_grpc.AssessmentServiceServicer):
        Assess = staticmethod(assess)  # type: ignore[assignment]

    class Evaluation(evaluation_service_pb2_grpc.EvaluationServiceServicer):
        Evaluate = staticmethod(echo)  # type: ignore[assignment]
        ServeEvaluations = staticmethod(serve)  # type: ignore[assignment]

    server = make_server(edge or Edge(registry, max_in_flight=max_in_flight))
    assessment_service_pb2_grpc.add_AssessmentServiceServicer_to_server(Assessment(), server)
    evaluation_service_pb2_grpc.add_EvaluationServiceServicer_to_server(Evaluation(), server)
    Readiness({}).add_to(server)
    enable_reflection(server, ["counterfoil.v1.AssessmentService"])
    port = bind(server, "127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=CHANNEL_OPTIONS
        ) as channel:
            yield channel
    finally:
        await server.stop(None)


async def call(
    channel: grpc.aio.Channel, data: bytes = b"", timeout: float | None = 5, method: str = ASSESS
) -> bytes:
    """A unary call with raw bytes, as a peer with another library could send them."""
    answer: bytes = await unary(channel, method)(data, timeout=timeout)
    return answer


async def refusal(calling: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await calling
    return caught.value


def request(payload: bytes = b"p") -> bytes:
    envelope = envelope_pb2.Envelope(payload_type="t", payload=payload)
    return Request(inquiry=envelope).SerializeToString()


def counted(registry: CollectorRegistry, method: str, reason: str) -> float:
    labels = {"method": method, "reason": reason}
    return registry.get_sample_value("counterfoil_calls_total", labels) or 0.0


@pytest.fixture
def log_stream() -> Any:
    out = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("info", out)
    yield out
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_a_good_call_passes_and_is_counted(registry: CollectorRegistry) -> None:
    async with serving(registry) as channel:
        answer = Response.FromString(await call(channel, request(b"hello")))
    assert answer.answer.payload == b"hello"
    assert counted(registry, "Assess", "OK") == 1
    labels = {"method": "Assess"}
    assert registry.get_sample_value("counterfoil_call_seconds_count", labels) == 1
    assert registry.get_sample_value("counterfoil_calls_in_flight") == 0


async def test_a_unary_call_without_a_deadline_is_refused(registry: CollectorRegistry) -> None:
    async with serving(registry) as channel:
        error = await refusal(call(channel, request(), timeout=None))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(error).reason is Reason.DEADLINE_REQUIRED
    assert counted(registry, "Assess", "DEADLINE_REQUIRED") == 1


async def test_health_and_reflection_need_no_deadline_and_are_not_counted(
    registry: CollectorRegistry,
) -> None:
    async with serving(registry) as channel:
        await call(channel, timeout=None, method="/grpc.health.v1.Health/Check")
        listing = stream(channel, REFLECT)(iter([b"\x3a\x00"]))
        listed = await listing.read()
        listing.cancel()
    assert isinstance(listed, bytes)
    assert b"counterfoil.v1.AssessmentService" in listed
    assert "Health" not in str(list(registry.collect()))
    assert "Reflection" not in str(list(registry.collect()))


async def test_a_refusal_arrives_with_its_reason_field_and_retry_hint(
    registry: CollectorRegistry,
) -> None:
    async def refuse(_: Request, __: Any) -> Response:
        raise CounterfoilError(
            Reason.QUOTA_EXCEEDED, "spent 配额 100 %\nof it", field="quota", retry_after=2.5
        )

    async with serving(registry, refuse) as channel:
        error = await refusal(call(channel, request()))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "spent 配额 100 %\nof it"
    got = from_rpc_error(error)
    assert (got.reason, got.message, got.field, got.retry_after) == (
        Reason.QUOTA_EXCEEDED,
        "spent 配额 100 %\nof it",
        "quota",
        2.5,
    )
    trailers = [value for key, value in error.trailing_metadata() or () if key == DETAILS_KEY]
    details = Status.FromString(bytes(trailers[0])).details  # type: ignore[arg-type]
    assert len(trailers) == 1
    assert [detail.Is(ErrorInfo.DESCRIPTOR) for detail in details] == [True, False]
    assert counted(registry, "Assess", "QUOTA_EXCEEDED") == 1


async def test_an_unknown_exception_is_internal_and_its_text_stays_inside(
    registry: CollectorRegistry, log_stream: io.StringIO
) -> None:
    async def break_down(_: Request, __: Any) -> Response:
        raise ValueError(f"cannot parse {SECRET}")

    async with serving(registry, break_down) as channel:
        error = await refusal(call(channel, request()))
    assert error.code() is grpc.StatusCode.INTERNAL
    assert from_rpc_error(error).reason is Reason.INTERNAL
    assert SECRET not in repr(error)
    assert SECRET not in log_stream.getvalue()
    assert '"exception": "ValueError"' in log_stream.getvalue()
    assert '"method": "Assess"' in log_stream.getvalue()
    assert counted(registry, "Assess", "INTERNAL") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\x0a\x7f",
        b"\x0a\x03\x0a\x01\xff",
        b"\x0a\x04\x0a\x02\xed\xa0",
    ],
    ids=["noise", "truncated", "invalid UTF-8", "half a surrogate"],
)
async def test_bytes_that_are_no_message_are_malformed(
    registry: CollectorRegistry, data: bytes
) -> None:
    async with serving(registry) as channel:
        error = await refusal(call(channel, data))
        assert await call(channel, request())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(error).reason is Reason.MALFORMED


async def test_a_message_over_the_limit_is_refused_with_a_reason(
    registry: CollectorRegistry,
) -> None:
    async with serving(registry) as channel:
        error = await refusal(call(channel, request(bytes(MAX_MESSAGE_BYTES))))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert from_rpc_error(error).reason is Reason.MESSAGE_TOO_LARGE


async def test_a_message_that_the_transport_refuses_reads_the_same(
    registry: CollectorRegistry,
) -> None:
    async with serving(registry) as channel:
        error = await refusal(call(channel, request(bytes(TRANSPORT_MESSAGE_BYTES))))
        assert from_rpc_error(error).reason is Reason.MESSAGE_TOO_LARGE
        assert await call(channel, request())


async def test_calls_over_the_limit_are_shed_with_a_retry_hint(
    registry: CollectorRegistry,
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: Request, __: Any) -> Response:
        entered.set()
        await go_on.wait()
        return Response()

    async with serving(registry, wait, max_in_flight=1) as channel:
        first = asyncio.create_task(call(channel, request()))
        await asyncio.wait_for(entered.wait(), 5)
        assert registry.get_sample_value("counterfoil_calls_in_flight") == 1
        shed = from_rpc_error(await refusal(call(channel, request())))
        await call(channel, method="/grpc.health.v1.Health/Check")
        go_on.set()
        await first
        await call(channel, request())
    assert (shed.reason, shed.retry_after) == (Reason.OVERLOADED, 1.0)


async def test_a_flooded_port_leaves_another_its_calls(registry: CollectorRegistry) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_: Request, __: Any) -> Response:
        entered.set()
        await go_on.wait()
        return Response()

    members = Edge(registry, max_in_flight=1)
    async with (
        serving(registry, wait, edge=members.with_own_limit(1)) as flooded,
        serving(registry, edge=members) as channel,
    ):
        first = asyncio.create_task(call(flooded, request()))
        await asyncio.wait_for(entered.wait(), 5)
        shed = from_rpc_error(await refusal(call(flooded, request())))
        assert await call(channel, request())
        go_on.set()
        await first
    assert shed.reason is Reason.OVERLOADED
    assert registry.get_sample_value("counterfoil_calls_in_flight") == 0
    assert registry.get_sample_value("counterfoil_calls_in_flight") == 0


async def test_a_call_that_its_caller_gives_up_frees_its_place(
    registry: CollectorRegistry,
) -> None:
    ended = asyncio.Event()

    async def hang(_: Request, __: Any) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with serving(registry, hang, max_in_flight=1) as channel:
        error = await refusal(call(channel, request(), timeout=0.1))
        await asyncio.wait_for(ended.wait(), 5)
        async with asyncio.timeout(5):
            while registry.get_sample_value("counterfoil_calls_in_flight"):
                await asyncio.sleep(0.01)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert counted(registry, "Assess", "CANCELLED") == 1


async def test_a_stream_needs_no_deadline_and_passes_messages(
    registry: CollectorRegistry,
) -> None:
    async with serving(registry) as channel:
        stub = evaluation_service_pb2_grpc.EvaluationServiceStub(channel)
        link = stub.ServeEvaluations()
        for number in (1, 2, 3):
            await link.write(Up(done=evaluation_service_pb2.EvaluationDone(task_id=number)))
            answer = await asyncio.wait_for(link.read(), 5)
            assert isinstance(answer, Down)
            assert answer.task_id == number
        await link.done_writing()
        assert await link.code() is grpc.StatusCode.OK


async def test_a_stream_refusal_arrives_with_its_reason(registry: CollectorRegistry) -> None:
    async def refuse(requests: AsyncIterator[Up], _: Any) -> AsyncIterator[Down]:
        async for _request in requests:
            yield Down(task_id=1)
            raise CounterfoilError(Reason.ROLE_MISSING, "not an evaluator")

    async with serving(registry, serve=refuse) as channel:
        replies = stream(channel, SERVE)(iter([b""]))
        first = await replies.read()
        error = await refusal(replies.read())
    assert isinstance(first, bytes)
    assert Down.FromString(first).task_id == 1
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert from_rpc_error(error).reason is Reason.ROLE_MISSING
    assert counted(registry, "ServeEvaluations", "ROLE_MISSING") == 1


async def test_a_malformed_message_ends_a_stream_with_a_reason(
    registry: CollectorRegistry,
) -> None:
    async with serving(registry) as channel:
        replies = stream(channel, SERVE)(iter([b"", b"\xff\xff"]))
        await replies.read()
        error = await refusal(replies.read())
    assert from_rpc_error(error).reason is Reason.MALFORMED


async def test_a_broken_stream_is_internal_and_its_text_stays_inside(
    registry: CollectorRegistry, log_stream: io.StringIO
) -> None:
    async def break_down(requests: AsyncIterator[Up], _: Any) -> AsyncIterator[Down]:
        async for _request in requests:
            yield Down()
            raise KeyError(SECRET)

    async with serving(registry, serve=break_down) as channel:
        replies = stream(channel, SERVE)(iter([b""]))
        await replies.read()
        error = await refusal(replies.read())
    assert from_rpc_error(error).reason is Reason.INTERNAL
    assert SECRET not in repr(error)
    assert SECRET not in log_stream.getvalue()
    assert '"exception": "KeyError"' in log_stream.getvalue()
    assert counted(registry, "ServeEvaluations", "INTERNAL") == 1


async def test_a_stream_s_handler_cleans_up_when_its_caller_hangs_up(
    registry: CollectorRegistry,
) -> None:
    cleaned = asyncio.Event()

    async def hold(requests: AsyncIterator[Up], _: Any) -> AsyncIterator[Down]:
        try:
            async for _request in requests:
                yield Down()
        finally:
            cleaned.set()

    async with serving(registry, serve=hold) as channel:
        stub = evaluation_service_pb2_grpc.EvaluationServiceStub(channel)
        link = stub.ServeEvaluations()
        await link.write(Up())
        await link.read()
        link.cancel()
        await asyncio.wait_for(cleaned.wait(), 5)


async def test_a_method_that_is_not_there_is_grpc_s_own_refusal(
    registry: CollectorRegistry,
) -> None:
    async with serving(registry) as channel:
        error = await refusal(call(channel, method="/counterfoil.v1.AssessmentService/Nothing"))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
