"""The relay: requests reach the evaluator in force and nobody waits for one that is not there."""

from __future__ import annotations

import asyncio

import pytest
from unit.gateway.conformance import refused
from unit.gateway.house import House

from counterfoil import dsse, oprf
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.evaluation import PAYLOAD_TYPE, EvaluationRequest, PartialEvaluation
from counterfoil.timestamps import micros
from counterfoil_gateway.relay import MAX_WAITING, Link
from support.gateways import Lender

PATIENT = 30.0
"""Seconds a caller would wait; no test does."""
HURRIED = 0.1

PARTIAL = PartialEvaluation("harbour", 1, (bytes(32),), bytes(64))


@pytest.fixture
async def asker(house: House) -> Lender:
    """A lender in a network whose evaluator is harbour."""
    await house.enrol("harbour", evaluator=True)
    return await house.enrol("lotus")


def request(house: House, lender: Lender, /, **changes: object) -> Envelope:
    """A signed request to evaluate one element."""
    now = micros(house.clock())
    fields: dict[str, object] = {
        "network": "test",
        "lender": lender.name,
        "token_epoch": 1,
        "generation": 1,
        "nonce": house.random.randbytes(16),
        "create_time_us": now,
        "expire_time_us": now + 60_000_000,
        "blinded_elements": (oprf.blind(b"somebody")[1],),
    }
    statement = EvaluationRequest(**(fields | changes))  # type: ignore[arg-type]
    return dsse.sign(PAYLOAD_TYPE, statement.encode(), lender.key)


def attach(house: House) -> Link:
    return house.relay.attach("harbour", generation=1, token_epoch=1)


def evaluate(
    house: House, lender: Lender, seconds: float = PATIENT
) -> asyncio.Task[tuple[PartialEvaluation, ...]]:
    """A call under way."""
    work = house.relay.evaluate(lender.name, request(house, lender), seconds)
    return asyncio.create_task(work)


async def test_a_request_goes_down_as_signed_and_its_result_comes_up(
    house: House, asker: Lender
) -> None:
    link = attach(house)
    sent = request(house, asker)
    waiting = asyncio.create_task(house.relay.evaluate("lotus", sent, PATIENT))
    task = await link.next_task()
    assert task is not None
    assert task.request == sent
    link.done(task.number, PARTIAL)
    assert await waiting == (PARTIAL,)


async def test_results_reach_whom_they_are_for(house: House, asker: Lender) -> None:
    link = attach(house)
    first, second = evaluate(house, asker), evaluate(house, asker)
    tasks = [await link.next_task(), await link.next_task()]
    assert tasks[0] is not None
    assert tasks[1] is not None
    other = PartialEvaluation("harbour", 1, (bytes(31) + b"\x01",), bytes(64))
    link.done(tasks[1].number, other)
    link.done(tasks[0].number, PARTIAL)
    assert (await first, await second) == ((PARTIAL,), (other,))


async def test_a_refusal_comes_up_as_it_is(house: House, asker: Lender) -> None:
    link = attach(house)
    waiting = evaluate(house, asker)
    task = await link.next_task()
    assert task is not None
    link.refused(task.number, CounterfoilError(Reason.QUOTA_EXCEEDED, "no", retry_after=9))
    with pytest.raises(CounterfoilError) as error:
        await waiting
    assert (error.value.reason, error.value.retry_after) == (Reason.QUOTA_EXCEEDED, 9)


async def test_without_an_evaluator_callers_are_told_at_once(house: House, asker: Lender) -> None:
    with pytest.raises(CounterfoilError) as error:
        await evaluate(house, asker)
    assert error.value.reason is Reason.EVALUATOR_UNAVAILABLE
    assert error.value.retry_after


async def test_a_suspended_evaluator_is_not_asked(house: House, asker: Lender) -> None:
    attach(house)
    await house.membership.suspend("harbour", "test")
    await house.membership.refresh()
    assert await refused(evaluate(house, asker)) is Reason.EVALUATOR_UNAVAILABLE


async def test_whoever_waits_is_told_when_the_evaluator_leaves(house: House, asker: Lender) -> None:
    link = attach(house)
    waiting = [evaluate(house, asker) for _ in range(3)]
    await link.next_task()
    house.relay.detach(link)
    for call in waiting:
        assert await refused(call) is Reason.EVALUATOR_UNAVAILABLE
    assert await refused(evaluate(house, asker)) is Reason.EVALUATOR_UNAVAILABLE


