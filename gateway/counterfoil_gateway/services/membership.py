"""EnrolmentService and MembershipService."""

from __future__ import annotations

from typing import Any

from counterfoil.errors import InvalidInput, Reason
from counterfoil.v1 import membership_service_pb2 as pb
from counterfoil.v1.membership_service_pb2_grpc import (
    EnrolmentServiceServicer,
    MembershipServiceServicer,
)
from counterfoil.wire import envelope_from_proto
from counterfoil_daemon.spiffe import peer_lender

from ..membership import Membership

DEFAULT_PAGE = 100
MAX_PAGE = 1_000


class EnrolmentService(EnrolmentServiceServicer):
    """Adapter of `Membership.enrol`, on a port of its own."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership

    async def Enrol(self, request: pb.EnrolRequest, context: Any) -> pb.EnrolResponse:
        certificate, network = await self._membership.enrol(
            request.enrolment_token,
            request.certificate_request,
            envelope_from_proto(request.statement, "statement"),
        )
        return pb.EnrolResponse(certificate_pem=certificate, network=network.to_proto())


class MembershipService(MembershipServiceServicer):
    """Adapter of `Membership`."""

    def __init__(self, network: str, membership: Membership) -> None:
        self._network = network
        self._membership = membership

    async def GetNetwork(
        self, request: pb.GetNetworkRequest, context: Any
    ) -> pb.GetNetworkResponse:
        self._membership.active(peer_lender(context, self._network))
        return pb.GetNetworkResponse(network=self._membership.network().to_proto())

    async def ListMembers(
        self, request: pb.ListMembersRequest, context: Any
    ) -> pb.ListMembersResponse:
        self._membership.active(peer_lender(context, self._network))
        if not 0 <= request.page_size <= MAX_PAGE:
            raise InvalidInput(Reason.FIELD_INVALID, f"0 to {MAX_PAGE}", field="page_size")
        size = request.page_size or DEFAULT_PAGE
        # The token of a page is the name that the one before ended with.
        rest = [m for m in self._membership.members() if m.name > request.page_token]
        page = rest[:size]
        return pb.ListMembersResponse(
            members=[member.to_proto() for member in page],
            next_page_token=page[-1].name if len(rest) > size else "",
        )

    async def RotateRecordKey(
        self, request: pb.RotateRecordKeyRequest, context: Any
    ) -> pb.RotateRecordKeyResponse:
        member = await self._membership.rotate(
            peer_lender(context, self._network),
            envelope_from_proto(request.rotation, "rotation"),
        )
        return pb.RotateRecordKeyResponse(member=member.to_proto())

    async def RenewCertificate(
        self, request: pb.RenewCertificateRequest, context: Any
    ) -> pb.RenewCertificateResponse:
        certificate = await self._membership.renew(
            peer_lender(context, self._network), request.certificate_request
        )
        return pb.RenewCertificateResponse(certificate_pem=certificate)
