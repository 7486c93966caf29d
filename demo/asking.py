"""Asking: which questions are put to whom, and putting them, each as a lender's system would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from counterfoil.answer import Answer, AnswerStatus
from counterfoil.exposure import ProductKind
from counterfoil.inquiry import Purpose
from counterfoil.timestamps import from_micros
from counterfoil_node.desk_client import DeskClient, RawAsk

from .identities import untidy
from .independent import Act
from .processes import DemoFailed
from .town import Desk
from .truth import CURRENCY, Borrower

BORROWERS_ASKED = 2_200
AT_ONCE = 8
"""Borrowers asked about at the same time; about one borrower the questions follow each other."""
CALL_SECONDS = 30.0

REVIEW_SHARE = 0.12
"""Of the questions by a lender that the borrower owes to: reviews instead of applications."""
SHOPPERS_SHARE = 0.04
"""Of the borrowers: apply at several lenders one after the other while the demo runs."""
RETRY_SHARE = 0.03
"""Of the applications: asked about twice, which still is one application."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question that will be put."""

    borrower: Borrower
    desk: Desk
    application: str
    purpose: Purpose
    product_kind: ProductKind
    amount_minor: int
    value: str
    country: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with its answer."""

    question: Question
    asked_at: float
    """Seconds since 1970."""
    answer: Answer
    own_exposure: bool
    milliseconds: float

    @property
    def asker(self) -> str:
        """The lender that asked."""
        return self.question.desk.lender.name

    @property
    def moment(self) -> datetime:
        """What the answer speaks of."""
        return from_micros(self.answer.assess_time_us)

    @property
    def act(self) -> Act | None:
        """The question as an application, if it seeks credit."""
        if not self.question.purpose.credit_seeking:
            return None
        return Act(self.asker, self.question.application, self.moment)


def plan(town: Sequence[Desk], people: Sequence[Borrower], rng: Random) -> list[list[Question]]:
    """The questions about each borrower, in the order in which they will be put."""
    # Everybody whom more than two lenders, or none, know; of the others as many as there is room.
    telling = [p for p in people if len(p.active_lenders) >= 3 or not p.known_to]
    chosen_labels = {p.label for p in telling}
    rest = [p for p in people if p.label not in chosen_labels]
    chosen = telling + rng.sample(rest, max(0, min(len(rest), BORROWERS_ASKED - len(telling))))
    rng.shuffle(chosen)
    number = 0
    questions = []
    for place, borrower in enumerate(chosen):
        count = rng.randint(3, 5) if rng.random() < SHOPPERS_SHARE else 1
        series: list[Question] = []
        for step in range(count):
            number += 1
            desk = town[(place + step) % len(town)]
            question = _question(borrower, desk, number, rng)
            series += [question] * (2 if rng.random() < RETRY_SHARE else 1)
        questions.append(series)
    return questions


def _question(borrower: Borrower, desk: Desk, number: int, rng: Random) -> Question:
    owes = desk.lender.name in borrower.active_lenders
    review = owes and rng.random() < REVIEW_SHARE
    value, country = untidy(borrower.identity, rng)
    return Question(
        borrower=borrower,
        desk=desk,
        application=f"{desk.lender.name[0].upper()}Q{number:06d}",
        purpose=Purpose.ACCOUNT_REVIEW if review else Purpose.CREDIT_APPLICATION,
        product_kind=ProductKind[desk.lender.products[0].upper()],
        amount_minor=rng.randrange(500, 30_000) * 100,
        value=value,
        country=country,
    )


async def ask_all(questions: list[list[Question]], tell: Callable[[int], None]) -> list[Answered]:
    """Puts every question; answers are in the order in which they were asked."""
    waiting = iter(questions)
    answered: list[Answered] = []
    clients = {
        question.desk.lender.name: DeskClient(question.desk.target)
        for series in questions
        for question in series
    }

    async def worker() -> None:
        for series in waiting:
            for question in series:
                client = clients[question.desk.lender.name]
                answered.append(await _put(client, question))
                tell(len(answered))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(worker())
    finally:
        for client in clients.values():
            await client.close()
    return sorted(answered, key=lambda a: a.asked_at)


async def _put(client: DeskClient, question: Question) -> Answered:
    ask = RawAsk(
        scheme=question.borrower.identity.scheme,
        value=question.value,
        country=question.country,
        product_kind=question.product_kind,
        amount_minor=question.amount_minor,
        currency=CURRENCY,
        application_id=question.application,
        purpose=question.purpose,
        consent_document=f"consent to {question.application}".encode(),
    )
    asked_at = time.time()
    start = time.perf_counter()
    reply = await client.assess(ask, CALL_SECONDS)
    milliseconds = (time.perf_counter() - start) * 1_000
    if reply.answer.status is AnswerStatus.UNAVAILABLE:
        raise DemoFailed(f"no answer: {reply.answer.unavailable_reason}")
    return Answered(question, asked_at, reply.answer, reply.own_exposure, milliseconds)
