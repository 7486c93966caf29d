"""Publishing: what changed in the book is sealed into batches, sent, and receipted.

One batch is on its way at a time, since each statement names the one before. A batch is durable
in the outbox before it is sent and is sent unchanged until there is a receipt, so that a crash on
either side, or a lost reply, has no effect twice. A batch leaves the outbox without a receipt only
when the gateway refused it *and* its signed state shows that it never took it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from counterfoil import dsse
from counterfoil.batch import RECEIPT_PAYLOAD_TYPE, BatchReceipt, seal
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason, VerificationError
from counterfoil.exposure_codec import encode
from counterfoil.keys import PrivateKey, PublicKey
from counterfoil.timestamps import micros

from .book import Book, Position
from .ports import PublishingGateway
from .store import outbox as store
from .store.borrowers import PendingBorrower
from .summarise import Subject, summarise
from .tokens import TokenEpoch

MAX_SEALED_RECORDS = 2_000
"""Records in one batch of this node."""

MAX_SEALED_BYTES = 12 * 1024 * 1024
"""Bytes of records in one batch, below what a message may hold."""

SUMMARISE_AT_ONCE = 100
"""Records made before other work gets its turn."""

TRANSIENT = frozenset(
    {
        Reason.GATEWAY_UNREACHABLE,
        Reason.OVERLOADED,
        Reason.SHUTTING_DOWN,
        Reason.DEADLINE_REQUIRED,
        Reason.STORE_FAILED,
        Reason.INTERNAL,
    }
)
"""Refusals that say nothing about the batch: it stays sealed and is sent again."""


@dataclass(frozen=True, slots=True)
class Party:
    """Who publishes, to whom."""

    network: str
    gateway: str
    lender: str
    answer_key: PublicKey
    """The gateway's, which signs receipts."""
    record_key: Callable[[], PrivateKey] = field(repr=False)


