"""EvaluationService: the relay's two ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.evaluation import PartialEvaluation
from counterfoil.v1 import evaluation_service_pb2 as pb
from counterfoil.v1.evaluation_service_pb2_grpc import EvaluationServiceServicer
from counterfoil.wire import envelope_from_proto, envelope_to_proto
from counterfoil_daemon.spiffe import peer_lender

from ..relay import Link, Relay


class EvaluationService(EvaluationServiceServicer):
    """Adapter of `Relay`."""

    def __init__(self, network: str, relay: Relay) -> None:
        self._network = network
        self._relay = relay

    async def Evaluate(self, request: pb.EvaluateRequest, context: Any) -> pb.EvaluateResponse:
        partials = await self._relay.evaluate(
            peer_lender(context, self._network),
            envelope_from_proto(request.request, "request"),
            context.time_remaining(),
        )
        return pb.EvaluateResponse(partials=[partial.to_proto() for partial in partials])

    async def ServeEvaluations(
        self, request_iterator: AsyncIterator[pb.ServeEvaluationsRequest], context: Any
    ) -> AsyncIterator[pb.ServeEvaluationsResponse]:
        peer = peer_lender(context, self._network)
        first = await anext(request_iterator, pb.ServeEvaluationsRequest())
        if not first.HasField("ready"):
            raise InvalidInput(Reason.FIELD_MISSING, "a stream opens with `ready`", field="ready")
        link = self._relay.attach(
            peer, generation=first.ready.generation, token_epoch=first.ready.token_epoch
        )
        # Tells the evaluator that it is attached: from now on it may call itself serving.
        await context.send_initial_metadata(())
        reading = asyncio.create_task(self._read(request_iterator, link))
        # When the evaluator goes away its half ends first; closing the link ends ours.
        reading.add_done_callback(lambda _: self._relay.detach(link))
        try:
            while (task := await link.next_task()) is not None:
                yield pb.ServeEvaluationsResponse(
                    task_id=task.number, request=envelope_to_proto(task.request)
                )
        finally:
            self._relay.detach(link)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, requests: AsyncIterator[pb.ServeEvaluationsRequest], link: Link) -> None:
        async for request in requests:
            if request.HasField("done"):
                self._done(request.done, link)
            elif request.HasField("refused"):
                link.refused(request.refused.task_id, _refusal(request.refused))

    @staticmethod
    def _done(done: pb.EvaluationDone, link: Link) -> None:
        try:
            partial = PartialEvaluation.from_proto(done.partial)
        except CounterfoilError as error:
            link.refused(done.task_id, error)
            return
        # An evaluator speaks for itself only, whatever it writes.
        if partial.evaluator != link.evaluator:
            link.refused(
                done.task_id,
                InvalidInput(Reason.LENDER_MISMATCH, "another's partial", field="evaluator"),
            )
            return
        link.done(done.task_id, partial)


def _refusal(refused: pb.EvaluationRefused) -> CounterfoilError:
    try:
        reason = Reason(refused.reason)
    except ValueError:
        reason = Reason.INTERNAL
    retry = refused.retry_after_ms / 1_000 if refused.retry_after_ms else None
    return CounterfoilError(reason, "the evaluator refuses", retry_after=retry)
