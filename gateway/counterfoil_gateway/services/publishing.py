"""PublishingService."""

from __future__ import annotations

from typing import Any

from counterfoil.v1 import publishing_service_pb2 as pb
from counterfoil.v1.publishing_service_pb2_grpc import PublishingServiceServicer
from counterfoil.wire import envelope_from_proto, envelope_to_proto
from counterfoil_daemon.spiffe import peer_lender

from ..ingest import Ingest


class PublishingService(PublishingServiceServicer):
    """Adapter of `Ingest`."""

    def __init__(self, network: str, ingest: Ingest) -> None:
        self._network = network
        self._ingest = ingest

    async def PublishBatch(
        self, request: pb.PublishBatchRequest, context: Any
    ) -> pb.PublishBatchResponse:
        receipt = await self._ingest.publish(
            peer_lender(context, self._network),
            envelope_from_proto(request.statement, "statement"),
            request.salts,
            request.records,
        )
        return pb.PublishBatchResponse(receipt=envelope_to_proto(receipt))

    async def GetPublishingState(
        self, request: pb.GetPublishingStateRequest, context: Any
    ) -> pb.GetPublishingStateResponse:
        receipt = await self._ingest.last_receipt(peer_lender(context, self._network))
        if receipt is None:
            return pb.GetPublishingStateResponse()
        return pb.GetPublishingStateResponse(last_receipt=envelope_to_proto(receipt))