async def test_nobody_waits_beyond_its_deadline(house: House, asker: Lender) -> None:
    link = attach(house)
    assert await refused(evaluate(house, asker, HURRIED)) is Reason.EVALUATOR_UNAVAILABLE
    assert await refused(evaluate(house, asker, -1.0)) is Reason.EVALUATOR_UNAVAILABLE
    link.done(1, PARTIAL)  # Late: nobody waits for it.
    link.refused(1, CounterfoilError(Reason.INTERNAL, "late"))
    link.done(99, PARTIAL)


async def test_an_evaluator_is_not_given_what_nobody_waits_for(house: House, asker: Lender) -> None:
    """Its quota would be charged to the asker, and its time to everyone."""
    link = attach(house)
    assert await refused(evaluate(house, asker, HURRIED)) is Reason.EVALUATOR_UNAVAILABLE
    waiting = evaluate(house, asker)
    task = await link.next_task()
    assert task is not None
    link.done(task.number, PARTIAL)
    assert await asyncio.wait_for(waiting, 5) == (PARTIAL,)


async def test_an_evaluator_that_takes_nothing_does_not_fill_the_memory(house: House) -> None:
    harbour = await house.enrol("harbour", evaluator=True)
    link = attach(house)
    sent = request(house, harbour)
    for _ in range(MAX_WAITING):
        call = asyncio.create_task(link.ask(sent))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await refused(link.ask(sent)) is Reason.OVERLOADED


async def test_a_busy_evaluator_refuses_more(house: House) -> None:
    harbour = await house.enrol("harbour", evaluator=True)
    link = attach(house)
    sent = request(house, harbour)
    waiting = [asyncio.create_task(link.ask(sent)) for _ in range(MAX_WAITING)]
    tasks = [await link.next_task() for _ in waiting]
    with pytest.raises(CounterfoilError) as error:
        await link.ask(sent)
    assert error.value.reason is Reason.OVERLOADED
    assert error.value.retry_after
    assert tasks[0] is not None
    link.done(tasks[0].number, PARTIAL)
    await waiting[0]
    last = asyncio.create_task(link.ask(sent))
    assert await link.next_task() is not None
    house.relay.close()
    for call in [*waiting[1:], last]:
        assert await refused(call) is Reason.EVALUATOR_UNAVAILABLE


async def test_a_new_link_closes_the_evaluators_older_one(house: House, asker: Lender) -> None:
    old = attach(house)
    waiting = evaluate(house, asker)
    assert await old.next_task() is not None
    new = attach(house)
    assert await refused(waiting) is Reason.EVALUATOR_UNAVAILABLE
    assert await old.next_task() is None
    house.relay.detach(old)  # As its stream ends; the new link stays.
    again = evaluate(house, asker)
    task = await new.next_task()
    assert task is not None
    new.done(task.number, PARTIAL)
    assert await again == (PARTIAL,)


async def test_closing_ends_every_stream(house: House, asker: Lender) -> None:
    link = attach(house)
    house.relay.close()
    assert await link.next_task() is None
    assert await refused(link.ask(request(house, asker))) is Reason.EVALUATOR_UNAVAILABLE


async def test_only_the_evaluator_in_force_attaches(house: House, asker: Lender) -> None:
    for peer, generation, epoch, reason in (
        ("lotus", 1, 1, Reason.ROLE_MISSING),
        ("nobody", 1, 1, Reason.LENDER_UNKNOWN),
        ("harbour", 2, 1, Reason.TOKEN_EPOCH_MISMATCH),
        ("harbour", 1, 2, Reason.TOKEN_EPOCH_MISMATCH),
    ):
        with pytest.raises(CounterfoilError) as error:
            house.relay.attach(peer, generation=generation, token_epoch=epoch)
        assert error.value.reason is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": "elsewhere"}, Reason.NETWORK_MISMATCH),
        ({"lender": "harbour"}, Reason.LENDER_MISMATCH),
        ({"token_epoch": 2}, Reason.TOKEN_EPOCH_MISMATCH),
        ({"generation": 2}, Reason.TOKEN_EPOCH_MISMATCH),
    ],
)
async def test_a_request_that_is_not_the_callers_goes_nowhere(
    house: House, asker: Lender, changes: dict[str, object], reason: Reason
) -> None:
    attach(house)
    work = house.relay.evaluate("lotus", request(house, asker, **changes), PATIENT)
    assert await refused(work) is reason


async def test_a_request_signed_by_another_goes_nowhere(house: House, asker: Lender) -> None:
    attach(house)
    stranger = await house.enrol("pine")
    forged = request(house, stranger, lender="lotus")
    work = house.relay.evaluate("lotus", forged, PATIENT)
    assert await refused(work) is Reason.SIGNATURE_MISSING
