"""The demo's comparison finds every kind of wrong answer."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path

import pytest

from counterfoil.answer import (
    AmountBand,
    Answer,
    AnswerStatus,
    Clearing,
    Flag,
    FlagReason,
    Severity,
)
from counterfoil.exposure import ProductKind
from counterfoil.inquiry import Purpose
from counterfoil.timestamps import micros
from demo import market
from demo.asking import Answered, Question
from demo.comparing import differences
from demo.town import Desk
from demo.truth import Borrower

AS_OF = datetime(2026, 11, 24, 6, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]
POLICY = (ROOT / "gateway/counterfoil_gateway/policies/default.toml").read_bytes()
PROBING = Flag(
    "RAPID_PROBING",
    Severity.WATCH,
    (FlagReason("APPLICATIONS_7D_AT_LEAST", "applications_7d", 3, 3, Severity.WATCH),),
    Clearing("WINDOW_PASSES"),
)


@pytest.fixture(scope="module")
def right() -> Answered:
    """A right answer about somebody whom nobody knows."""
    people: list[Borrower] = market.deal(1, AS_OF, 50, 5)
    stranger = next(borrower for borrower in people if not borrower.known_to)
    question = Question(
        borrower=stranger,
        desk=Desk(market.LENDERS[0], ""),
        application="H1",
        purpose=Purpose.CREDIT_APPLICATION,
        product_kind=ProductKind.CASH_LOAN,
        amount_minor=1,
        value="",
        country="",
    )
    answer = Answer(
        "demo",
        "gateway",
        bytes([1]) * 32,
        micros(AS_OF),
        AnswerStatus.NO_RECORD,
        policy_hash=bytes([2]) * 32,
        records_commitment=bytes([3]) * 32,
    )
    return Answered(question, AS_OF.timestamp(), answer, False, 1.0)


def test_a_right_answer_passes(right: Answered) -> None:
    assert differences([right], POLICY) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"status": AnswerStatus.ASSESSED}, "status"),
        ({"active_lenders": 1}, "active lenders"),
        ({"joint_outstanding": (AmountBand("USD", 0, 2),)}, "band"),
        ({"joint_outstanding": (AmountBand("USD", 1, 2),)}, "band holds the truth"),
        ({"flags": (PROBING,)}, "flags"),
    ],
)
def test_a_wrong_answer_is_found(right: Answered, changes: dict[str, object], what: str) -> None:
    answer = dataclasses.replace(right.answer, **changes)  # type: ignore[arg-type]
    found = differences([dataclasses.replace(right, answer=answer)], POLICY)
    assert any(f": {what}: " in text for text in found)
