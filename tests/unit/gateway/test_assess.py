"""Answering inquiries: bound to what was known, in some order, and to exactly the records used."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import timedelta

import pytest
from unit.gateway.conformance import contents, refused
from unit.gateway.house import CREATED, House, token

from counterfoil import limits, wire
from counterfoil.answer import (
    Answer,
    AnswerStatus,
    ExclusionReason,
    RecordUsed,
    records_commitment,
    records_opening,
)
from counterfoil.batch import leaves_of
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.inquiry import Purpose, inquiry_hash
from counterfoil.timestamps import micros, seconds
from counterfoil_gateway.assess import TokenLocks
from support.exposures import plain_facility
from support.gateways import Lender
from support.profiles import POLICY

WHO = token(1)


@dataclass
class Three:
    """Three banks; lotus asks."""

    harbour: Lender
    lotus: Lender
    pine: Lender


@pytest.fixture
async def banks(house: House) -> Three:
    return Three(
        await house.enrol("harbour", evaluator=True),
        await house.enrol("lotus"),
        await house.enrol("pine"),
    )


def value(answer: Answer, code: str) -> int:
    """The one indicator of this code."""
    (found,) = [indicator.value for indicator in answer.indicators if indicator.code == code]
    return found


def exclusions(answer: Answer) -> dict[ExclusionReason, int]:
    return {item.reason: item.lender_count for item in answer.coverage.exclusions}


async def test_an_answer_is_bound_to_its_question_policy_and_log(
    house: House, banks: Three
) -> None:
    await house.publish(banks.harbour, house.record(WHO))
    inquiry = house.inquiry(banks.lotus, WHO)
    envelope = await house.assessor.assess("lotus", inquiry)
    answer = house.read(envelope)
    assert (answer.network, answer.issuer) == ("test", "gateway")
    assert answer.inquiry_hash == inquiry_hash(inquiry.payload)
    assert answer.assess_time_us == micros(house.clock())
    assert (answer.policy_version, answer.policy_hash) == (POLICY.version, POLICY.hash)
    assert answer.tree_size == 4
    kept = await house.store.answered(answer.inquiry_hash)
    assert kept is not None
    assert wire.envelope_from_bytes(kept.answer) == envelope
    assert wire.envelope_from_bytes(kept.envelope) == inquiry


async def test_the_commitment_opens_to_exactly_the_records_used(house: House, banks: Three) -> None:
    other = house.record(token(2))
    mine = house.record(WHO)
    first = banks.harbour.seal((other, mine))
    await house.send(banks.harbour, first)
    stale = seconds(house.clock()) - 40 * 86_400
    await house.publish(
        banks.pine,
        house.record(WHO, effective_time=stale),
        as_of=stale,
        complete_as_of=stale,
    )
    answer = await house.ask(banks.lotus, WHO)
    kept = await house.store.answered(answer.inquiry_hash)
    assert kept is not None
    leaf = leaves_of(first.salts, first.records)[1]
    opening = records_opening((RecordUsed("harbour", 1, 1, leaf),))
    assert kept.records_used == opening
    assert answer.records_commitment == records_commitment(kept.commitment_salt, opening)
    plain = hashlib.sha256(b"\x00" + kept.commitment_salt + opening).digest()
    assert answer.records_commitment == plain


async def test_every_answer_has_a_salt_of_its_own(house: House, banks: Three) -> None:
    answers = [await house.ask(banks.lotus, WHO) for _ in range(2)]
    kept = [await house.store.answered(answer.inquiry_hash) for answer in answers]
    assert len({item.commitment_salt for item in kept if item}) == 2
    assert len({answer.records_commitment for answer in answers}) == 2


@pytest.mark.parametrize(
    ("after_seconds", "number"), [(3_600.0, 61), (3_659.999, 61), (3_660.0, 62), (90_000.0, 1_501)]
)
async def test_intervals_are_counted_from_the_networks_birth(
    house: House, banks: Three, after_seconds: float, number: int
) -> None:
    house.clock.time = CREATED + timedelta(seconds=after_seconds)
    assert (await house.ask(banks.lotus, WHO)).interval_number == number


async def test_an_answer_reflects_a_batch_acknowledged_just_before(
    house: House, banks: Three
) -> None:
    assert (await house.ask(banks.lotus, WHO)).active_lenders == 0
    await house.publish(banks.harbour, house.record(WHO))
    assert (await house.ask(banks.lotus, WHO)).active_lenders == 1
    await house.publish(banks.pine, house.record(WHO))
    assert (await house.ask(banks.lotus, WHO)).active_lenders == 2
    await house.publish(banks.pine, house.record(WHO, facilities=()))
    assert (await house.ask(banks.lotus, WHO)).active_lenders == 1


async def test_of_inquiries_at_once_each_later_one_counts_the_earlier(
    house: House, banks: Three
) -> None:
    askers = (banks.harbour, banks.lotus, banks.pine, banks.lotus)
    answers = await asyncio.gather(*(house.ask(lender, WHO) for lender in askers))
    assert sorted(value(answer, "applications_7d") for answer in answers) == [1, 2, 3, 4]


async def test_inquiries_about_others_do_not_count(house: House, banks: Three) -> None:
    numbers = (1, 2, 3)
    answers = await asyncio.gather(*(house.ask(banks.lotus, token(n)) for n in numbers))
    assert [value(answer, "applications_7d") for answer in answers] == [1, 1, 1]


async def test_one_application_asked_about_twice_is_one_act(house: House, banks: Three) -> None:
    same = {"application_reference": b"\x07" * 16}
    await house.ask(banks.lotus, WHO, **same)
    assert value(await house.ask(banks.lotus, WHO, **same), "applications_7d") == 1
    assert value(await house.ask(banks.pine, WHO, **same), "applications_7d") == 2


async def test_a_review_is_no_application(house: House, banks: Three) -> None:
    review = await house.ask(banks.harbour, WHO, purpose=Purpose.ACCOUNT_REVIEW)
    assert value(review, "applications_7d") == 0
    assert value(await house.ask(banks.lotus, WHO), "applications_7d") == 1


async def test_a_stale_book_counts_marked_then_not_at_all(house: House, banks: Three) -> None:
    await house.publish(banks.harbour, house.record(WHO))
    fresh = await house.ask(banks.lotus, WHO)
    assert (fresh.active_lenders, exclusions(fresh)) == (1, {})
    house.clock.turn(days=10)
    await house.publish(banks.lotus, as_of=seconds(house.clock()), complete_as_of=None)
    marked = await house.ask(banks.lotus, WHO)
    assert (marked.active_lenders, marked.status) == (1, AnswerStatus.STALE)
    assert exclusions(marked) == {ExclusionReason.STALE_COUNTED: 1}
    house.clock.turn(days=25)
    left_out = await house.ask(banks.lotus, WHO)
    assert left_out.active_lenders == 0
    assert exclusions(left_out) == {ExclusionReason.STALE_LENDER: 1}


async def test_a_suspended_lenders_records_count_marked_then_not_at_all(
    house: House, banks: Three
) -> None:
    await house.publish(banks.harbour, house.record(WHO))
    await house.ask(banks.harbour, WHO)
    await house.membership.suspend("harbour", "test")
    await house.membership.refresh()
    marked = await house.ask(banks.lotus, WHO)
    assert marked.active_lenders == 1
    assert exclusions(marked) == {ExclusionReason.SUSPENDED_COUNTED: 1}
    assert value(marked, "applications_7d") == 2
    house.clock.turn(days=31)
    later = await house.ask(banks.lotus, WHO)
    assert later.active_lenders == 0
    assert exclusions(later) == {ExclusionReason.SUSPENDED_LENDER: 1}


async def test_a_lender_that_suspended_itself_back_counts_again(house: House, banks: Three) -> None:
    await house.publish(banks.harbour, house.record(WHO))
    await house.membership.suspend("harbour", "test")
    await house.membership.reinstate("harbour", "test")
    await house.membership.refresh()
    answer = await house.ask(banks.lotus, WHO)
    assert (answer.active_lenders, exclusions(answer)) == (1, {})


async def test_nobodys_book_is_no_coverage(house: House, banks: Three) -> None:
    assert (await house.ask(banks.lotus, WHO)).status is AnswerStatus.NO_COVERAGE


async def test_an_unknown_borrower_in_a_fresh_network_is_no_record(
    house: House, banks: Three
) -> None:
    for lender in (banks.harbour, banks.lotus, banks.pine):
        await house.publish(lender)
    assert (await house.ask(banks.lotus, WHO)).status is AnswerStatus.NO_RECORD
    assert (await house.ask(banks.pine, WHO)).status is AnswerStatus.ASSESSED


# --- refusals ----------------------------------------------------------------------------------

SKEW_US = limits.MAX_CLOCK_SKEW_SECONDS * 1_000_000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"network": "elsewhere"}, Reason.NETWORK_MISMATCH),
        ({"audience": "another"}, Reason.AUDIENCE_MISMATCH),
        ({"lender": "harbour"}, Reason.LENDER_MISMATCH),
        ({"token_epoch": 2}, Reason.TOKEN_EPOCH_MISMATCH),
    ],
)
async def test_an_inquiry_for_others_is_refused_and_not_kept(
    house: House, banks: Three, changes: dict[str, object], reason: Reason
) -> None:
    before = await contents(house.store)
    assert await refused(house.ask(banks.lotus, WHO, **changes)) is reason
    assert await contents(house.store) == before


async def test_times_are_judged_by_the_gateways_clock(house: House, banks: Three) -> None:
    now = micros(house.clock())

    def times(create: int, expire: int) -> dict[str, object]:
        return {"create_time_us": now + create, "expire_time_us": now + expire}

    lapsed = house.ask(banks.lotus, WHO, **times(-60_000_000, 0))
    assert await refused(lapsed) is Reason.INQUIRY_EXPIRED
    early = house.ask(banks.lotus, WHO, **times(SKEW_US + 1, SKEW_US + 2))
    assert await refused(early) is Reason.CLOCK_SKEW
    await house.ask(banks.lotus, WHO, **times(-60_000_000, 1))
    ahead = await house.ask(banks.lotus, WHO, **times(SKEW_US, SKEW_US + 1))
    assert value(ahead, "applications_7d") == 2


async def test_an_inquiry_is_answered_once_even_at_once(house: House, banks: Three) -> None:
    inquiry = house.inquiry(banks.lotus, WHO)
    results = await asyncio.gather(
        *(house.assessor.assess("lotus", inquiry) for _ in range(4)), return_exceptions=True
    )
    reasons = [result.reason for result in results if isinstance(result, CounterfoilError)]
    assert reasons == [Reason.INQUIRY_REPLAYED] * 3
    assert (await house.store.counts()).inquiries == 1


async def test_a_suspension_unseen_by_this_gateway_still_holds(house: House, banks: Three) -> None:
    await house.membership.suspend("lotus", "test")
    assert house.membership.is_active("lotus")
    assert await refused(house.ask(banks.lotus, WHO)) is Reason.LENDER_SUSPENDED
    assert (await house.store.counts()).inquiries == 0


# --- turns -------------------------------------------------------------------------------------


async def test_a_turn_is_one_at_a_time_for_each_token() -> None:
    locks = TokenLocks()
    at_work: list[bytes] = []

    async def work(which: bytes) -> None:
        async with locks.hold(which):
            assert which not in at_work
            at_work.append(which)
            await asyncio.sleep(0)
            at_work.remove(which)

    await asyncio.gather(*(work(which) for which in [WHO, token(2)] * 20))
    async with locks.hold(WHO), locks.hold(token(2)):
        pass


async def test_who_leaves_while_waiting_holds_nobody_up() -> None:
    locks = TokenLocks()
    async with locks.hold(WHO):

        async def wait() -> None:
            async with locks.hold(WHO):
                raise AssertionError("not its turn")

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with asyncio.timeout(5), locks.hold(WHO):
        pass


async def test_what_the_asker_alone_has_is_told_to_it_exactly(house: House, banks: Three) -> None:
    mine = house.record(WHO, facilities=(plain_facility(outstanding_minor=123_456),))
    await house.publish(banks.lotus, mine)
    own = (await house.ask(banks.lotus, WHO)).joint_outstanding[0]
    assert (own.low_minor, own.high_minor) == (123_456, 123_457)
    other = (await house.ask(banks.pine, WHO)).joint_outstanding[0]
    assert (other.low_minor, other.high_minor) == (100_000, 200_000)


async def test_an_inquiry_that_was_not_kept_is_not_answered(
    house: House, banks: Three, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inquiry is durable before the answer leaves."""

    async def fails(_: object) -> None:
        raise CounterfoilError(Reason.STORE_FAILED, "the disk is gone")

    monkeypatch.setattr(house.store, "record_inquiry", fails)
    assert await refused(house.ask(banks.lotus, WHO)) is Reason.STORE_FAILED
