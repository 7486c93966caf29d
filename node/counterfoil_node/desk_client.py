"""A client of the node's own desk, for the command line and for tools on the same machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import grpc

from counterfoil import answer_codec
from counterfoil.answer import Answer
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import ProductKind
from counterfoil.fields import to_number
from counterfoil.inquiry import Purpose
from counterfoil.limits import MAX_MESSAGE_BYTES
from counterfoil.v1 import desk_service_pb2 as pb
from counterfoil.v1 import desk_service_pb2_grpc as rpc
from counterfoil.wire import envelope_from_proto
from counterfoil_daemon.errors_on_wire import from_rpc_error

from .config import Settings
from .folder import NodeFolder
from .services.desk import standing_from_proto
from .standing import NodeStanding

Q = TypeVar("Q")
R = TypeVar("R")


def desk_target(folder: NodeFolder, settings: Settings) -> str:
    """Where the desk of a folder listens, as a gRPC target."""
    return settings.desk.listen or folder.desk_target


@dataclass(frozen=True, slots=True)
class RawAsk:
    """A question as a loan system has it: the identifier as written."""

    scheme: str
    value: str = field(repr=False)
    product_kind: ProductKind
    amount_minor: int
    currency: str
    country: str = ""
    application_id: str = ""
    purpose: Purpose = Purpose.CREDIT_APPLICATION
    consent_document: bytes = field(default=b"", repr=False)
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class DeskReply:
    """An answer, verified by the node, with the signed originals."""

    answer: Answer
    signed_answer: Envelope
    signed_inquiry: Envelope | None = field(repr=False)
    own_exposure: bool


class DeskClient:
    """One connection to the desk; an async context manager."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.aio.insecure_channel(
            target,
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ),
        )
        self._stub = rpc.DeskServiceStub(self._channel)

    async def __aenter__(self) -> DeskClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hangs up."""
        await self._channel.close()

    async def assess(self, ask: RawAsk, timeout: float) -> DeskReply:
        """Asks about a borrower."""
        request = pb.AssessBorrowerRequest(
            identifier=pb.RawIdentifier(scheme=ask.scheme, value=ask.value, country=ask.country),
            application_id=ask.application_id,
            purpose=to_number(ask.purpose),
            consent_document=ask.consent_document,
            product_kind=to_number(ask.product_kind),
            amount_minor=ask.amount_minor,
            currency=ask.currency,
            time_zone=ask.time_zone,
        )
        response = await _call(self._stub.AssessBorrower, request, timeout)
        inquiry = response.signed_inquiry if response.HasField("signed_inquiry") else None
        return DeskReply(
            answer_codec.from_proto(response.answer),
            envelope_from_proto(response.signed_answer, "signed_answer"),
            None if inquiry is None else envelope_from_proto(inquiry, "signed_inquiry"),
            response.own_exposure,
        )

    async def report(self, request: pb.ReportLoanEventsRequest, timeout: float) -> int:
        """Reports loan events; returns how many were taken in."""
        response = await _call(self._stub.ReportLoanEvents, request, timeout)
        return response.accepted_count

    async def status(self, timeout: float) -> NodeStanding:
        """How the node stands."""
        response = await _call(self._stub.GetNodeStatus, pb.GetNodeStatusRequest(), timeout)
        return standing_from_proto(response)


async def _call(method: Callable[..., Awaitable[R]], request: Q, timeout: float) -> R:
    try:
        return await method(request, timeout=timeout)
    except grpc.aio.AioRpcError as error:
        found = from_rpc_error(error)
        if found.reason is Reason.GATEWAY_UNREACHABLE:
            found = CounterfoilError(
                Reason.SHUTTING_DOWN, "no answer from the desk: is `counterfoil-node run` working?"
            )
        raise found from None
