"""What every store promises (`store.base`): order, durability, all or nothing; batches, views."""

from __future__ import annotations

import asyncio

import pytest
from unit.gateway.conformance import (
    AS_OF,
    CREATED_US,
    IDENTITY,
    Backend,
    admission,
    answered,
    conflict,
    contents,
    digest,
    enrol,
    logged_policy,
    new_batch,
    record,
    refused,
    rotation,
    seal,
    settled,
    token,
)

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.membership import MemberState
from counterfoil_gateway.store import values as v
from counterfoil_gateway.store.base import Store


async def test_a_new_store_knows_whose_it_is_and_nothing_else(store: Store) -> None:
    assert await store.identity() == IDENTITY
    assert await store.counts() == v.Counts(0, 0, 0, 0, 0)
    assert await store.entries(0, 10) == ()
    assert await store.registry() == v.Registry({}, None)
    assert await store.view(token(1), 0) == v.TokenView(0, (), (), ())
    await store.check_writable()


# --- entries and batches ---------------------------------------------------------------------


async def test_entries_of_all_kinds_are_contiguous_from_zero(store: Store) -> None:
    await enrol(store, "harbour", "lotus")
    assert await store.log_policy(logged_policy())
    await store.accept_batch(new_batch("harbour", 1), seal)
    await store.rotate(rotation("lotus"))
    await store.accept_batch(new_batch("lotus", 1, key=2), seal)
    entries = await store.entries(0, 100)
    assert [entry.index for entry in entries] == list(range(6))
    assert [entry.kind.value for entry in entries] == (
        "enrolment enrolment policy batch rotation batch".split()
    )
    assert entries[3] == v.Entry(
        3, v.EntryKind.BATCH, new_batch("harbour", 1).envelope, CREATED_US + 103
    )
    assert await store.entries(2, 3) == entries[2:5]
    assert await store.entries(6, 10) == ()


async def test_an_accepted_batch_comes_back_as_it_went_in(store: Store) -> None:
    await enrol(store, "harbour")
    records = (record(1, b"first"), record(2, b""), record(3, b"third" * 1_000))
    new = new_batch("harbour", 1, records)
    stored = await store.accept_batch(new, seal)
    assert stored == v.StoredBatch(
        lender="harbour",
        sequence=1,
        entry_index=1,
        statement_hash=new.statement_hash,
        envelope=new.envelope,
        receipt=b"receipt for entry 1",
        record_count=3,
        received_us=CREATED_US + 101,
    )
    assert await store.batch("harbour", 1) == stored
    assert await store.openings("harbour", 1) == v.Openings(
        new.salts, tuple(item.record for item in records)
    )
    assert await store.head("harbour") == v.Head(1, new.statement_hash, AS_OF + 1, AS_OF + 1)


async def test_what_is_not_there_is_none(store: Store) -> None:
    await enrol(store, "harbour")
    await store.accept_batch(new_batch("harbour", 1), seal)
    assert await store.head("nobody") is None
    assert await store.batch("harbour", 2) is None
    assert await store.openings("harbour", 2) is None
    assert await store.answered(digest("unknown")) is None
    assert await store.invitation(digest("unknown")) is None
    assert await store.conflicts("nobody") == ()


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("a gap", Reason.SEQUENCE_GAP),
        ("a taken number", Reason.SEQUENCE_CONFLICT),
        ("another predecessor", Reason.PREVIOUS_HASH_MISMATCH),
        ("a stranger", Reason.LENDER_UNKNOWN),
        ("not yet enrolled", Reason.LENDER_UNKNOWN),
        ("a suspended member", Reason.LENDER_SUSPENDED),
        ("a key not in force", Reason.SIGNATURE_INVALID),
    ],
)
async def test_a_refused_batch_has_no_effect(store: Store, case: str, reason: Reason) -> None:
    await enrol(store, "harbour", "pine")
    await store.accept_batch(new_batch("harbour", 1, (record(1),)), seal)
    await store.accept_batch(new_batch("harbour", 2), seal)
    await store.accept_batch(new_batch("pine", 1), seal)
    await store.set_state("pine", MemberState.SUSPENDED, "test", CREATED_US)
    await store.admit(admission("invited"))
    before = await contents(store)
    changed = (record(1, b"changed"), record(2))
    batches = {
        "a gap": new_batch("harbour", 4, changed),
        "a taken number": new_batch("harbour", 1, changed, variant="other"),
        "another predecessor": new_batch("harbour", 3, changed, after=1),
        "a stranger": new_batch("stranger", 1, changed),
        "not yet enrolled": new_batch("invited", 1, changed),
        "a suspended member": new_batch("pine", 2, changed),
        "a key not in force": new_batch("harbour", 3, changed, key=2),
    }
    assert await refused(store.accept_batch(batches[case], seal)) is reason
    assert await contents(store) == before


