"""The evaluator: known members only, each request once, within a quota that outlives a restart."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from counterfoil import dsse, oprf
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.evaluation import PAYLOAD_TYPE, EvaluationRequest
from counterfoil.exposure import InstitutionKind
from counterfoil.keys import PrivateKey
from counterfoil.membership import Member, MemberRole, MemberState
from counterfoil.timestamps import micros
from counterfoil_node.book import Book
from counterfoil_node.evaluator import Evaluator, MemberKeys, Share
from counterfoil_node.store.evaluations import EvaluationLedger, Quota
from support.books import new_book, open_book

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET, PUBLIC = oprf.generate_key_pair()
LOTUS, PINE = PrivateKey.generate(), PrivateKey.generate()
ELEMENTS = tuple(oprf.blind(os.urandom(8))[1] for _ in range(16))


def member(lender: str, key: PrivateKey, state: MemberState = MemberState.ACTIVE) -> Member:
    return Member(lender, InstitutionKind.BANK, (MemberRole.LENDER,), state, key.public.raw)


class Office:
    """An evaluator with a clock that tests set."""

    def __init__(self, book: Book, quota: Quota) -> None:
        self.time = START
        self.members = MemberKeys()
        self.members.replace((member("lotus", LOTUS), member("pine", PINE)))
        self.evaluator = Evaluator(
            "test",
            "harbour",
            Share(1, 1, SECRET),
            self.members,
            EvaluationLedger(book.database, quota),
            lambda: self.time,
        )

    def request(self, key: PrivateKey = LOTUS, **changes: object) -> Envelope:
        now = micros(self.time)
        fields: dict[str, object] = {
            "network": "test",
            "lender": "lotus" if key is LOTUS else "pine",
            "token_epoch": 1,
            "generation": 1,
            "nonce": os.urandom(16),
            "create_time_us": now,
            "expire_time_us": now + 60_000_000,
            "blinded_elements": ELEMENTS,
        }
        request = EvaluationRequest(**(fields | changes))  # type: ignore[arg-type]
        return dsse.sign(PAYLOAD_TYPE, request.encode(), key)

    async def refusal(self, envelope: Envelope) -> Reason:
        with pytest.raises(CounterfoilError) as refused:
            await self.evaluator.evaluate(envelope)
        return refused.value.reason


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[Book]:
    book = await new_book(tmp_path)
    yield book
    await book.close()


@pytest.fixture
def office(book: Book) -> Office:
    return Office(book, Quota(lender_elements=48, network_elements=64))


async def test_a_members_request_is_evaluated_with_proof(office: Office) -> None:
    partial = await office.evaluator.evaluate(office.request())
    assert (partial.evaluator, partial.generation) == ("harbour", 1)
    oprf.verify_proof(PUBLIC, ELEMENTS, partial.evaluated_elements, partial.proof)


async def test_a_request_is_evaluated_once(office: Office) -> None:
    request = office.request()
    await office.evaluator.evaluate(request)
    assert await office.refusal(request) is Reason.EVALUATION_REPLAYED
    # Another lender may happen to draw the same nonce.
    nonce = EvaluationRequest.decode(request.payload).nonce
    await office.evaluator.evaluate(office.request(PINE, nonce=nonce))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lender": "pine"}, Reason.LENDER_MISMATCH),
        ({"network": "other"}, Reason.NETWORK_MISMATCH),
        ({"token_epoch": 2}, Reason.TOKEN_EPOCH_MISMATCH),
        ({"generation": 2}, Reason.TOKEN_EPOCH_MISMATCH),
        (
            {
                "create_time_us": micros(START) + 121_000_000,
                "expire_time_us": micros(START) + 122_000_000,
            },
            Reason.CLOCK_SKEW,
        ),
        (
            {"create_time_us": micros(START) - 61_000_000, "expire_time_us": micros(START)},
            Reason.EVALUATION_EXPIRED,
        ),
    ],
)
async def test_a_request_for_something_else_is_refused(
    office: Office, changes: dict[str, object], reason: Reason
) -> None:
    assert await office.refusal(office.request(LOTUS, **changes)) is reason


async def test_a_stranger_is_refused(office: Office) -> None:
    stranger = PrivateKey.generate()
    assert await office.refusal(office.request(stranger, lender="lotus")) is Reason.LENDER_UNKNOWN
    assert not office.evaluator.knows(office.request(stranger, lender="lotus"))


async def test_a_forged_signature_is_refused(office: Office) -> None:
    good = office.request()
    forged = Envelope(good.payload_type, good.payload[:-1] + b"\x00", good.signatures)
    assert await office.refusal(forged) is Reason.SIGNATURE_INVALID


async def test_a_suspended_member_is_refused_from_the_next_list_on(office: Office) -> None:
    office.members.replace((member("lotus", LOTUS, MemberState.SUSPENDED),))
    assert await office.refusal(office.request()) is Reason.LENDER_SUSPENDED


async def test_a_replaced_key_speaks_for_nobody(office: Office) -> None:
    office.members.replace((member("lotus", PrivateKey.generate()),))
    assert await office.refusal(office.request()) is Reason.LENDER_UNKNOWN


async def test_every_element_is_charged_and_the_quota_ends(office: Office) -> None:
    for _ in range(3):
        await office.evaluator.evaluate(office.request())
    assert await office.refusal(office.request()) is Reason.QUOTA_EXCEEDED
    # The network's own limit of 64 has room for one of 16 more.
    await office.evaluator.evaluate(office.request(PINE))
    assert await office.refusal(office.request(PINE)) is Reason.QUOTA_EXCEEDED


async def test_the_quota_tells_when_it_is_renewed(office: Office) -> None:
    for _ in range(3):
        await office.evaluator.evaluate(office.request())
    with pytest.raises(CounterfoilError) as refused:
        await office.evaluator.evaluate(office.request())
    assert refused.value.retry_after == 12 * 3600
    office.time += timedelta(hours=12)
    await office.evaluator.evaluate(office.request())


async def test_quota_and_nonces_outlive_a_restart(book: Book, tmp_path: Path) -> None:
    quota = Quota(lender_elements=32, network_elements=32)
    before = Office(book, quota)
    request = before.request()
    await before.evaluator.evaluate(request)
    reopened = await open_book(tmp_path)
    after = Office(reopened, quota)
    assert await after.refusal(request) is Reason.EVALUATION_REPLAYED
    await after.evaluator.evaluate(after.request())
    assert await after.refusal(after.request()) is Reason.QUOTA_EXCEEDED
    await reopened.close()


async def test_a_refused_request_costs_nothing(office: Office) -> None:
    for _ in range(5):
        await office.refusal(office.request(network="other"))
    for _ in range(3):
        await office.evaluator.evaluate(office.request())


async def test_a_point_that_is_none_is_refused(office: Office) -> None:
    request = office.request(blinded_elements=(bytes(32),))
    assert await office.refusal(request) is Reason.POINT_INVALID


def test_the_share_shows_no_secret() -> None:
    assert SECRET.hex() not in repr(Share(1, 1, SECRET))
    assert repr(SECRET) not in repr(Share(1, 1, SECRET))
