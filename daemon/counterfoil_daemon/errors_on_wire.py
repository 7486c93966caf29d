"""CounterfoilError to and from `google.rpc.Status` with exactly one ErrorInfo."""

from __future__ import annotations

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from counterfoil.errors import DOMAIN, CounterfoilError, Reason

from .status_codes import STATUS_OF

DETAILS_KEY = "grpc-status-details-bin"


def to_status(error: CounterfoilError) -> Status:
    """An error as the status that goes into the trailer."""
    code, _ = STATUS_OF[error.reason].value
    status = Status(code=code, message=error.message)
    info = ErrorInfo(reason=error.reason.value, domain=DOMAIN)
    if error.field:
        info.metadata["field"] = error.field
    status.details.add().Pack(info)
    if error.retry_after is not None:
        nanos = round(error.retry_after * 1e9)
        delay = Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
        status.details.add().Pack(RetryInfo(retry_delay=delay))
    return status


def from_rpc_error(error: grpc.aio.AioRpcError) -> CounterfoilError:
    """What a failed call means: the peer's reason, or ours for what gRPC itself refused."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            found = _from_details(value if isinstance(value, bytes) else value.encode())
            if found is not None:
                return found
    code = error.code()
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return CounterfoilError(
            Reason.GATEWAY_UNREACHABLE, f"no answer in time ({code.name})", retry_after=1.0
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # gRPC refuses what exceeds its own limit before any handler sees it.
        return CounterfoilError(Reason.MESSAGE_TOO_LARGE, "the message is too large")
    return CounterfoilError(Reason.INTERNAL, f"the call failed with {code.name}")


def _from_details(data: bytes) -> CounterfoilError | None:
    info, retry_after = ErrorInfo(), None
    try:
        status = Status.FromString(data)
        for detail in status.details:
            if detail.Is(ErrorInfo.DESCRIPTOR):
                detail.Unpack(info)
            elif detail.Is(RetryInfo.DESCRIPTOR):
                retry = RetryInfo()
                detail.Unpack(retry)
                retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    except DecodeError:
        return None
    if info.domain != DOMAIN:
        return None
    try:
        reason = Reason(info.reason)
    except ValueError:
        reason = Reason.INTERNAL
    return CounterfoilError(
        reason, status.message, field=info.metadata.get("field", ""), retry_after=retry_after
    )
