"""AssessmentService."""

from __future__ import annotations

from typing import Any

from counterfoil.v1 import assessment_service_pb2 as pb
from counterfoil.v1.assessment_service_pb2_grpc import AssessmentServiceServicer
from counterfoil.wire import envelope_from_proto, envelope_to_proto
from counterfoil_daemon.spiffe import peer_lender

from ..assess import Assessor


class AssessmentService(AssessmentServiceServicer):
    """Adapter of `Assessor`."""

    def __init__(self, network: str, assessor: Assessor) -> None:
        self._network = network
        self._assessor = assessor

    async def Assess(self, request: pb.AssessRequest, context: Any) -> pb.AssessResponse:
        answer = await self._assessor.assess(
            peer_lender(context, self._network),
            envelope_from_proto(request.inquiry, "inquiry"),
        )
        return pb.AssessResponse(answer=envelope_to_proto(answer))
