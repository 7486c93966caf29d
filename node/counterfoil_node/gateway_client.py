"""The gateway over mTLS: the ports of `ports.py` filled by gRPC. Raw protobuf stops here.

Client credentials do not reload in gRPC: when certificates change, the channel is rebuilt, and
calls under way on the old one finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import grpc

from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.evaluation import PartialEvaluation
from counterfoil.exposure import InstitutionKind
from counterfoil.fields import to_enum
from counterfoil.membership import Member, MemberRole, MemberState, Network
from counterfoil.v1 import (
    assessment_service_pb2 as assessing,
)
from counterfoil.v1 import (
    assessment_service_pb2_grpc as assessing_grpc,
)
from counterfoil.v1 import (
    evaluation_service_pb2 as evaluating,
)
from counterfoil.v1 import (
    evaluation_service_pb2_grpc as evaluating_grpc,
)
from counterfoil.v1 import (
    membership_pb2,
)
from counterfoil.v1 import (
    membership_service_pb2 as membership,
)
from counterfoil.v1 import (
    membership_service_pb2_grpc as membership_grpc,
)
from counterfoil.v1 import (
    publishing_service_pb2 as publishing,
)
from counterfoil.v1 import (
    publishing_service_pb2_grpc as publishing_grpc,
)
from counterfoil.wire import envelope_from_proto, envelope_to_proto
from counterfoil_daemon.errors_on_wire import from_rpc_error
from counterfoil_daemon.server import TlsFiles, secure_channel

Q = TypeVar("Q")
R = TypeVar("R")

MAX_CALLS_UNDER_WAY = 200
"""Concurrent calls on one channel; grpc loses calls with many more."""

OLD_CHANNEL_SECONDS = 60.0
"""How long calls under way on a replaced channel may take."""

MEMBERS_PAGE = 1_000


class GatewayClient:
    """The connection to the gateway."""

    def __init__(self, address: str, tls: TlsFiles) -> None:
        self._address = address
        self._tls = tls
        self._calls = asyncio.Semaphore(MAX_CALLS_UNDER_WAY)
        self._closing: set[asyncio.Task[None]] = set()
        self._channel = self._connect()

    def reload(self) -> None:
        """Reads the certificate files again and dials anew. Raises FILE_MISSING; then the old
        channel stays."""
        old, self._channel = self._channel, self._connect()
        task = asyncio.get_running_loop().create_task(old.close(OLD_CHANNEL_SECONDS))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Ends the connection."""
        for task in list(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._channel.close(None)

    async def publish(
        self, statement: Envelope, salts: bytes, records: Sequence[bytes], timeout: float
    ) -> Envelope:
        """See `ports.PublishingGateway`."""
        request = publishing.PublishBatchRequest(
            statement=envelope_to_proto(statement), salts=salts, records=records
        )
        stub = publishing_grpc.PublishingServiceStub(self._channel)
        response = await self._call(stub.PublishBatch, request, timeout)
        return envelope_from_proto(response.receipt, "receipt")

    async def publishing_state(self, timeout: float) -> Envelope | None:
        """See `ports.PublishingGateway`."""
        stub = publishing_grpc.PublishingServiceStub(self._channel)
        request = publishing.GetPublishingStateRequest()
        response = await self._call(stub.GetPublishingState, request, timeout)
        if not response.HasField("last_receipt"):
            return None
        return envelope_from_proto(response.last_receipt, "last_receipt")

    async def assess(self, inquiry: Envelope, timeout: float) -> Envelope:
        """See `ports.AssessingGateway`."""
        stub = assessing_grpc.AssessmentServiceStub(self._channel)
        request = assessing.AssessRequest(inquiry=envelope_to_proto(inquiry))
        response = await self._call(stub.Assess, request, timeout)
        return envelope_from_proto(response.answer, "answer")

    async def evaluate(self, request: Envelope, timeout: float) -> tuple[PartialEvaluation, ...]:
        """See `ports.EvaluatingGateway`."""
        stub = evaluating_grpc.EvaluationServiceStub(self._channel)
        message = evaluating.EvaluateRequest(request=envelope_to_proto(request))
        response = await self._call(stub.Evaluate, message, timeout)
        return tuple(map(PartialEvaluation.from_proto, response.partials))

    async def network(self, timeout: float) -> Network:
        """See `ports.MembershipGateway`."""
        stub = membership_grpc.MembershipServiceStub(self._channel)
        response = await self._call(stub.GetNetwork, membership.GetNetworkRequest(), timeout)
        return Network.from_proto(response.network)

    async def members(self, timeout: float) -> tuple[Member, ...]:
        """See `ports.MembershipGateway`."""
        stub = membership_grpc.MembershipServiceStub(self._channel)
        found: list[Member] = []
        token = ""
        while True:
            request = membership.ListMembersRequest(page_size=MEMBERS_PAGE, page_token=token)
            response = await self._call(stub.ListMembers, request, timeout)
            found += map(_member, response.members)
            token = response.next_page_token
            if not token:
                return tuple(found)

    async def rotate_record_key(self, rotation: Envelope, timeout: float) -> Member:
        """Replaces this lender's record key."""
        stub = membership_grpc.MembershipServiceStub(self._channel)
        request = membership.RotateRecordKeyRequest(rotation=envelope_to_proto(rotation))
        response = await self._call(stub.RotateRecordKey, request, timeout)
        return _member(response.member)

    async def renew_certificate(self, certificate_request: bytes, timeout: float) -> str:
        """A new certificate (PEM) for a certificate request (DER)."""
        stub = membership_grpc.MembershipServiceStub(self._channel)
        request = membership.RenewCertificateRequest(certificate_request=certificate_request)
        response = await self._call(stub.RenewCertificate, request, timeout)
        return response.certificate_pem

    async def serve_evaluations(
        self,
        generation: int,
        token_epoch: int,
        evaluate: Callable[[Envelope], Awaitable[PartialEvaluation]],
        max_in_flight: int,
        on_open: Callable[[], None],
        timeout: float,
    ) -> None:
        """Keeps an evaluator's stream open and serves tasks from it until it breaks.

        `evaluate` may raise CounterfoilError: its reason is told. Raises GATEWAY_UNREACHABLE or
        the gateway's reason when the stream ends.
        """
        outgoing: asyncio.Queue[evaluating.ServeEvaluationsRequest] = asyncio.Queue()
        await outgoing.put(
            evaluating.ServeEvaluationsRequest(
                ready=evaluating.EvaluatorReady(generation=generation, token_epoch=token_epoch)
            )
        )

        async def up() -> AsyncIterator[evaluating.ServeEvaluationsRequest]:
            while True:
                yield await outgoing.get()

        async def work(task: evaluating.ServeEvaluationsResponse) -> None:
            async with slots:
                await outgoing.put(await _evaluate(task, evaluate))

        slots = asyncio.Semaphore(max_in_flight)
        try:
            async with asyncio.timeout(timeout):
                await self._channel.channel_ready()
        except TimeoutError:
            raise CounterfoilError(
                Reason.GATEWAY_UNREACHABLE, "no connection in time", retry_after=1.0
            ) from None
        stub = evaluating_grpc.EvaluationServiceStub(self._channel)
        call = stub.ServeEvaluations(up())
        jobs: set[asyncio.Task[None]] = set()
        try:
            # The gateway's headers come once it has attached this evaluator.
            await call.initial_metadata()
            on_open()
            async for task in call:
                job = asyncio.create_task(work(task))
                jobs.add(job)
                job.add_done_callback(jobs.discard)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.CancelledError:
            raise _cancelled() from None
        finally:
            call.cancel()
            for job in list(jobs):
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
        raise CounterfoilError(Reason.GATEWAY_UNREACHABLE, "the gateway ended the stream")

    def _connect(self) -> grpc.aio.Channel:
        certificate, key, ca = self._tls.read()
        return secure_channel(self._address, ca=ca, certificate=certificate, key=key)

    async def _call(self, method: Callable[..., Awaitable[R]], request: Q, timeout: float) -> R:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        try:
            async with asyncio.timeout_at(end):
                await self._calls.acquire()
        except TimeoutError:
            raise CounterfoilError(
                Reason.GATEWAY_UNREACHABLE, "too many calls under way", retry_after=1.0
            ) from None
        try:
            return await method(request, timeout=max(0.001, end - loop.time()))
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        except asyncio.CancelledError:
            raise _cancelled() from None
        finally:
            self._calls.release()


def _cancelled() -> BaseException:
    """What a CancelledError out of grpc means: it raises one also when the peer or the channel
    ended the call, and that must not be taken for the cancellation of our own task."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return asyncio.CancelledError()
    return CounterfoilError(Reason.GATEWAY_UNREACHABLE, "the call was cut off", retry_after=1.0)


def _member(message: membership_pb2.Member) -> Member:
    return Member(
        lender=message.name.removeprefix("lenders/"),
        institution_kind=to_enum(InstitutionKind, message.institution_kind, "institution_kind"),
        roles=tuple(to_enum(MemberRole, role, "roles") for role in message.roles),
        state=to_enum(MemberState, message.state, "state"),
        record_key=message.record_key,
    )


async def _evaluate(
    task: evaluating.ServeEvaluationsResponse,
    evaluate: Callable[[Envelope], Awaitable[PartialEvaluation]],
) -> evaluating.ServeEvaluationsRequest:
    try:
        partial = await evaluate(envelope_from_proto(task.request, "request"))
    except CounterfoilError as error:
        return evaluating.ServeEvaluationsRequest(
            refused=evaluating.EvaluationRefused(
                task_id=task.task_id,
                reason=error.reason.value,
                retry_after_ms=round((error.retry_after or 0) * 1_000),
            )
        )
    return evaluating.ServeEvaluationsRequest(
        done=evaluating.EvaluationDone(
            task_id=task.task_id,
            partial=partial.to_proto(),
        )
    )
