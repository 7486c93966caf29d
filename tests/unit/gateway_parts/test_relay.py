"""The relay: evaluators come and go, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from counterfoil import dsse
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.evaluation import PAYLOAD_TYPE, EvaluationRequest, PartialEvaluation
from counterfoil.keys import PrivateKey
from counterfoil.membership import MemberState
from counterfoil.timestamps import micros
from counterfoil_gateway import relay as relay_module
from counterfoil_gateway.store.base import Store
from support.gateway_parts import Parts
from support.stores import Furnisher

PARTIAL = PartialEvaluation("harbour", 1, (b"\x01" * 32,), b"\x02" * 64)


@pytest.fixture
async def parts(store: Store, answer_key: PrivateKey) -> Parts:
    return Parts(store, answer_key)


@pytest.fixture
async def lotus(parts: Parts) -> Furnisher:
    await Furnisher("harbour").join(parts.store, evaluator_key=b"\x0e" * 32)
    lotus = Furnisher("lotus")
    await lotus.join(parts.store)
    await parts.membership.refresh()
    return lotus


def request(parts: Parts, asker: Furnisher, **changes: object) -> Envelope:
    now = micros(parts.clock())
    fields: dict[str, object] = {
        "network": "test",
        "lender": asker.name,
        "token_epoch": 1,
        "generation": 1,
        "nonce": b"\x01" * 16,
        "create_time_us": now,
        "expire_time_us": now + 1_000_000,
        "blinded_elements": (b"\x01" * 32,),
    }
    made = EvaluationRequest(**(fields | changes))  # type: ignore[arg-type]
    return dsse.sign(PAYLOAD_TYPE, made.encode(), asker.key)


async def refusal(call: Awaitable[object]) -> Reason:
    with pytest.raises(CounterfoilError) as refused:
        await call
    return refused.value.reason


async def test_a_request_goes_to_the_evaluator_and_its_result_back(
    parts: Parts, lotus: Furnisher
) -> None:
    link = parts.relay.attach("harbour", generation=1, token_epoch=1)
    envelope = request(parts, lotus)
    asking = asyncio.create_task(parts.relay.evaluate("lotus", envelope, 5))
    task = await link.next_task()
    assert task is not None
    assert task.request == envelope, "not a byte is changed"
    link.done(task.number, PARTIAL)
    assert await asking == (PARTIAL,)
    link.done(task.number, PARTIAL)  # Once more: nobody waits, nothing happens.


async def test_without_an_evaluator_the_caller_is_told_at_once(
    parts: Parts, lotus: Furnisher
) -> None:
    call = parts.relay.evaluate("lotus", request(parts, lotus), 5)
    assert await refusal(call) is Reason.EVALUATOR_UNAVAILABLE


async def test_an_evaluator_that_does_not_answer_is_not_waited_for_past_the_deadline(
    parts: Parts, lotus: Furnisher
) -> None:
    parts.relay.attach("harbour", generation=1, token_epoch=1)
    call = parts.relay.evaluate("lotus", request(parts, lotus), 0.1)
    assert await refusal(call) is Reason.EVALUATOR_UNAVAILABLE


async def test_when_the_evaluator_goes_whoever_waits_is_told(
    parts: Parts, lotus: Furnisher
) -> None:
    link = parts.relay.attach("harbour", generation=1, token_epoch=1)
    asking = asyncio.create_task(parts.relay.evaluate("lotus", request(parts, lotus), 5))
    await link.next_task()
    parts.relay.detach(link)
    assert await refusal(asking) is Reason.EVALUATOR_UNAVAILABLE
    assert await link.next_task() is None


async def test_a_new_stream_of_an_evaluator_ends_its_older_one(
    parts: Parts, lotus: Furnisher
) -> None:
    older = parts.relay.attach("harbour", generation=1, token_epoch=1)
    newer = parts.relay.attach("harbour", generation=1, token_epoch=1)
    assert await older.next_task() is None
    parts.relay.detach(older)
    asking = asyncio.create_task(parts.relay.evaluate("lotus", request(parts, lotus), 5))
    task = await newer.next_task()
    assert task is not None
    newer.refused(task.number, InvalidInput(Reason.QUOTA_EXCEEDED, "used up"))
    assert await refusal(asking) is Reason.QUOTA_EXCEEDED


async def test_a_suspended_evaluator_is_not_asked(parts: Parts, lotus: Furnisher) -> None:
    parts.relay.attach("harbour", generation=1, token_epoch=1)
    await parts.store.set_state("harbour", MemberState.SUSPENDED, "test", 1)
    parts.membership._mark = -1
    await parts.membership.refresh()
    call = parts.relay.evaluate("lotus", request(parts, lotus), 5)
    assert await refusal(call) is Reason.EVALUATOR_UNAVAILABLE


async def test_too_many_waiting_are_refused(
    parts: Parts, lotus: Furnisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "MAX_WAITING", 2)
    link = parts.relay.attach("harbour", generation=1, token_epoch=1)
    envelope = request(parts, lotus)
    waiting = [asyncio.create_task(parts.relay.evaluate("lotus", envelope, 5)) for _ in range(2)]
    for _ in range(2):
        await link.next_task()
    assert await refusal(parts.relay.evaluate("lotus", envelope, 5)) is Reason.OVERLOADED
    parts.relay.close()
    for task in waiting:
        assert await refusal(task) is Reason.EVALUATOR_UNAVAILABLE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": "elsewhere"}, Reason.NETWORK_MISMATCH),
        ({"lender": "harbour"}, Reason.LENDER_MISMATCH),
        ({"token_epoch": 2}, Reason.TOKEN_EPOCH_MISMATCH),
        ({"generation": 2}, Reason.TOKEN_EPOCH_MISMATCH),
    ],
)
async def test_a_request_that_is_not_the_callers_is_not_passed_on(
    parts: Parts, lotus: Furnisher, changes: dict[str, object], reason: Reason
) -> None:
    call = parts.relay.evaluate("lotus", request(parts, lotus, **changes), 5)
    assert await refusal(call) is reason


async def test_only_the_evaluator_of_the_epoch_may_attach(parts: Parts, lotus: Furnisher) -> None:
    for peer, epoch, reason in (
        ("lotus", 1, Reason.ROLE_MISSING),
        ("harbour", 2, Reason.TOKEN_EPOCH_MISMATCH),
        ("nobody", 1, Reason.LENDER_UNKNOWN),
    ):
        with pytest.raises(CounterfoilError) as refused:
            parts.relay.attach(peer, generation=1, token_epoch=epoch)
        assert refused.value.reason is reason
