"""The background work that keeps the gateway up to the book."""

from __future__ import annotations

import structlog

from counterfoil.errors import CounterfoilError, InvalidInput, Reason, VerificationError
from counterfoil_daemon.lifecycle import Stop

from .book import Book
from .config import PublishingSettings
from .link import Link
from .outbox import MAX_SEALED_RECORDS, Publisher
from .store import outbox as store
from .store.borrowers import PendingBorrower
from .tokens import MAX_EVALUATED_AT_ONCE, TokenEpoch, Tokens

log = structlog.get_logger()


class PublishingLoop:
    """Looks at the book again and again; tokenises, seals, sends, and waits after failures."""

    def __init__(
        self,
        book: Book,
        publisher: Publisher,
        tokens: Tokens,
        link: Link,
        settings: PublishingSettings,
        timeout: float,
    ) -> None:
        self._book = book
        self._publisher = publisher
        self._tokens = tokens
        self._link = link
        self._settings = settings
        self._timeout = timeout
        self._reconciled = False
        self._unpublishable = 0

    async def run(self, stop: Stop) -> None:
        """Until the daemon ends. Raises STORE_FAILED, after which the process must end."""
        failures = 0
        while not stop.asked:
            try:
                moved = await self.step()
            except CounterfoilError as error:
                if error.reason is Reason.STORE_FAILED and not self._gateways_own(error):
                    raise
                self._note_failure(error, failures)
                failures += 1
                await stop.wait(self._pause(error, failures))
                continue
            failures = 0
            self._link.publishing = None
            if not moved:
                await stop.wait(self._settings.poll_seconds)

    def _gateways_own(self, error: CounterfoilError) -> bool:
        # The gateway's STORE_FAILED is its own trouble; ours has marked the database.
        return not self._book.database.failed

    def _note_failure(self, error: CounterfoilError, failures: int) -> None:
        self._link.note(error)
        if error.reason in (Reason.GATEWAY_UNREACHABLE, Reason.SEQUENCE_GAP):
            # Whoever comes back may have been restored meanwhile.
            self._reconciled = False
        if self._link.publishing is not error.reason or failures == 0:
            log.warning("publishing_failed", reason=error.reason.value, field=error.field)
        self._link.publishing = error.reason

    def _pause(self, error: CounterfoilError, failures: int) -> float:
        backoff = self._settings.retry_seconds * 2.0 ** min(failures - 1, 16)
        pause = min(self._settings.max_retry_seconds, backoff)
        if error.reason is Reason.QUOTA_EXCEEDED and error.retry_after is not None:
            # Asking again before the quota is renewed would not help; changes in the book might
            # concern borrowers whose tokens are known, so that the wait stays bounded.
            pause = min(self._settings.max_retry_seconds, error.retry_after)
        return pause

    async def step(self) -> bool:
        """One batch, if there is something to say; returns whether one was accepted."""
        if not self._reconciled:
            await self._publisher.reconcile()
            self._reconciled = True
            self._link.note(None)
        if await self._send():
            return True
        position = await self._book.position()
        pending = await self._book.pending(MAX_SEALED_RECORDS)
        head = await store.head(self._book.database)
        if not pending and (position.complete_as_of or 0) <= (head.complete_as_of or 0):
            return False
        epoch = self._link.epoch
        if epoch is None:
            await self._link.refresh(self._timeout)
            epoch = self._link.require_epoch()
        tokens, failure = await self._tokens_of(pending, epoch)
        only = None
        if failure is not None and not tokens:
            # Those who wait for a token must not hold up those who have one.
            only = await self._book.pending_with_token(epoch.number, MAX_SEALED_RECORDS)
            tokens = await self._tokens.cached([who.lookup for who in only], epoch)
        sealed = await self._publisher.seal_next(tokens, epoch, only)
        self._note_unpublishable(self._publisher.unpublishable)
        if sealed and await self._send():
            return True
        if failure is not None:
            raise failure
        return False

    async def _tokens_of(
        self, pending: list[PendingBorrower], epoch: TokenEpoch
    ) -> tuple[dict[bytes, bytes], CounterfoilError | None]:
        """The tokens of borrowers, as many as can be had, and why not all."""
        found = await self._tokens.cached([who.lookup for who in pending], epoch)
        missing = [who for who in pending if who.lookup not in found]
        vault = self._book.vault
        for start in range(0, len(missing), MAX_EVALUATED_AT_ONCE):
            part = missing[start : start + MAX_EVALUATED_AT_ONCE]
            identifiers = [vault.open_identifier(who.identifier, who.lookup) for who in part]
            try:
                found |= await self._tokens.tokens(identifiers, epoch, self._timeout)
            except (InvalidInput, VerificationError):
                raise
            except CounterfoilError as error:
                return found, error
        return found, None

    def _note_unpublishable(self, count: int) -> None:
        if count and count != self._unpublishable:
            log.error("records_not_made", count=count)
        self._unpublishable = count

    async def _send(self) -> bool:
        receipt = await self._publisher.send()
        if receipt is None:
            return False
        self._link.note(None)
        log.info("batch_published", sequence=receipt.sequence, record_count=receipt.record_count)
        return True
