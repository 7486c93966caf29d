"""Errors on the wire: one ErrorInfo, and the same error again on the other side."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from counterfoil.errors import DOMAIN, CounterfoilError, Reason
from counterfoil_daemon.errors_on_wire import DETAILS_KEY, from_rpc_error, to_status
from counterfoil_daemon.status_codes import STATUS_OF, TRANSIENT


def rpc_error(code: grpc.StatusCode, details: bytes | None = None) -> grpc.aio.AioRpcError:
    trailer = grpc.aio.Metadata() if details is None else grpc.aio.Metadata((DETAILS_KEY, details))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailer, details="text")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_status_that_is_not_ok(reason: Reason) -> None:
    assert STATUS_OF[reason] not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_crosses_the_wire_unchanged(reason: Reason) -> None:
    sent = CounterfoilError(reason, "why", field="batch.root", retry_after=1.25)
    got = from_rpc_error(rpc_error(STATUS_OF[reason], to_status(sent).SerializeToString()))
    assert (got.reason, got.message, got.field, got.retry_after) == (
        reason,
        "why",
        "batch.root",
        1.25,
    )


@pytest.mark.parametrize(
    "reason", [Reason.OVERLOADED, Reason.GATEWAY_UNREACHABLE, Reason.SHUTTING_DOWN]
)
def test_what_speaks_of_the_moment_is_transient(reason: Reason) -> None:
    assert reason in TRANSIENT


@pytest.mark.parametrize(
    "reason", [Reason.SIGNATURE_INVALID, Reason.MALFORMED, Reason.LENDER_SUSPENDED]
)
def test_what_speaks_of_the_request_is_not_transient(reason: Reason) -> None:
    assert reason not in TRANSIENT


def test_a_status_carries_exactly_one_error_info() -> None:
    status = to_status(CounterfoilError(Reason.SEQUENCE_GAP, "why", field="sequence"))
    info = ErrorInfo()
    (detail,) = status.details
    assert detail.Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "SEQUENCE_GAP",
        DOMAIN,
        {"field": "sequence"},
    )
    assert (status.code, status.message) == (9, "why")


def test_an_error_without_a_field_sends_no_metadata() -> None:
    info = ErrorInfo()
    to_status(CounterfoilError(Reason.INTERNAL, "")).details[0].Unpack(info)
    assert dict(info.metadata) == {}


@pytest.mark.parametrize("seconds", [0.0, 0.001, 1.0, 59.999999999, 86_400.0])
def test_a_retry_hint_keeps_its_seconds(seconds: float) -> None:
    status = to_status(CounterfoilError(Reason.OVERLOADED, "", retry_after=seconds))
    retry = RetryInfo()
    assert [detail.Is(RetryInfo.DESCRIPTOR) for detail in status.details] == [False, True]
    status.details[1].Unpack(retry)
    got = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    assert got == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Reason.GATEWAY_UNREACHABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Reason.GATEWAY_UNREACHABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.MESSAGE_TOO_LARGE),
        (grpc.StatusCode.UNIMPLEMENTED, Reason.INTERNAL),
        (grpc.StatusCode.UNKNOWN, Reason.INTERNAL),
        (grpc.StatusCode.CANCELLED, Reason.INTERNAL),
    ],
)
def test_a_failure_of_grpc_itself_gets_a_reason(code: grpc.StatusCode, reason: Reason) -> None:
    assert from_rpc_error(rpc_error(code)).reason is reason


def test_an_absent_peer_is_worth_a_retry() -> None:
    assert from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE)).retry_after is not None


def test_a_reason_that_this_version_does_not_know_is_internal() -> None:
    status = Status(code=9, message="of tomorrow")
    status.details.add().Pack(ErrorInfo(reason="OF_TOMORROW", domain=DOMAIN))
    error = from_rpc_error(
        rpc_error(grpc.StatusCode.FAILED_PRECONDITION, status.SerializeToString())
    )
    assert (error.reason, error.message) == (Reason.INTERNAL, "of tomorrow")


def test_another_domain_s_reason_is_not_taken_for_ours() -> None:
    status = Status(code=7)
    status.details.add().Pack(ErrorInfo(reason="LENDER_SUSPENDED", domain="example.com"))
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, status.SerializeToString()))
    assert error.reason is Reason.GATEWAY_UNREACHABLE


@pytest.mark.parametrize(
    "details",
    [
        b"\xff\xff\xff",
        b"",
        Status(
            details=[
                AnyMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
            ]
        ).SerializeToString(),
        Status(
            details=[
                AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff\xff")
            ]
        ).SerializeToString(),
    ],
    ids=["not a status", "empty", "broken ErrorInfo", "broken RetryInfo"],
)
def test_details_that_are_garbage_do_not_break_the_client(details: bytes) -> None:
    error = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, details))
    assert error.reason is Reason.GATEWAY_UNREACHABLE