class Publisher:
    """Brings the gateway up to the book, step by step."""

    def __init__(
        self,
        book: Book,
        gateway: PublishingGateway,
        party: Party,
        now: Callable[[], datetime],
        timeout: float,
    ) -> None:
        self._book = book
        self._database = book.database
        self._gateway = gateway
        self._party = party
        self._now = now
        self._timeout = timeout
        self.unpublishable = 0
        """Borrowers whose record could not be made at the last sealing; they stay pending."""

    async def reconcile(self) -> None:
        """Compares the outbox with where the gateway says, signed, that it stands.

        Call it at start and after any doubt. Raises GATEWAY_UNREACHABLE, or SEQUENCE_GAP when the
        gateway knows less than it has receipted: it lost batches, and nothing more is sent.
        """
        envelope = await self._gateway.publishing_state(self._timeout)
        await self._take_state(envelope)

    async def _take_state(self, envelope: Envelope | None) -> None:
        head = await store.head(self._database)
        if envelope is None:
            if head.sequence:
                raise self._behind()
            return
        receipt = self._verified(envelope)
        if receipt.sequence < head.sequence:
            raise self._behind()
        if receipt.sequence == head.sequence and receipt.statement_hash == head.statement_hash:
            return
        waiting = await store.waiting(self._database, self._book.vault)
        async with self._database.write() as tx:
            if waiting is not None and (receipt.sequence, receipt.statement_hash) == (
                waiting.sequence,
                waiting.statement_hash,
            ):
                await store.accept(tx, waiting.sequence, envelope, micros(self._now()))
            else:
                await store.adopt(tx, receipt.sequence, receipt.statement_hash, envelope)

    async def send(self) -> BatchReceipt | None:
        """Sends the batch that waits, if one does; returns its receipt.

        A definite refusal unseals it, once the gateway's state shows that it was not taken, and is
        raised; so are transient ones, which leave it sealed.
        """
        waiting = await store.waiting(self._database, self._book.vault)
        if waiting is None:
            return None
        try:
            envelope = await self._gateway.publish(
                waiting.envelope, waiting.salts, waiting.records, self._timeout
            )
        except CounterfoilError as error:
            if error.reason in TRANSIENT or isinstance(error, VerificationError):
                raise
            await self._refused(waiting)
            raise
        receipt = self._verified(envelope)
        if (receipt.sequence, receipt.statement_hash, receipt.record_count) != (
            waiting.sequence,
            waiting.statement_hash,
            waiting.record_count,
        ):
            raise VerificationError(
                Reason.SEQUENCE_CONFLICT, "the receipt is for another batch", field="receipt"
            )
        async with self._database.write() as tx:
            await store.accept(tx, waiting.sequence, envelope, micros(self._now()))
        return receipt

    async def _refused(self, waiting: store.WaitingBatch) -> None:
        """Unseals a refused batch, unless the gateway took it after all at an earlier try."""
        await self.reconcile()
        still = await store.waiting(self._database, self._book.vault)
        if still is not None and still.sequence == waiting.sequence:
            async with self._database.write() as tx:
                await store.unseal(tx, waiting.sequence)

    async def seal_next(
        self,
        tokens: Mapping[bytes, bytes],
        epoch: TokenEpoch,
        only: Sequence[PendingBorrower] | None = None,
    ) -> bool:
        """Seals the next batch into the outbox; returns whether there was something to say.

        `tokens` are those at hand by look-up key; a borrower without one waits, and then the batch
        does not claim to be complete. `only`: the borrowers to choose from, when others wait that
        cannot be published now.
        """
        if await store.waiting(self._database, self._book.vault) is not None:
            return True
        position = await self._book.position()
        everyone = await self._book.pending(MAX_SEALED_RECORDS + 1)
        pending = everyone if only is None else only
        chosen = [who for who in pending[:MAX_SEALED_RECORDS] if who.lookup in tokens]
        # By token, so that the order of a batch says nothing of the order in the book.
        chosen.sort(key=lambda who: tokens[who.lookup])
        records, sent = await self._records(chosen, tokens, epoch, position)
        async with self._database.write() as tx:
            # Whatever another process changed since it was read is left for the next batch.
            row = await tx.row("SELECT change, as_of, complete_as_of FROM book")
            assert row is not None
            complete: int | None = None
            if row[0] != position.change:
                now_changed = await tx.rows(
                    "SELECT borrower_id FROM borrowers WHERE change > ?", (position.change,)
                )
                stale = {borrower_id for (borrower_id,) in now_changed}
                keep = [i for i, item in enumerate(sent) if item.borrower_id not in stale]
                records, sent = [records[i] for i in keep], [sent[i] for i in keep]
            elif len(sent) == len(everyone):
                complete = position.complete_as_of
            head = await tx.row("SELECT sequence, statement_hash, complete_as_of FROM publishing")
            assert head is not None
            if not records and (complete is None or complete <= (head[2] or 0)):
                return False
            sealed = seal(
                network=self._party.network,
                lender=self._party.lender,
                sequence=head[0] + 1,
                previous_statement_hash=head[1],
                token_epoch=epoch.number,
                as_of=position.as_of,
                complete_as_of=complete,
                records=records,
                key=self._party.record_key(),
                random_bytes=self._book.random_bytes,
            )
            await store.put_batch(tx, self._book.vault, sealed, sent, micros(self._now()))
        return True

    async def _records(
        self,
        chosen: Sequence[PendingBorrower],
        tokens: Mapping[bytes, bytes],
        epoch: TokenEpoch,
        position: Position,
    ) -> tuple[list[bytes], list[store.Sent]]:
        records: list[bytes] = []
        sent: list[store.Sent] = []
        size = 0
        self.unpublishable = 0
        kind = self._book.settings.institution_kind
        for start in range(0, len(chosen), SUMMARISE_AT_ONCE):
            part = chosen[start : start + SUMMARISE_AT_ONCE]
            holdings = await self._book.holdings([who.borrower_id for who in part])
            for who in part:
                subject = Subject(tokens[who.lookup], epoch.number, who.subject_kind, kind)
                try:
                    exposure = summarise(subject, holdings[who.borrower_id], position.as_of)
                except InvalidInput:
                    # One borrower past a limit of the record must not hold up all others.
                    self.unpublishable += 1
                    continue
                record = encode(exposure)
                size += len(record)
                if size > MAX_SEALED_BYTES:
                    return records, sent
                records.append(record)
                sent.append(store.Sent(who.borrower_id, who.change))
            await asyncio.sleep(0)
        return records, sent

    def _verified(self, envelope: Envelope) -> BatchReceipt:
        payload = dsse.verify(envelope, RECEIPT_PAYLOAD_TYPE, self._party.answer_key)
        try:
            receipt = BatchReceipt.decode(payload)
        except InvalidInput as error:
            raise VerificationError(error.reason, error.message, field="receipt") from None
        for name, expected in (
            ("network", self._party.network),
            ("gateway", self._party.gateway),
            ("lender", self._party.lender),
        ):
            if getattr(receipt, name) != expected:
                raise VerificationError(
                    Reason.NETWORK_MISMATCH,
                    "the receipt is another party's",
                    expected=expected,
                    actual=getattr(receipt, name),
                    field=name,
                )
        return receipt

    @staticmethod
    def _behind() -> CounterfoilError:
        return CounterfoilError(
            Reason.SEQUENCE_GAP,
            "the gateway knows fewer batches than it has receipted; nothing is published until its"
            " operator has restored them",
            field="sequence",
        )
