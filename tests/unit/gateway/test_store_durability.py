"""What every store promises about durability: what was acknowledged stays, a failure is final."""

from __future__ import annotations

import asyncio

from unit.gateway.conformance import (
    CREATED_US,
    IDENTITY,
    Backend,
    admission,
    answered,
    conflict,
    contents,
    enrol,
    enrolment,
    logged_policy,
    new_batch,
    record,
    refused,
    rotation,
    seal,
    settled,
)

from counterfoil.errors import Reason
from counterfoil.membership import MemberState
from counterfoil_gateway.store import values as v
from counterfoil_gateway.store.base import Store


async def test_many_writes_at_once_are_all_durable(backend: Backend) -> None:
    store = await backend.open()
    lenders = [f"lender{number}" for number in range(12)]
    await enrol(store, *lenders)
    await asyncio.gather(
        *(store.accept_batch(new_batch(name, 1, (record(1),)), seal) for name in lenders),
        *(store.record_inquiry(answered(name, n)) for name in lenders for n in range(20)),
    )
    await store.close()
    again = await backend.open()
    try:
        counts = await again.counts()
        assert (counts.batches, counts.records, counts.inquiries) == (12, 12, 240)
        entries = await again.entries(0, 1_000)
        assert [entry.index for entry in entries] == list(range(24))
        receipts = [await again.batch(name, 1) for name in lenders]
        assert {stored.receipt for stored in receipts if stored} == {
            f"receipt for entry {index}".encode() for index in range(12, 24)
        }
    finally:
        await again.close()


async def test_refusals_among_writes_at_once_do_not_harm_the_others(store: Store) -> None:
    await enrol(store, "harbour", "lotus")
    results = await settled(
        store.accept_batch(new_batch("harbour", 1), seal),
        store.accept_batch(new_batch("harbour", 9), seal),
        store.record_inquiry(answered("lotus", 1)),
        store.record_inquiry(answered("lotus", 1)),
        store.enrol(enrolment("harbour")),
        store.accept_batch(new_batch("lotus", 1), seal),
    )
    reasons = [getattr(result, "reason", None) for result in results]
    assert reasons == [
        None,
        Reason.SEQUENCE_GAP,
        None,
        Reason.INQUIRY_REPLAYED,
        Reason.ENROLMENT_TOKEN_INVALID,
        None,
    ]
    assert await store.counts() == v.Counts(4, 2, 0, 1, 0)


async def test_everything_is_there_after_it_was_closed(backend: Backend) -> None:
    store = await backend.open()
    await enrol(store, "harbour", "lotus")
    await store.log_policy(logged_policy())
    await store.accept_batch(new_batch("harbour", 1, (record(1), record(2))), seal)
    await store.rotate(rotation("lotus"))
    await store.record_inquiry(answered("lotus", 1))
    await store.keep_conflict(conflict("harbour", 1, 1), 3)
    await store.set_state("lotus", MemberState.SUSPENDED, "test", CREATED_US)
    before = await contents(store)
    await store.close()
    again = await backend.open()
    try:
        assert await contents(again) == before
        assert await again.identity() == IDENTITY
    finally:
        await again.close()


async def test_a_closed_store_takes_nothing_more(backend: Backend) -> None:
    store = await backend.open()
    await enrol(store, "harbour")
    under_way = asyncio.create_task(store.accept_batch(new_batch("harbour", 1), seal))
    await asyncio.sleep(0)
    await store.close()
    assert (await under_way).entry_index == 1
    late = store.accept_batch(new_batch("harbour", 2), seal)
    assert await refused(late) is Reason.SHUTTING_DOWN


async def test_a_failed_commit_is_the_end(backend: Backend) -> None:
    failures: list[BaseException] = []
    store = await backend.open(failures.append)
    await enrol(store, "harbour", "lotus")
    before = await contents(store)
    backend.break_commits()
    results = await settled(
        store.record_inquiry(answered("lotus", 1)),
        store.accept_batch(new_batch("harbour", 1, (record(1),)), seal),
    )
    assert [getattr(result, "reason", None) for result in results] == [Reason.STORE_FAILED] * 2
    assert len(failures) == 1
    for late in (
        store.record_inquiry(answered("lotus", 2)),
        store.head("harbour"),
        store.check_writable(),
    ):
        assert await refused(late) is Reason.STORE_FAILED
    assert len(failures) == 1
    await store.close()
    backend.mend_commits()
    again = await backend.open()
    try:
        assert await contents(again) == before
    finally:
        await again.close()


async def test_the_mark_changes_when_anyone_wrote(store: Store, backend: Backend) -> None:
    mark = await store.change_mark()
    assert await store.change_mark() == mark
    await store.admit(admission("harbour"))
    own = await store.change_mark()
    assert own != mark
    other = await backend.open()
    try:
        assert await store.change_mark() == own
        await other.admit(admission("lotus"))
    finally:
        await other.close()
    assert await store.change_mark() != own
    assert set((await store.registry()).members) == {"harbour", "lotus"}
