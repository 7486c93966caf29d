"""Taking batches in: receipts, retries, evidence; a refusal leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from unit.gateway.conformance import contents, refused
from unit.gateway.house import House, token

from counterfoil import batch, limits, wire
from counterfoil.batch import SealedBatch
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import InstitutionKind
from counterfoil.timestamps import micros, seconds
from counterfoil_gateway.ingest import MAX_CONFLICTS_KEPT
from support.gateways import Lender


@pytest.fixture
async def lender(house: House) -> Lender:
    return await house.enrol("harbour", evaluator=True)


async def test_a_receipt_says_what_was_taken_when_and_where(house: House, lender: Lender) -> None:
    sealed = lender.seal((house.record(token(1)), house.record(token(2))))
    receipt = await house.publish(lender, *sealed.records)
    assert (receipt.network, receipt.gateway) == ("test", "gateway")
    assert (receipt.lender, receipt.sequence) == ("harbour", 1)
    assert (receipt.record_count, receipt.entry_index) == (2, 1)
    assert receipt.received_time_us == micros(house.clock())
    assert receipt.statement_hash == lender.previous
    stored = await house.store.batch("harbour", 1)
    assert stored is not None
    assert stored.received_us == receipt.received_time_us


async def test_a_batch_without_records_declares_freshness(house: House, lender: Lender) -> None:
    receipt = await house.publish(lender)
    assert receipt.record_count == 0
    head = await house.store.head("harbour")
    assert head is not None
    assert head.complete_as_of == lender.as_of


async def test_the_same_bytes_again_return_the_same_receipt(house: House, lender: Lender) -> None:
    sealed = lender.seal((house.record(token(1)),))
    first = await house.send(lender, sealed)
    lender.accepted(sealed)
    await house.publish(lender)
    before = await contents(house.store)
    house.clock.turn(hours=5)
    assert await house.send(lender, sealed) == first
    assert await contents(house.store) == before


async def test_the_same_bytes_twice_at_once_return_the_same_receipt(
    house: House, lender: Lender
) -> None:
    """A node whose first call hangs sends again; that is no conflict."""
    sealed = lender.seal((house.record(token(1)),))
    receipts = await asyncio.gather(*(house.send(lender, sealed) for _ in range(4)))
    assert receipts == [receipts[0]] * 4
    counts = await house.store.counts()
    assert (counts.batches, counts.conflicts) == (1, 0)


async def test_other_bytes_at_once_are_refused_with_evidence(house: House, lender: Lender) -> None:
    sealed = [lender.seal((house.record(token(n)),)) for n in range(3)]
    results = await asyncio.gather(
        *(house.send(lender, one) for one in sealed), return_exceptions=True
    )
    reasons = [result.reason for result in results if isinstance(result, CounterfoilError)]
    assert reasons == [Reason.SEQUENCE_CONFLICT] * 2
    assert len(await house.store.conflicts("harbour")) == 2


async def test_evidence_of_conflicts_is_whole_and_bounded(house: House, lender: Lender) -> None:
    await house.publish(lender, sequence=1)
    others = [
        lender.seal((house.record(token(n)),), sequence=1, previous_statement_hash=b"")
        for n in range(MAX_CONFLICTS_KEPT + 2)
    ]
    for other in others:
        assert await refused(house.send(lender, other)) is Reason.SEQUENCE_CONFLICT
    kept = await house.store.conflicts("harbour")
    assert {conflict.envelope for conflict in kept} == {
        wire.envelope_to_bytes(other.envelope) for other in others[:MAX_CONFLICTS_KEPT]
    }
    statement = batch.verify_statement(
        wire.envelope_from_bytes(kept[0].envelope), lender.key.public
    )
    assert statement.sequence == 1


async def test_the_last_receipt_is_told(house: House, lender: Lender) -> None:
    assert await house.ingest.last_receipt("harbour") is None
    await house.publish(lender)
    sealed = lender.seal()
    receipt = await house.send(lender, sealed)
    assert await house.ingest.last_receipt("harbour") == receipt
    assert await refused(house.ingest.last_receipt("nobody")) is Reason.LENDER_UNKNOWN


Spoil = Callable[[House, Lender], SealedBatch]

BAD: dict[str, tuple[Spoil, Reason]] = {
    "a gap": (
        lambda house, lender: lender.seal(sequence=3, previous_statement_hash=bytes(32)),
        Reason.SEQUENCE_GAP,
    ),
    "another predecessor": (
        lambda house, lender: lender.seal(previous_statement_hash=bytes(32)),
        Reason.PREVIOUS_HASH_MISMATCH,
    ),
    "an as-of before the last": (
        lambda house, lender: lender.seal(as_of=lender.as_of - 1, complete_as_of=None),
        Reason.AS_OF_BACKWARDS,
    ),
    "a complete-as-of before the last": (
        lambda house, lender: lender.seal(complete_as_of=lender.as_of - 1),
        Reason.AS_OF_BACKWARDS,
    ),
    "an as-of too far ahead": (
        lambda house, lender: lender.seal(
            as_of=seconds(house.clock()) + limits.MAX_CLOCK_SKEW_SECONDS + 1
        ),
        Reason.CLOCK_SKEW,
    ),
    "another network": (
        lambda house, lender: lender.seal(network="elsewhere"),
        Reason.NETWORK_MISMATCH,
    ),
    "another lender": (lambda house, lender: lender.seal(lender="lotus"), Reason.LENDER_MISMATCH),
    "another epoch": (
        lambda house, lender: lender.seal(token_epoch=2),
        Reason.TOKEN_EPOCH_MISMATCH,
    ),
    "a record of another epoch": (
        lambda house, lender: lender.seal((house.record(token(2), token_epoch=2),)),
        Reason.TOKEN_EPOCH_MISMATCH,
    ),
    "a record after the as-of": (
        lambda house, lender: lender.seal(
            (house.record(token(2), effective_time=lender.as_of + 1),)
        ),
        Reason.FIELD_INVALID,
    ),
    "a record of another kind of lender": (
        lambda house, lender: lender.seal(
            (house.record(token(2), institution_kind=InstitutionKind.ONLINE_LENDER),)
        ),
        Reason.FIELD_INVALID,
    ),
    "two records about one borrower": (
        lambda house, lender: lender.seal((house.record(token(2)),) * 2),
        Reason.BATCH_DUPLICATE_TOKEN,
    ),
    "a record that is none": (
        lambda house, lender: lender.seal((house.record(token(2)), b"nothing of the kind")),
        Reason.RECORD_VERSION_UNKNOWN,
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_refused_batch_has_no_effect(house: House, lender: Lender, case: str) -> None:
    await house.publish(lender, house.record(token(1)))
    before = await contents(house.store)
    spoil, reason = BAD[case]
    assert await refused(house.send(lender, spoil(house, lender))) is reason
    assert await contents(house.store) == before
    receipt = await house.publish(lender)
    assert receipt.sequence == 2


async def test_a_little_ahead_is_forgiven(house: House, lender: Lender) -> None:
    ahead = seconds(house.clock()) + limits.MAX_CLOCK_SKEW_SECONDS
    assert (await house.publish(lender, as_of=ahead)).sequence == 1


async def test_records_are_counted_before_anything_is_verified(
    house: House, lender: Lender
) -> None:
    many = (b"",) * (limits.MAX_BATCH_RECORDS + 1)
    late = house.ingest.publish("harbour", lender.seal().envelope, b"", many)
    assert await refused(late) is Reason.BATCH_TOO_LARGE


async def test_nothing_is_taken_before_there_is_an_evaluator(house: House) -> None:
    alone = await house.enrol("lotus")
    assert await refused(house.send(alone, alone.seal())) is Reason.TOKEN_EPOCH_MISMATCH


async def test_a_suspension_unseen_by_this_gateway_still_holds(
    house: House, lender: Lender
) -> None:
    """The registry is read every quarter of a second; the write judges by what is stored."""
    await house.membership.suspend("harbour", "test")
    assert house.membership.is_active("harbour")
    assert await refused(house.send(lender, lender.seal())) is Reason.LENDER_SUSPENDED
