"""The desk: an answer by the deadline, kept with what opens its commitments; nothing leaks."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterfoil import answer_codec, dsse
from counterfoil.answer import PAYLOAD_TYPE as ANSWER_TYPE
from counterfoil.answer import Answer, AnswerStatus
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason, VerificationError
from counterfoil.exposure import EventKind, InstalmentCycle, ProductKind, Role
from counterfoil.identifier import Identifier
from counterfoil.inquiry import PAYLOAD_TYPE as INQUIRY_TYPE
from counterfoil.inquiry import Inquiry, Purpose, consent_commitment, inquiry_hash
from counterfoil.keys import PrivateKey
from counterfoil.membership import Member, Network
from counterfoil.timestamps import micros
from counterfoil_daemon import logs
from counterfoil_node.book import Book
from counterfoil_node.desk import UNAVAILABLE_REASONS, Ask, Desk
from counterfoil_node.events import LoanEvent
from counterfoil_node.folder import NodeFolder, Pinned
from counterfoil_node.link import Link
from counterfoil_node.loans import LoanStatus, Standing
from counterfoil_node.store import evidence
from counterfoil_node.store.reports import ReportedEvent
from counterfoil_node.store.tokens import TokenCache
from counterfoil_node.tokens import Asker, SingleEvaluator, Tokens
from support.books import ZONE, new_book, open_book, resident_id
from support.loan_rows import AS_OF_SECONDS
from support.memory_gateway import GATEWAY, LENDER, NETWORK, MemoryGateway

WHO = Identifier.parse("cn-resident-id", resident_id(4))
CONSENT = b"I agree. 110105..."
MARGIN = 0.05


def now() -> datetime:
    return datetime.fromtimestamp(AS_OF_SECONDS, UTC)


class Counter:
    """A desk with its book, and a gateway that answers as the test says."""

    def __init__(self, folder: Path, book: Book) -> None:
        self.book = book
        self.key = PrivateKey.generate()
        self.memory = MemoryGateway(self.key.public)
        self.asked: list[Inquiry] = []
        self.envelopes: list[Envelope] = []
        self.reply: Callable[[Envelope], Awaitable[Envelope]] = self.honest
        network = Network(
            NETWORK,
            GATEWAY,
            self.memory.answer_key.public.raw,
            "-",
            1,
            self.memory.epoch.public_key,
        )
        self.link = Link(NodeFolder(folder), Pinned(network, "127.0.0.1:1"), self, b"")
        tokens = Tokens(
            TokenCache(book.database, book.vault),
            book.vault,
            self.memory,
            Asker(NETWORK, LENDER, lambda: self.key),
            SingleEvaluator(),
            now,
            os.urandom,
        )
        self.desk = Desk(book, tokens, self, self.link, lambda: self.key, now, MARGIN)

    async def network(self, timeout: float) -> Network:
        return self.link.pinned.network

    async def members(self, timeout: float) -> tuple[Member, ...]:
        return ()

    async def assess(self, inquiry: Envelope, timeout: float) -> Envelope:
        self.envelopes.append(inquiry)
        payload = dsse.verify(inquiry, INQUIRY_TYPE, self.key.public)
        self.asked.append(Inquiry.decode(payload))
        return await self.reply(inquiry)

    async def honest(self, inquiry: Envelope) -> Envelope:
        return self.sign(self.answer(inquiry))

    def answer(self, inquiry: Envelope, **changes: object) -> Answer:
        fields: dict[str, object] = {
            "network": NETWORK,
            "issuer": GATEWAY,
            "inquiry_hash": inquiry_hash(inquiry.payload),
            "assess_time_us": micros(now()),
            "status": AnswerStatus.NO_RECORD,
            "policy_version": "1",
            "policy_hash": bytes(32),
            "records_commitment": bytes(32),
        }
        return Answer(**(fields | changes))  # type: ignore[arg-type]

    def sign(self, answer: Answer) -> Envelope:
        return dsse.sign(ANSWER_TYPE, answer_codec.encode(answer), self.memory.answer_key)

    async def applied_rows(self) -> list[LoanStatus]:
        return [loan.status for loan in await self.book.loans_of(WHO)]


@pytest.fixture
async def counter(tmp_path: Path) -> AsyncIterator[Counter]:
    book = await new_book(tmp_path)
    counter = Counter(tmp_path, book)
    yield counter
    await counter.desk.close()
    await book.close()


def ask(**changes: object) -> Ask:
    fields: dict[str, object] = {
        "identifier": WHO,
        "application_id": "A-1",
        "purpose": Purpose.CREDIT_APPLICATION,
        "product_kind": ProductKind.CASH_LOAN,
        "amount_minor": 500_000,
        "currency": "CNY",
        "time_zone": ZONE,
        "consent_document": CONSENT,
    }
    return Ask(**(fields | changes))  # type: ignore[arg-type]


async def test_an_answer_comes_back_verified_with_its_originals(counter: Counter) -> None:
    assessed = await counter.desk.assess(ask(), 5.0)
    assert assessed.answer.status is AnswerStatus.NO_RECORD
    assert not assessed.own_exposure
    assert assessed.signed_inquiry == counter.envelopes[0]
    (inquiry,) = counter.asked
    assert (inquiry.network, inquiry.audience, inquiry.lender) == (NETWORK, GATEWAY, LENDER)
    assert (inquiry.amount_minor, inquiry.currency) == (500_000, "CNY")


async def test_inquiry_and_answer_are_kept_with_what_opens_the_consent(counter: Counter) -> None:
    assessed = await counter.desk.assess(ask(), 5.0)
    (inquiry,) = counter.asked
    digest = assessed.answer.inquiry_hash
    kept = await evidence.inquiry(counter.book.database, counter.book.vault, digest)
    assert kept is not None
    envelope, salt = kept
    assert envelope == counter.envelopes[0]
    assert consent_commitment(salt, CONSENT) == inquiry.consent_commitment
    assert await evidence.answers(counter.book.database, digest) == [assessed.signed_answer]


async def test_a_credit_application_is_in_the_book_under_the_inquirys_reference(
    counter: Counter,
) -> None:
    await counter.desk.assess(ask(), 5.0)
    (loan,) = await counter.book.loans_of(WHO)
    assert (loan.status, loan.applied_time) == (LoanStatus.APPLIED, AS_OF_SECONDS)
    ((reference,),) = await counter.book.database.rows("SELECT reference FROM applications")
    assert counter.asked[0].application_reference == reference
    assert (await counter.book.counts()).pending_borrowers == 1


async def test_asking_again_is_the_same_act_under_a_new_nonce(counter: Counter) -> None:
    await counter.desk.assess(ask(), 5.0)
    await counter.desk.assess(ask(), 5.0)
    first, again = counter.asked
    assert first.application_reference == again.application_reference
    assert first.nonce != again.nonce
    assert await counter.applied_rows() == [LoanStatus.APPLIED]


async def test_a_review_is_no_application(counter: Counter) -> None:
    await counter.desk.assess(ask(purpose=Purpose.ACCOUNT_REVIEW, application_id=""), 5.0)
    assert await counter.applied_rows() == []
    assert any(counter.asked[0].application_reference)


async def test_credit_is_not_sought_without_an_application_number() -> None:
    with pytest.raises(InvalidInput) as refused:
        ask(application_id="")
    assert refused.value.field == "application_id"


async def test_own_exposure_is_what_the_book_says(counter: Counter) -> None:
    event = LoanEvent(
        kind=None,
        time=AS_OF_SECONDS,
        loan_id="L-1",
        application_id="",
        product_kind=ProductKind.CASH_LOAN,
        role=Role.SOLE,
        currency="CNY",
        amount_minor=1,
        time_zone=ZONE,
        standing=Standing(1, 1, InstalmentCycle.NONE),
    )
    await counter.desk.report("R-1", b"content", (ReportedEvent(event, WHO),), None)
    assert (await counter.desk.assess(ask(), 5.0)).own_exposure


async def test_a_gateway_that_hangs_gives_unavailable_by_the_deadline(counter: Counter) -> None:
    async def never(_: Envelope) -> Envelope:
        await asyncio.Event().wait()
        raise AssertionError

    counter.reply = never
    start = time.monotonic()
    assessed = await counter.desk.assess(ask(), 0.5)
    assert time.monotonic() - start < 0.5
    answer = answer_codec.decode(
        dsse.verify(assessed.signed_answer, ANSWER_TYPE, counter.key.public)
    )
    assert answer == assessed.answer
    assert (answer.status, answer.issuer) == (AnswerStatus.UNAVAILABLE, LENDER)
    assert answer.unavailable_reason == Reason.GATEWAY_UNREACHABLE
    assert assessed.signed_inquiry is not None
    assert answer.inquiry_hash == inquiry_hash(assessed.signed_inquiry.payload)
    await counter.desk.close()
    kept = await evidence.answers(counter.book.database, answer.inquiry_hash)
    assert kept == [assessed.signed_answer]


async def test_without_an_evaluator_there_is_no_inquiry_but_an_answer(counter: Counter) -> None:
    counter.memory.evaluation_refusal = CounterfoilError(Reason.EVALUATOR_UNAVAILABLE, "away")
    assessed = await counter.desk.assess(ask(), 5.0)
    assert assessed.answer.unavailable_reason == Reason.EVALUATOR_UNAVAILABLE
    assert assessed.signed_inquiry is None
    assert assessed.answer.inquiry_hash == b""
    # The borrower did apply, whether or not anybody could be asked.
    assert await counter.applied_rows() == [LoanStatus.APPLIED]


async def test_a_deadline_that_has_passed_gives_unavailable_at_once(counter: Counter) -> None:
    assessed = await counter.desk.assess(ask(), 0.0)
    assert assessed.answer.status is AnswerStatus.UNAVAILABLE


async def test_a_book_that_is_busy_does_not_cost_the_deadline(
    counter: Counter, tmp_path: Path
) -> None:
    other = await open_book(tmp_path)
    start = time.monotonic()
    async with other.database.write() as tx:
        await tx.run("UPDATE book SET change = change")
        assessed = await counter.desk.assess(ask(), 0.5)
        assert time.monotonic() - start < 0.5
    assert assessed.answer.unavailable_reason == Reason.OVERLOADED
    await other.close()


@pytest.mark.parametrize("reason", sorted(UNAVAILABLE_REASONS))
async def test_what_keeps_an_answer_away_is_told(counter: Counter, reason: Reason) -> None:
    async def refuse(_: Envelope) -> Envelope:
        raise CounterfoilError(reason, "not now")

    counter.reply = refuse
    assessed = await counter.desk.assess(ask(), 5.0)
    assert assessed.answer.unavailable_reason == reason


@pytest.mark.parametrize("reason", [Reason.LENDER_SUSPENDED, Reason.CLOCK_SKEW])
async def test_what_the_gateway_refuses_is_an_error(counter: Counter, reason: Reason) -> None:
    async def refuse(_: Envelope) -> Envelope:
        raise CounterfoilError(reason, "no")

    counter.reply = refuse
    with pytest.raises(CounterfoilError) as refused:
        await counter.desk.assess(ask(), 5.0)
    assert refused.value.reason is reason


@pytest.mark.parametrize(
    "changes",
    [{"network": "other"}, {"issuer": "other"}, {"inquiry_hash": bytes(31) + b"x"}],
)
async def test_an_answer_to_something_else_is_not_passed_on(
    counter: Counter, changes: dict[str, object]
) -> None:
    async def lie(inquiry: Envelope) -> Envelope:
        return counter.sign(counter.answer(inquiry, **changes))

    counter.reply = lie
    with pytest.raises(VerificationError):
        await counter.desk.assess(ask(), 5.0)


async def test_an_answer_under_another_key_is_not_passed_on(counter: Counter) -> None:
    async def forge(inquiry: Envelope) -> Envelope:
        payload = answer_codec.encode(counter.answer(inquiry))
        return dsse.sign(ANSWER_TYPE, payload, PrivateKey.generate())

    counter.reply = forge
    with pytest.raises(VerificationError):
        await counter.desk.assess(ask(), 5.0)


async def test_a_time_that_is_yet_to_come_is_refused(counter: Counter) -> None:
    event = LoanEvent(
        kind=EventKind.APPLIED,
        time=AS_OF_SECONDS + 121,
        loan_id="A-1",
        application_id="",
        product_kind=ProductKind.CASH_LOAN,
        role=Role.SOLE,
        currency="CNY",
        amount_minor=1,
        time_zone=ZONE,
    )
    with pytest.raises(InvalidInput) as refused:
        await counter.desk.report("R-1", b"", (ReportedEvent(event, WHO),), None)
    assert refused.value.reason is Reason.CLOCK_SKEW
    with pytest.raises(InvalidInput) as refused:
        await counter.desk.report("R-2", b"", (), AS_OF_SECONDS + 121)
    assert refused.value.reason is Reason.CLOCK_SKEW


async def test_neither_identifier_nor_token_leaves_but_the_token_in_its_field(
    counter: Counter,
) -> None:
    lines = io.StringIO()
    logs.configure("debug", lines)
    told: list[str] = []

    async def refuse(_: Envelope) -> Envelope:
        raise CounterfoilError(Reason.LENDER_SUSPENDED, "no")

    assessed = await counter.desk.assess(ask(), 5.0)
    told.append(repr(assessed) + repr(ask()) + repr(counter.asked[0]))
    counter.reply = refuse
    with pytest.raises(CounterfoilError) as refused:
        await counter.desk.assess(ask(), 5.0)
    told.append(repr(refused.value) + str(refused.value))

    async def break_down(_: Envelope) -> Envelope:
        raise CounterfoilError(Reason.GATEWAY_UNREACHABLE, "away")

    counter.reply = break_down
    told.append(repr(await counter.desk.assess(ask(), 5.0)))
    token = counter.asked[0].token
    assert "assessment_unavailable" in lines.getvalue()
    text = lines.getvalue() + "".join(told)
    for secret in (WHO.value, token.hex(), repr(token)[2:-1], CONSENT.decode()):
        assert secret not in text
    for envelope in counter.envelopes:
        assert WHO.value.encode() not in envelope.payload
        assert envelope.payload.count(token) == 1
