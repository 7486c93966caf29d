"""`counterfoil.v1.DeskService`: messages to domain types and back."""

from __future__ import annotations

import grpc

from counterfoil import answer_codec
from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.exposure import EventKind, InstalmentCycle, ProductKind, Role
from counterfoil.fields import to_enum
from counterfoil.identifier import Identifier
from counterfoil.inquiry import Purpose
from counterfoil.timestamps import seconds_from_proto, seconds_to_proto
from counterfoil.v1 import desk_service_pb2 as pb
from counterfoil.v1 import desk_service_pb2_grpc as rpc
from counterfoil.v1 import exposure_pb2
from counterfoil.wire import envelope_to_proto

from ..book import Counts
from ..desk import MAX_REPORTED_EVENTS, Ask, Desk
from ..events import LoanEvent
from ..loans import Standing
from ..standing import NodeStanding, StandingOf
from ..store.reports import ReportedEvent


class DeskService(rpc.DeskServiceServicer):
    """Serves the desk on a local port."""

    def __init__(self, desk: Desk, standing: StandingOf, default_zone: str) -> None:
        self._desk = desk
        self._standing = standing
        self._default_zone = default_zone

    async def AssessBorrower(
        self,
        request: pb.AssessBorrowerRequest,
        context: grpc.aio.ServicerContext[pb.AssessBorrowerRequest, pb.AssessBorrowerResponse],
    ) -> pb.AssessBorrowerResponse:
        """Asks about a borrower; returns by the caller's deadline."""
        remaining = context.time_remaining()
        if remaining is None:
            raise CounterfoilError(Reason.DEADLINE_REQUIRED, "a call needs a deadline")
        ask = Ask(
            identifier=_identifier(request.identifier),
            application_id=request.application_id,
            purpose=to_enum(Purpose, request.purpose, "purpose"),
            product_kind=to_enum(ProductKind, request.product_kind, "product_kind"),
            amount_minor=request.amount_minor,
            currency=request.currency,
            time_zone=request.time_zone or self._default_zone,
            consent_document=request.consent_document,
        )
        assessed = await self._desk.assess(ask, remaining)
        inquiry = assessed.signed_inquiry
        return pb.AssessBorrowerResponse(
            answer=answer_codec.to_proto(assessed.answer),
            signed_answer=envelope_to_proto(assessed.signed_answer),
            signed_inquiry=None if inquiry is None else envelope_to_proto(inquiry),
            own_exposure=assessed.own_exposure,
        )

    async def ReportLoanEvents(
        self,
        request: pb.ReportLoanEventsRequest,
        context: grpc.aio.ServicerContext[pb.ReportLoanEventsRequest, pb.ReportLoanEventsResponse],
    ) -> pb.ReportLoanEventsResponse:
        """Takes loan events in."""
        if len(request.events) > MAX_REPORTED_EVENTS:
            raise InvalidInput(
                Reason.TOO_MANY_EVENTS, f"at most {MAX_REPORTED_EVENTS} events", field="events"
            )
        count = await self._desk.report(
            request.request_id,
            request.SerializeToString(deterministic=True),
            tuple(self._event(event) for event in request.events),
            seconds_from_proto(request.complete_as_of_time, "complete_as_of_time")
            if request.HasField("complete_as_of_time")
            else None,
        )
        return pb.ReportLoanEventsResponse(accepted_count=count)

    async def GetNodeStatus(
        self,
        request: pb.GetNodeStatusRequest,
        context: grpc.aio.ServicerContext[pb.GetNodeStatusRequest, pb.GetNodeStatusResponse],
    ) -> pb.GetNodeStatusResponse:
        """Tells how the node stands."""
        return standing_to_proto(await self._standing())

    def _event(self, message: pb.LoanEvent) -> ReportedEvent:
        kind = to_enum(EventKind, message.kind, "events.kind") if message.kind else None
        event = LoanEvent(
            kind=kind,
            time=seconds_from_proto(message.event_time, "events.event_time"),
            loan_id=message.loan_id or message.application_id,
            application_id=message.application_id,
            product_kind=to_enum(ProductKind, message.product_kind, "events.product_kind"),
            role=(
                to_enum(Role, message.standing.role, "events.standing.role")
                if message.HasField("standing")
                else Role.SOLE
            ),
            currency=message.currency,
            amount_minor=message.amount_minor,
            time_zone=self._default_zone,
            standing=_standing(message) if message.HasField("standing") else None,
        )
        named = message.HasField("identifier")
        return ReportedEvent(event, _identifier(message.identifier) if named else None)


def _identifier(message: pb.RawIdentifier) -> Identifier:
    try:
        return Identifier.parse(message.scheme, message.value, message.country)
    except InvalidInput as error:
        field = f"identifier.{error.field}" if error.field else "identifier"
        raise InvalidInput(error.reason, error.message, field=field) from None


def _standing(event: pb.LoanEvent) -> Standing:
    message: exposure_pb2.Facility = event.standing
    if message.application_reference:
        raise InvalidInput(
            Reason.FIELD_INVALID,
            "the node fills it in",
            field="events.standing.application_reference",
        )
    for name in ("currency", "product_kind"):
        if getattr(message, name) != getattr(event, name):
            raise InvalidInput(
                Reason.FIELD_INVALID, "not that of the event", field=f"events.standing.{name}"
            )
    return Standing(
        limit_minor=message.limit_minor,
        outstanding_minor=message.outstanding_minor,
        instalment_cycle=to_enum(
            InstalmentCycle, message.instalment_cycle, "events.standing.instalment_cycle"
        ),
        instalment_minor=message.instalment_minor,
        next_due_day=message.next_due_day if message.HasField("next_due_day") else None,
        final_due_day=message.final_due_day if message.HasField("final_due_day") else None,
        oldest_unpaid_due_day=(
            message.oldest_unpaid_due_day if message.HasField("oldest_unpaid_due_day") else None
        ),
    )


def standing_to_proto(standing: NodeStanding) -> pb.GetNodeStatusResponse:
    """The node's standing as a message."""
    message = pb.GetNodeStatusResponse(
        lender=standing.lender,
        network=standing.network,
        gateway_reachable=standing.gateway_reachable,
        loan_count=standing.counts.loans,
        borrower_count=standing.counts.borrowers,
        pending_borrower_count=standing.counts.pending_borrowers,
        outbox_batch_count=standing.counts.outbox_batches,
        acknowledged_sequence=standing.acknowledged_sequence,
    )
    if standing.published_complete_as_of is not None:
        message.published_complete_as_of_time.CopyFrom(
            seconds_to_proto(standing.published_complete_as_of)
        )
    if standing.certificate_expire is not None:
        message.certificate_expire_time.CopyFrom(seconds_to_proto(standing.certificate_expire))
    return message


def standing_from_proto(message: pb.GetNodeStatusResponse) -> NodeStanding:
    """A node's standing from a message of its own desk."""

    def time(name: str) -> int | None:
        return getattr(message, name).seconds if message.HasField(name) else None  # type: ignore[arg-type]

    return NodeStanding(
        lender=message.lender,
        network=message.network,
        gateway_reachable=message.gateway_reachable,
        counts=Counts(
            loans=message.loan_count,
            borrowers=message.borrower_count,
            pending_borrowers=message.pending_borrower_count,
            outbox_batches=message.outbox_batch_count,
        ),
        acknowledged_sequence=message.acknowledged_sequence,
        published_complete_as_of=time("published_complete_as_of_time"),
        certificate_expire=time("certificate_expire_time"),
    )
