"""The background work of an evaluator: members known, stream open."""

from __future__ import annotations

import asyncio

import structlog

from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.evaluation import PartialEvaluation
from counterfoil_daemon.lifecycle import Stop

from .config import EvaluatorSettings, PublishingSettings
from .evaluator import Evaluator, MemberKeys
from .gateway_client import GatewayClient
from .link import Link

log = structlog.get_logger()

MEMBERS_AT_LEAST_SECONDS = 0.5
"""An unknown signer makes the member list be fetched at once, but not more often than this."""


class EvaluatingLoop:
    """Keeps the evaluator's stream to the gateway open."""

    def __init__(
        self,
        evaluator: Evaluator,
        members: MemberKeys,
        client: GatewayClient,
        link: Link,
        settings: EvaluatorSettings,
        retry: PublishingSettings,
        timeout: float,
    ) -> None:
        self._evaluator = evaluator
        self._members = members
        self._client = client
        self._link = link
        self._settings = settings
        self._retry = retry
        self._timeout = timeout
        self._fetched = float("-inf")
        self._fetching = asyncio.Lock()
        self.serving = False
        """Whether the stream is open."""

    async def run(self, stop: Stop) -> None:
        """Until the daemon ends."""
        failures = 0
        while not stop.asked:
            try:
                await self._fetch_members()
                await self._link.refresh(self._timeout)
                await self._client.serve_evaluations(
                    self._evaluator.share.generation,
                    self._evaluator.share.token_epoch,
                    self._evaluate,
                    self._settings.max_in_flight,
                    self._opened,
                    self._timeout,
                )
            except CounterfoilError as error:
                self._link.note(error)
                if self.serving or failures == 0:
                    log.warning("evaluator_stream", reason=error.reason.value)
                failures = 1 if self.serving else failures + 1
            finally:
                self.serving = False
            wait = self._retry.retry_seconds * 2.0 ** min(failures - 1, 16)
            await stop.wait(min(wait, self._retry.max_retry_seconds))

    async def keep_members(self, stop: Stop) -> None:
        """Fetches the member list again and again, so that a suspended lender is refused soon."""
        while not await stop.wait(self._settings.members_seconds):
            try:
                await self._fetch_members()
            except CounterfoilError as error:
                log.warning("members_not_fetched", reason=error.reason.value)

    def _opened(self) -> None:
        self.serving = True
        log.info("evaluator_serving", token_epoch=self._evaluator.share.token_epoch)

    async def _evaluate(self, request: Envelope) -> PartialEvaluation:
        if not self._evaluator.knows(request):
            await self._fetch_members()
        try:
            return await self._evaluator.evaluate(request)
        except CounterfoilError as error:
            if error.reason is Reason.STORE_FAILED:
                log.error("evaluation_not_charged")
            raise

    async def _fetch_members(self) -> None:
        loop = asyncio.get_running_loop()
        async with self._fetching:
            if loop.time() - self._fetched < MEMBERS_AT_LEAST_SECONDS:
                return
            self._members.replace(await self._client.members(self._timeout))
            self._fetched = loop.time()
