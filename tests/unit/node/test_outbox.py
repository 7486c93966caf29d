"""Publishing: one effect for each batch, whatever is lost, refused or killed in between."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from counterfoil import dsse
from counterfoil.batch import RECEIPT_PAYLOAD_TYPE, BatchReceipt
from counterfoil.errors import CounterfoilError, Reason, VerificationError
from counterfoil.keys import PrivateKey
from counterfoil_node import outbox
from counterfoil_node.store import outbox as store
from counterfoil_node.store.reports import Report, take_report
from support.houses import House
from support.memory_gateway import Fault


@pytest.fixture
async def house(tmp_path: Path):  # type: ignore[no-untyped-def]
    house = House(tmp_path)
    await house.begin()
    yield house
    await house.book.close()


async def head_sequence(house: House) -> int:
    return (await store.head(house.book.database)).sequence


async def test_changes_reach_the_gateway_with_a_receipt(house: House) -> None:
    await house.change(1)
    await house.change(2)
    await house.publish()
    house.check()
    (statement,) = house.gateway.statements
    assert statement.record_count == 2
    assert statement.complete_as_of == statement.as_of == house.clock
    receipt = await store.last_receipt(house.book.database)
    assert receipt == house.gateway.receipts[0]


async def test_an_empty_book_says_nothing(house: House) -> None:
    assert not await house.seal()


async def test_freshness_is_declared_even_when_nothing_changed(house: House) -> None:
    await house.change(1)
    await house.publish()
    async with house.book.database.write() as tx:
        report = Report("fresh", b"", (), house.clock + 60, 1)
        await take_report(tx, house.book.vault, report, os.urandom)
    await house.publish()
    last = house.gateway.statements[-1]
    assert (last.record_count, last.complete_as_of) == (0, house.clock + 60)
    assert not await house.seal()


async def test_completeness_is_not_claimed_while_a_token_is_missing(house: House) -> None:
    await house.change(1)
    await house.change(2)
    assert await house.seal(without=frozenset({2}))
    await house.publisher.send()
    assert house.gateway.statements[0].complete_as_of is None
    await house.publish()
    assert house.gateway.statements[1].complete_as_of == house.clock
    house.check()


async def test_completeness_comes_with_the_last_batch_of_many(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_SEALED_RECORDS", 2)
    for number in range(1, 6):
        await house.change(number)
    await house.publish()
    claims = [s.complete_as_of for s in house.gateway.statements]
    assert claims == [None, None, house.clock]
    house.check()


async def test_a_batch_stays_below_the_size_of_a_message(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_SEALED_BYTES", 300)
    for number in range(1, 6):
        await house.change(number)
    await house.publish()
    assert len(house.gateway.statements) > 1
    house.check()


async def test_a_borrower_changed_while_its_record_is_on_its_way_is_published_again(
    house: House,
) -> None:
    await house.change(1)
    await house.seal()
    await house.change(1)
    assert await house.publisher.send() is not None
    assert house.gateway.view[house.token(1)].facilities[0].outstanding_minor == 1
    await house.publish()
    house.check()


async def test_a_change_between_reading_and_sealing_is_left_for_the_next_batch(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.change(1)
    await house.change(2)
    read = house.book.holdings

    async def raced(borrower_ids):  # type: ignore[no-untyped-def]
        found = await read(borrower_ids)
        monkeypatch.undo()
        await house.change(1)
        return found

    monkeypatch.setattr(house.book, "holdings", raced)
    await house.seal()
    await house.publisher.send()
    (statement,) = house.gateway.statements
    assert (statement.record_count, statement.complete_as_of) == (1, None)
    await house.publish()
    house.check()


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_a_lost_call_is_repeated_unchanged(house: House, fault: Fault) -> None:
    await house.change(1)
    await house.seal()
    house.gateway.faults = [fault]
    with pytest.raises(CounterfoilError):
        await house.publisher.send()
    waiting = await store.waiting(house.book.database, house.book.vault)
    assert waiting is not None
    await house.publisher.send()
    assert house.gateway.payloads == [waiting.envelope.payload]
    house.check()


@pytest.mark.parametrize("fault", [Fault.BEFORE, Fault.AFTER])
async def test_a_crash_after_a_lost_call_has_no_second_effect(house: House, fault: Fault) -> None:
    await house.change(1)
    await house.seal()
    house.gateway.faults = [fault]
    with pytest.raises(CounterfoilError):
        await house.publisher.send()
    await house.crash()
    await house.publish()
    assert len(house.gateway.statements) == 1
    assert await head_sequence(house) == 1
    house.check()


async def test_a_crash_between_sealing_and_sending_sends_what_was_sealed(house: House) -> None:
    await house.change(1)
    await house.seal()
    await house.crash()
    await house.change(2)
    await house.publish()
    assert [s.record_count for s in house.gateway.statements] == [1, 1]
    house.check()


async def test_a_refused_batch_consumes_no_number(house: House) -> None:
    await house.change(1)
    await house.seal()
    house.gateway.faults = [Fault.REFUSED]
    with pytest.raises(CounterfoilError) as refused:
        await house.publisher.send()
    assert refused.value.reason is Reason.CLOCK_SKEW
    assert (await house.book.counts()).outbox_batches == 0
    assert (await house.book.counts()).pending_borrowers == 1
    await house.publish()
    house.check()


async def test_a_refusal_after_it_was_taken_does_not_unseal(house: House) -> None:
    await house.change(1)
    await house.seal()
    house.gateway.faults = [Fault.REFUSED_AFTER]
    with pytest.raises(CounterfoilError):
        await house.publisher.send()
    assert await head_sequence(house) == 1
    assert (await house.book.counts()).pending_borrowers == 0
    house.check()


async def test_a_refusal_leaves_the_batch_sealed_while_the_state_is_unknown(house: House) -> None:
    await house.change(1)
    await house.seal()

    async def unknown(timeout: float) -> None:
        raise CounterfoilError(Reason.LENDER_SUSPENDED, "not even that")

    house.gateway.publishing_state = unknown  # type: ignore[method-assign]
    house.gateway.faults = [Fault.REFUSED]
    with pytest.raises(CounterfoilError):
        await house.publisher.send()
    assert (await house.book.counts()).outbox_batches == 1


@pytest.mark.parametrize("reason", sorted(outbox.TRANSIENT))
async def test_transient_refusals_leave_the_batch_sealed(house: House, reason: Reason) -> None:
    await house.change(1)
    await house.seal()
    house.gateway.faults, house.gateway.refusal = [Fault.REFUSED], reason
    with pytest.raises(CounterfoilError):
        await house.publisher.send()
    assert (await house.book.counts()).outbox_batches == 1


async def test_a_restored_book_goes_on_from_the_gateways_state(
    house: House, tmp_path: Path
) -> None:
    await house.change(1)
    await house.change(2)
    await house.publish()
    await house.book.database.rows("SELECT 1")
    async with house.book.database.write() as tx:
        # What a backup from before the first batch knows.
        await tx.run("DELETE FROM batches")
        await tx.run(
            "UPDATE publishing SET sequence = 0, statement_hash = x'', receipt = NULL,"
            " as_of = NULL, complete_as_of = NULL"
        )
    await house.crash()
    assert await head_sequence(house) == 1
    assert (await house.book.counts()).pending_borrowers == 2
    await house.publish()
    assert len(house.gateway.statements) == 2
    house.check()


async def test_a_copy_of_the_folder_that_published_elsewhere_is_noticed(house: House) -> None:
    await house.change(1)
    await house.seal()
    waiting = await store.waiting(house.book.database, house.book.vault)
    assert waiting is not None
    # Another copy of this folder was faster with number 1.
    async with house.book.database.write() as tx:
        await store.unseal(tx, 1)
    await house.seal()
    await house.publisher.send()
    async with house.book.database.write() as tx:
        await tx.run("UPDATE publishing SET sequence = 0, statement_hash = x'', receipt = NULL")
        await tx.run("UPDATE batches SET receipt = NULL, statement_hash = ?", (b"x" * 32,))
    await house.publisher.reconcile()
    assert await head_sequence(house) == 1
    assert (await house.book.counts()).outbox_batches == 0
    await house.publish()
    house.check()


async def test_a_gateway_that_lost_batches_is_sent_nothing(house: House) -> None:
    await house.change(1)
    await house.publish()
    house.gateway.receipts.clear()
    with pytest.raises(CounterfoilError) as refused:
        await house.publisher.reconcile()
    assert refused.value.reason is Reason.SEQUENCE_GAP


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "other"},
        {"gateway": "other"},
        {"lender": "lotus"},
        {"sequence": 2},
        {"statement_hash": bytes(32)},
        {"record_count": 9},
    ],
)
async def test_a_receipt_for_something_else_is_not_taken(
    house: House, changes: dict[str, object]
) -> None:
    await house.change(1)
    await house.seal()
    honest = house.gateway._accept

    def lying(*arguments):  # type: ignore[no-untyped-def]
        receipt = BatchReceipt.decode(honest(*arguments).payload)
        fields = {name: getattr(receipt, name) for name in BatchReceipt.__slots__} | changes
        forged = BatchReceipt(**fields)
        return dsse.sign(RECEIPT_PAYLOAD_TYPE, forged.encode(), house.gateway.answer_key)

    house.gateway._accept = lying  # type: ignore[method-assign]
    with pytest.raises(VerificationError):
        await house.publisher.send()
    assert (await house.book.counts()).outbox_batches == 1


async def test_a_receipt_under_another_key_is_not_taken(house: House) -> None:
    await house.change(1)
    await house.seal()
    house.gateway.answer_key = PrivateKey.generate()
    with pytest.raises(VerificationError):
        await house.publisher.send()


@pytest.mark.parametrize("seed", range(8))
async def test_any_course_of_losses_and_crashes_ends_right(
    house: House, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = random.Random(seed)
    monkeypatch.setattr(outbox, "MAX_SEALED_RECORDS", 3)
    for _ in range(40):
        action = source.random()
        try:
            if action < 0.4:
                await house.change(source.randint(1, 9), complete=source.random() < 0.5)
            elif action < 0.6:
                await house.seal()
            elif action < 0.85:
                house.gateway.faults = [source.choice(list(Fault))]
                await house.publisher.send()
            else:
                await house.crash()
        except CounterfoilError as error:
            if error.reason not in (Reason.GATEWAY_UNREACHABLE, Reason.CLOCK_SKEW):
                raise
    house.gateway.faults = []
    await house.crash()
    await house.publish()
    house.check()
    claims = [s.complete_as_of for s in house.gateway.statements if s.complete_as_of]
    assert claims == sorted(claims)
