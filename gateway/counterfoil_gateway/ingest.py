"""Taking batches in: every check, cheapest first, then one durable transaction.

A refused batch has no effect and consumes no number. The same bytes again return the same
receipt. Other bytes under an accepted number are refused and kept as evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from counterfoil import batch, dsse, exposure_codec, limits, wire
from counterfoil.batch import BatchReceipt, BatchStatement
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.exposure import InstitutionKind
from counterfoil.keys import PrivateKey
from counterfoil.timestamps import micros, seconds

from .membership import Membership
from .store import values as v
from .store.base import Store

MAX_CONFLICTS_KEPT = 16
"""Statements kept as evidence for one number: more prove nothing more."""

RECORDS_AT_A_TIME = 100
"""Records decoded before other calls get their turn: about 5 ms of work."""


class Ingest:
    """Accepts or refuses batches."""

    def __init__(
        self,
        *,
        identity: v.Identity,
        store: Store,
        membership: Membership,
        answer_key: PrivateKey,
        now: Callable[[], datetime],
    ) -> None:
        self._identity = identity
        self._store = store
        self._membership = membership
        self._answer_key = answer_key
        self._now = now

    async def publish(
        self, peer: str, envelope: Envelope, salts: bytes, records: Sequence[bytes]
    ) -> Envelope:
        """Accepts a batch of the lender `peer` and returns the signed receipt."""
        if len(records) > limits.MAX_BATCH_RECORDS:
            raise InvalidInput(
                Reason.BATCH_TOO_LARGE,
                f"a batch has at most {limits.MAX_BATCH_RECORDS} records",
                field="records",
            )
        member = self._membership.active(peer)
        key = self._membership.record_key(peer)
        statement = batch.verify_statement(envelope, key)
        self._check_binding(peer, statement)
        statement_hash = batch.statement_hash(envelope.payload)
        head = await self._store.head(peer)
        if head is not None and statement.sequence <= head.sequence:
            return await self._again(statement, statement_hash, envelope)
        self._check_follows(head, statement)
        leaves = batch.check_openings(statement, salts, records)
        new = v.NewBatch(
            lender=peer,
            record_key=key.raw,
            envelope=wire.envelope_to_bytes(envelope),
            statement=statement,
            statement_hash=statement_hash,
            salts=salts,
            records=await _checked(statement, member.institution_kind, leaves, records),
        )
        try:
            stored = await self._store.accept_batch(
                new, lambda index: self._receipt(statement, statement_hash, index)
            )
        except CounterfoilError as error:
            if error.reason is not Reason.SEQUENCE_CONFLICT:
                raise
            # The number was taken while this call was checked, maybe by these very bytes.
            return await self._again(statement, statement_hash, envelope)
        return wire.envelope_from_bytes(stored.receipt)

    async def last_receipt(self, peer: str) -> Envelope | None:
        """The signed receipt of the last batch accepted from `peer`."""
        self._membership.active(peer)
        head = await self._store.head(peer)
        if head is None:
            return None
        stored = await self._store.batch(peer, head.sequence)
        return None if stored is None else wire.envelope_from_bytes(stored.receipt)

    def _check_binding(self, peer: str, statement: BatchStatement) -> None:
        self._membership.check_binding(
            peer,
            network=statement.network,
            lender=statement.lender,
            token_epoch=statement.token_epoch,
        )
        if statement.as_of > seconds(self._now()) + limits.MAX_CLOCK_SKEW_SECONDS:
            raise InvalidInput(
                Reason.CLOCK_SKEW,
                f"more than {limits.MAX_CLOCK_SKEW_SECONDS} seconds ahead of the gateway",
                field="as_of_time",
            )

    def _check_follows(self, head: v.Head | None, statement: BatchStatement) -> None:
        expected = 1 if head is None else head.sequence + 1
        if statement.sequence != expected:
            raise CounterfoilError(
                Reason.SEQUENCE_GAP, f"the next sequence number is {expected}", field="sequence"
            )
        if head is None:
            return
        if statement.previous_statement_hash != head.statement_hash:
            raise CounterfoilError(
                Reason.PREVIOUS_HASH_MISMATCH,
                "the statement does not name the one before it",
                field="previous_statement_hash",
            )
        if statement.as_of < head.as_of:
            raise CounterfoilError(
                Reason.AS_OF_BACKWARDS, "an as-of never goes back", field="as_of_time"
            )
        if (
            statement.complete_as_of is not None
            and head.complete_as_of is not None
            and statement.complete_as_of < head.complete_as_of
        ):
            raise CounterfoilError(
                Reason.AS_OF_BACKWARDS,
                "a complete-as-of never goes back",
                field="complete_as_of_time",
            )

    async def _again(
        self, statement: BatchStatement, statement_hash: bytes, envelope: Envelope
    ) -> Envelope:
        """What an accepted number is answered with: its receipt, or a refusal with evidence."""
        stored = await self._store.batch(statement.lender, statement.sequence)
        if stored is not None and stored.statement_hash == statement_hash:
            return wire.envelope_from_bytes(stored.receipt)
        await self._store.keep_conflict(
            v.Conflict(
                lender=statement.lender,
                sequence=statement.sequence,
                statement_hash=statement_hash,
                envelope=wire.envelope_to_bytes(envelope),
                received_us=micros(self._now()),
            ),
            MAX_CONFLICTS_KEPT,
        )
        raise CounterfoilError(
            Reason.SEQUENCE_CONFLICT,
            "another statement was accepted under this number",
            field="sequence",
        )

    def _receipt(self, statement: BatchStatement, statement_hash: bytes, index: int) -> v.Receipt:
        received_us = micros(self._now())
        receipt = BatchReceipt(
            network=self._identity.network,
            gateway=self._identity.gateway,
            lender=statement.lender,
            sequence=statement.sequence,
            statement_hash=statement_hash,
            record_count=statement.record_count,
            received_time_us=received_us,
            entry_index=index,
        )
        envelope = dsse.sign(batch.RECEIPT_PAYLOAD_TYPE, receipt.encode(), self._answer_key)
        return v.Receipt(wire.envelope_to_bytes(envelope), received_us)


async def _checked(
    statement: BatchStatement,
    kind: InstitutionKind,
    leaves: Sequence[bytes],
    records: Sequence[bytes],
) -> tuple[v.NewRecord, ...]:
    """Decodes every record and checks it against its statement and lender."""
    checked: list[v.NewRecord] = []
    tokens: set[bytes] = set()
    for place, (leaf, record) in enumerate(zip(leaves, records, strict=True)):
        if place % RECORDS_AT_A_TIME == RECORDS_AT_A_TIME - 1:
            await asyncio.sleep(0)
        exposure = exposure_codec.decode(record)
        if exposure.token_epoch != statement.token_epoch:
            raise InvalidInput(
                Reason.TOKEN_EPOCH_MISMATCH, "not the statement's epoch", field="token_epoch"
            )
        if exposure.effective_time > statement.as_of:
            raise InvalidInput(
                Reason.FIELD_INVALID, "later than the batch's as-of", field="effective_time"
            )
        if exposure.institution_kind is not kind:
            raise InvalidInput(
                Reason.FIELD_INVALID, "not what the lender is", field="institution_kind"
            )
        if exposure.token in tokens:
            raise InvalidInput(
                Reason.BATCH_DUPLICATE_TOKEN, "two records about one borrower", field="token"
            )
        tokens.add(exposure.token)
        checked.append(v.NewRecord(exposure.token, leaf, exposure.effective_time, record))
    return tuple(checked)