async def test_a_receipt_that_cannot_be_made_leaves_nothing(store: Store) -> None:
    await enrol(store, "harbour")
    before = await contents(store)

    def refuse(index: int) -> v.Receipt:
        raise CounterfoilError(Reason.INTERNAL, "no receipt")

    batch = new_batch("harbour", 1, (record(1),))
    assert await refused(store.accept_batch(batch, refuse)) is Reason.INTERNAL
    assert await contents(store) == before
    assert (await store.accept_batch(batch, seal)).entry_index == 1


async def test_one_batch_of_two_at_once_takes_the_number(store: Store) -> None:
    await enrol(store, "harbour")
    results = await settled(
        *(store.accept_batch(new_batch("harbour", 1, variant=name), seal) for name in "abcd")
    )
    taken = [result for result in results if isinstance(result, v.StoredBatch)]
    refusals = [result.reason for result in results if isinstance(result, CounterfoilError)]
    assert len(taken) == 1
    assert refusals == [Reason.SEQUENCE_CONFLICT] * 3
    assert await store.batch("harbour", 1) == taken[0]


async def test_a_key_replaced_while_a_batch_was_verified_is_refused(store: Store) -> None:
    """Rotation and batch wait together: the batch is judged by what the rotation left."""
    await enrol(store, "harbour")
    _, late = await settled(
        store.rotate(rotation("harbour")), store.accept_batch(new_batch("harbour", 1), seal)
    )
    assert isinstance(late, CounterfoilError)
    assert late.reason is Reason.SIGNATURE_INVALID


async def test_freshness_once_declared_outlives_a_batch_that_declares_none(store: Store) -> None:
    await enrol(store, "harbour")
    await store.accept_batch(new_batch("harbour", 1, complete=False), seal)
    head = await store.head("harbour")
    assert head is not None
    assert head.complete_as_of is None
    await store.accept_batch(new_batch("harbour", 2), seal)
    await store.accept_batch(new_batch("harbour", 3, complete=False), seal)
    head = await store.head("harbour")
    assert head is not None
    assert (head.as_of, head.complete_as_of) == (AS_OF + 3, AS_OF + 2)


# --- evidence ----------------------------------------------------------------------------------


async def test_evidence_is_kept_once_and_up_to_a_cap(store: Store) -> None:
    await enrol(store, "harbour", "lotus")
    assert await store.keep_conflict(conflict("harbour", 1, 1), 2)
    assert not await store.keep_conflict(conflict("harbour", 1, 1), 2)
    assert await store.keep_conflict(conflict("harbour", 1, 2), 2)
    assert not await store.keep_conflict(conflict("harbour", 1, 3), 2)
    assert await store.keep_conflict(conflict("harbour", 2, 4), 2)
    assert await store.conflicts("harbour") == (
        conflict("harbour", 1, 1),
        conflict("harbour", 1, 2),
        conflict("harbour", 2, 4),
    )
    assert await store.conflicts("lotus") == ()
    assert (await store.counts()).conflicts == 3
    assert await refused(store.keep_conflict(conflict("nobody", 1, 1), 2)) is Reason.LENDER_UNKNOWN


# --- one token's view --------------------------------------------------------------------------


async def test_a_lenders_newest_record_replaces_its_older_ones(store: Store) -> None:
    await enrol(store, "harbour", "lotus")
    await store.accept_batch(new_batch("lotus", 1, (record(1, b"lotus"),)), seal)
    await store.accept_batch(new_batch("harbour", 1, (record(2), record(1, b"old"))), seal)
    await store.accept_batch(
        new_batch("harbour", 2, (record(3), record(2), record(1, b"new"))), seal
    )
    view = await store.view(token(1), 0)
    assert view.records == (
        v.CurrentRecord("harbour", 2, 2, record(1, b"new").leaf, b"new"),
        v.CurrentRecord("lotus", 1, 0, record(1, b"lotus").leaf, b"lotus"),
    )
    assert (await store.counts()).records == 4
    old = await store.openings("harbour", 1)
    assert old is not None
    assert old.records == (b"record", b"old")


