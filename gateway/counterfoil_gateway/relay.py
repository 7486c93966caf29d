"""The relay between nodes that need tokens and the evaluators that hold the pseudonym key.

Both dial out to the gateway. It passes signed requests on unread by anyone but their evaluator: it
can mint none, since evaluators check the requester's own signature, and learns no identifier,
since the points are blinded.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from counterfoil import dsse
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.evaluation import PAYLOAD_TYPE, EvaluationRequest, PartialEvaluation
from counterfoil.membership import MemberRole

from .membership import Membership

MAX_WAITING = 256
"""Tasks given to one evaluator and not yet answered; beyond it callers are told OVERLOADED."""

RETRY_SECONDS = 1.0
MARGIN_SECONDS = 0.05
"""Left of the caller's deadline for the way back."""


@dataclass(frozen=True, slots=True)
class Task:
    """A request on its way to an evaluator."""

    number: int
    request: Envelope


class Link:
    """One evaluator's open stream: tasks go down, results come up."""

    def __init__(self, evaluator: str) -> None:
        self.evaluator = evaluator
        self._tasks: asyncio.Queue[Task | None] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[PartialEvaluation]] = {}
        self._last = 0
        self._closed = False

    async def ask(self, request: Envelope) -> PartialEvaluation:
        """Sends a request down and waits for its result."""
        if self._closed:
            raise _unavailable()
        # An evaluator that takes nothing leaves tasks behind whose callers have gone.
        if max(len(self._waiting), self._tasks.qsize()) >= MAX_WAITING:
            raise CounterfoilError(
                Reason.OVERLOADED, "the evaluator is busy", retry_after=RETRY_SECONDS
            )
        self._last += 1
        number = self._last
        done: asyncio.Future[PartialEvaluation] = asyncio.get_running_loop().create_future()
        self._waiting[number] = done
        self._tasks.put_nowait(Task(number, request))
        try:
            return await done
        finally:
            del self._waiting[number]

    async def next_task(self) -> Task | None:
        """The next task that someone waits for, or None when the stream is to end."""
        while (task := await self._tasks.get()) is not None:
            if task.number in self._waiting:
                return task
        return None

    def done(self, number: int, partial: PartialEvaluation) -> None:
        """A result came up. One that nobody waits for any more is dropped."""
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(partial)

    def refused(self, number: int, error: CounterfoilError) -> None:
        """A refusal came up."""
        waiting = self._waiting.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    def close(self) -> None:
        """The stream ended: whoever waits is told."""
        if not self._closed:
            self._closed = True
            self._tasks.put_nowait(None)
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(_unavailable())


class Relay:
    """Knows the open streams of evaluators and passes requests to them."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._links: dict[str, Link] = {}

    def attach(self, peer: str, *, generation: int, token_epoch: int) -> Link:
        """Opens the link of an evaluator; an older one of the same evaluator is closed.

        ROLE_MISSING, TOKEN_EPOCH_MISMATCH.
        """
        member = self._membership.active(peer)
        if MemberRole.EVALUATOR not in member.roles:
            raise CounterfoilError(Reason.ROLE_MISSING, "not an evaluator", field="roles")
        epoch = self._membership.token_epoch
        if (epoch.epoch, epoch.generation) != (token_epoch, generation):
            raise InvalidInput(
                Reason.TOKEN_EPOCH_MISMATCH, "not the epoch in force", field="token_epoch"
            )
        self.detach(self._links.get(peer))
        link = self._links[peer] = Link(peer)
        return link

    def detach(self, link: Link | None) -> None:
        """Closes a link."""
        if link is not None:
            link.close()
            if self._links.get(link.evaluator) is link:
                del self._links[link.evaluator]

    def close(self) -> None:
        """Ends every stream."""
        for link in list(self._links.values()):
            self.detach(link)

    async def evaluate(
        self, peer: str, envelope: Envelope, seconds: float
    ) -> tuple[PartialEvaluation, ...]:
        """Has a request of the lender `peer` evaluated, in at most `seconds`."""
        key = self._membership.record_key(peer)
        request = EvaluationRequest.decode(dsse.verify(envelope, PAYLOAD_TYPE, key))
        self._membership.check_binding(
            peer,
            network=request.network,
            lender=request.lender,
            token_epoch=request.token_epoch,
        )
        epoch = self._membership.token_epoch
        if request.generation != epoch.generation:
            raise InvalidInput(
                Reason.TOKEN_EPOCH_MISMATCH, "not the generation in force", field="generation"
            )
        link = self._links.get(epoch.evaluator)
        if link is None or not self._membership.is_active(epoch.evaluator):
            raise _unavailable()
        try:
            async with asyncio.timeout(max(seconds - MARGIN_SECONDS, 0)):
                return (await link.ask(envelope),)
        except TimeoutError:
            raise _unavailable() from None


def _unavailable() -> CounterfoilError:
    return CounterfoilError(
        Reason.EVALUATOR_UNAVAILABLE, "no evaluator answers", retry_after=RETRY_SECONDS
    )
