"""Answers: what they reflect, what they are bound to, whose records they rest on."""

from __future__ import annotations

import asyncio

import pytest

from counterfoil import answer
from counterfoil.answer import Answer, AnswerStatus, RecordUsed
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import EventKind, Exposure
from counterfoil.inquiry import Purpose, inquiry_hash
from counterfoil.keys import PrivateKey
from counterfoil.membership import MemberState
from counterfoil.timestamps import micros
from counterfoil_gateway.store.base import Store
from support.exposures import plain_event, plain_exposure, plain_facility
from support.gateway_parts import Parts
from support.stores import START, Furnisher

TOKEN = b"\x01" * 32
AS_OF = int(START.timestamp()) - 60


def exposure(**changes: object) -> Exposure:
    return plain_exposure(**({"effective_time": AS_OF, "events": ()} | changes))


@pytest.fixture
def parts(store: Store, answer_key: PrivateKey) -> Parts:
    return Parts(store, answer_key)


@pytest.fixture
async def lenders(parts: Parts) -> list[Furnisher]:
    """Three lenders; each has published what it has: nothing yet."""
    found = [Furnisher(name) for name in ("harbour", "lotus", "quarry")]
    for place, furnisher in enumerate(found):
        await furnisher.join(parts.store, evaluator_key=None if place else b"\x0e" * 32)
        await furnisher.publish(parts.store, as_of=AS_OF, complete_as_of=AS_OF)
    await parts.membership.refresh()
    return found


def counted(given: Answer, code: str) -> int:
    return next(i.value for i in given.indicators if i.code == code)


async def test_an_answer_reflects_every_batch_acknowledged_before(
    parts: Parts, lenders: list[Furnisher]
) -> None:
    for place, furnisher in enumerate(lenders, start=1):
        stored = await furnisher.publish(parts.store, exposure(), as_of=AS_OF)
        given = await parts.ask(lenders[0], TOKEN)
        assert given.active_lenders == place
        assert given.tree_size == stored.entry_index + 1


async def test_the_commitment_opens_to_exactly_the_records_used(
    parts: Parts, lenders: list[Furnisher]
) -> None:
    used = []
    for furnisher in lenders[1:]:
        sealed = furnisher.seal(exposure(token=b"\x02" * 32), exposure(), as_of=AS_OF)
        new = furnisher.new_batch(sealed)
        await parts.ingest.publish(furnisher.name, sealed.envelope, sealed.salts, sealed.records)
        furnisher.went_on(sealed)
        used.append(RecordUsed(furnisher.name, 2, 1, new.records[1].leaf))
    given = await parts.ask(lenders[0], TOKEN)
    opening = answer.records_opening(tuple(used))
    assert given.records_commitment == answer.records_commitment(b"\x07" * 32, opening)
    kept = await parts.store.answered(given.inquiry_hash)
    assert kept is not None
    assert (kept.commitment_salt, kept.records_used) == (b"\x07" * 32, opening)


async def test_intervals_are_numbered_from_one_without_a_gap(
    parts: Parts, lenders: list[Furnisher]
) -> None:
    numbers = []
    for _ in range(4):
        numbers.append((await parts.ask(lenders[0], TOKEN)).interval_number)
        parts.clock.forward(seconds=30)
    assert numbers == [1, 1, 2, 2]


async def test_of_questions_at_the_same_time_each_sees_the_ones_before_it(
    parts: Parts, lenders: list[Furnisher]
) -> None:
    given = await asyncio.gather(
        *(parts.ask(lenders[n % 3], TOKEN) for n in range(9)),
    )
    assert sorted(counted(a, "applications_7d") for a in given) == list(range(1, 10))


async def test_one_application_counts_once_in_inquiry_and_record(
    parts: Parts, lenders: list[Furnisher]
) -> None:
    reference = b"\x33" * 16
    for _ in range(3):
        given = await parts.ask(lenders[1], TOKEN, application_reference=reference)
    assert counted(given, "applications_7d") == 1
    applied = plain_event(EventKind.APPLIED, AS_OF - 60, reference)
    await lenders[1].publish(parts.store, exposure(events=(applied,)), as_of=AS_OF)
    given = await parts.ask(lenders[0], TOKEN, purpose=Purpose.ACCOUNT_REVIEW)
    assert counted(given, "applications_7d") == 1


async def test_suspended_and_stale_lenders_count_marked_and_then_not(
    parts: Parts, lenders: list[Furnisher]
) -> None:
    for furnisher in lenders:
        await furnisher.publish(parts.store, exposure(), as_of=AS_OF, complete_as_of=AS_OF)
    await parts.store.set_state("quarry", MemberState.SUSPENDED, "test", micros(parts.clock()))
    parts.membership._mark = -1
    await parts.membership.refresh()

    async def look() -> tuple[str, int, dict[str, int]]:
        given = await parts.ask(lenders[0], TOKEN, purpose=Purpose.ACCOUNT_REVIEW)
        excluded = {e.reason.name: e.lender_count for e in given.coverage.exclusions}
        return given.status.name, given.active_lenders, excluded

    assert await look() == ("ASSESSED", 3, {"SUSPENDED_COUNTED": 1})
    parts.clock.forward(days=2)
    assert await look() == ("STALE", 3, {"STALE_COUNTED": 2, "SUSPENDED_COUNTED": 1})
    parts.clock.forward(days=40)
    assert await look() == ("NO_COVERAGE", 0, {"STALE_LENDER": 2, "SUSPENDED_LENDER": 1})


async def test_what_one_lender_alone_has_is_told_to_it_exactly(
    parts: Parts, lenders: list[Furnisher]
) -> None:
    mine = exposure(facilities=(plain_facility(outstanding_minor=123_456),))
    await lenders[0].publish(parts.store, mine, as_of=AS_OF)
    band = (await parts.ask(lenders[0], TOKEN)).joint_outstanding[0]
    assert (band.low_minor, band.high_minor) == (123_456, 123_457)
    other = (await parts.ask(lenders[1], TOKEN)).joint_outstanding[0]
    assert (other.low_minor, other.high_minor) == (100_000, 200_000)


async def test_a_question_whose_answer_was_not_kept_is_not_answered(
    parts: Parts, lenders: list[Furnisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inquiry is durable before the answer leaves."""

    async def fails(_: object) -> None:
        raise CounterfoilError(Reason.STORE_FAILED, "the disk is gone")

    monkeypatch.setattr(parts.store, "record_inquiry", fails)
    with pytest.raises(CounterfoilError) as refused:
        await parts.ask(lenders[0], TOKEN)
    assert refused.value.reason is Reason.STORE_FAILED


async def test_nobody_knows_is_no_record(parts: Parts, lenders: list[Furnisher]) -> None:
    question = parts.inquiry(lenders[0], TOKEN)
    given = await parts.ask(lenders[0], TOKEN)
    assert given.status is AnswerStatus.NO_RECORD
    assert given.inquiry_hash != inquiry_hash(question.encode())
    assert not parts.assessor._locks._locks, "locks are let go"