async def test_a_view_counts_the_entries_and_tells_every_enrolled_member(store: Store) -> None:
    await enrol(store, "harbour", "lotus", "pine")
    await store.admit(admission("invited"))
    await store.accept_batch(new_batch("harbour", 1), seal)
    await store.accept_batch(new_batch("pine", 1, complete=False), seal)
    await store.set_state("lotus", MemberState.SUSPENDED, "test", CREATED_US + 7)
    view = await store.view(token(1), 0)
    assert view.tree_size == 5
    assert view.standings == (
        v.MemberStanding("harbour", MemberState.ACTIVE, None, AS_OF + 1, AS_OF + 1),
        v.MemberStanding("lotus", MemberState.SUSPENDED, CREATED_US + 7, None, None),
        v.MemberStanding("pine", MemberState.ACTIVE, None, AS_OF + 1, None),
    )


async def test_a_view_has_the_credit_seeking_inquiries_since_a_time(store: Store) -> None:
    await enrol(store, "harbour", "lotus")
    kept = [
        answered("harbour", 30),
        answered("lotus", 10),
        answered("harbour", 20),
        answered("lotus", 40, credit_seeking=False),
        answered("lotus", 50, about=2),
    ]
    for inquiry in kept:
        await store.record_inquiry(inquiry)
    everything = await store.view(token(1), 0)
    assert everything.inquiries == tuple(
        v.EarlierInquiry(inquiry.lender, inquiry.application_reference, inquiry.asked_us)
        for inquiry in (kept[1], kept[2], kept[0])
    )
    recent = await store.view(token(1), CREATED_US + 20)
    assert recent.inquiries == everything.inquiries[1:]


async def test_a_view_is_one_moment(store: Store) -> None:
    """No view may see a batch's entry without its record, or the other way round."""
    await enrol(store, "harbour")

    async def publish() -> None:
        for sequence in range(1, 30):
            await store.accept_batch(new_batch("harbour", sequence, (record(1),)), seal)

    publishing = asyncio.create_task(publish())
    while not publishing.done():
        view = await store.view(token(1), 0)
        assert sum(item.sequence for item in view.records) == view.tree_size - 1
    await publishing


async def test_a_read_sees_what_was_acknowledged_before_it(store: Store, backend: Backend) -> None:
    other = await backend.open()
    try:
        await enrol(store, "harbour")
        for sequence in range(1, 10):
            await store.accept_batch(new_batch("harbour", sequence), seal)
            for reader in (store, other):
                head = await reader.head("harbour")
                assert head is not None
                assert head.sequence == sequence
    finally:
        await other.close()


# --- inquiries ---------------------------------------------------------------------------------


async def test_an_answered_inquiry_comes_back_as_it_went_in(store: Store) -> None:
    await enrol(store, "harbour")
    for inquiry in (answered("harbour", 1), answered("harbour", 2, credit_seeking=False)):
        await store.record_inquiry(inquiry)
        assert await store.answered(inquiry.inquiry_hash) == inquiry
    assert (await store.counts()).inquiries == 2


async def test_an_inquiry_and_a_nonce_count_once(store: Store) -> None:
    await enrol(store, "harbour", "lotus")
    first = answered("harbour", 1)
    await store.record_inquiry(first)
    same_hash = answered("harbour", 2, inquiry_hash=first.inquiry_hash)
    same_nonce = answered("harbour", 3, nonce=first.nonce)
    before = await contents(store)
    for replay in (first, same_hash, same_nonce):
        assert await refused(store.record_inquiry(replay)) is Reason.INQUIRY_REPLAYED
    assert await contents(store) == before
    assert await store.answered(first.inquiry_hash) == first
    await store.record_inquiry(answered("lotus", 4, nonce=first.nonce))


async def test_who_may_not_ask_is_judged_inside_the_write(store: Store) -> None:
    await enrol(store, "harbour")
    await store.admit(admission("invited"))
    before = (await store.counts()).inquiries
    _, late = await settled(
        store.set_state("harbour", MemberState.SUSPENDED, "test", CREATED_US),
        store.record_inquiry(answered("harbour", 1)),
    )
    assert isinstance(late, CounterfoilError)
    assert late.reason is Reason.LENDER_SUSPENDED
    for stranger in ("invited", "nobody"):
        reason = await refused(store.record_inquiry(answered(stranger, 2)))
        assert reason is Reason.LENDER_UNKNOWN
    assert (await store.counts()).inquiries == before
