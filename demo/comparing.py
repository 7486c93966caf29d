"""Comparing every answer with what the independent calculation expects; writing answers.jsonl."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from counterfoil.answer import Answer

from .asking import Answered
from .independent import Act, Calculation, Reasons
from .truth import CURRENCY, iso


def band_of(answer: Answer) -> tuple[int, int]:
    """What an answer says of the joint outstanding; a currency that it does not name is [0, 1)."""
    for band in answer.joint_outstanding:
        if band.currency == CURRENCY:
            return band.low_minor, band.high_minor
    return 0, 1


def flags_of(answer: Answer) -> dict[str, tuple[str, Reasons]]:
    """An answer's flags: severity and reasons by code."""
    return {
        flag.code: (
            flag.severity.name.lower(),
            frozenset((r.code, r.severity.name.lower()) for r in flag.reasons),
        )
        for flag in answer.flags
    }


def differences(answers: Sequence[Answered], policy: bytes) -> list[str]:
    """Everything in which an answer is not what it should be; empty when all are right."""
    calculation = Calculation(policy)
    before: defaultdict[str, list[Act]] = defaultdict(list)
    found = []
    for place, answered in enumerate(answers):
        borrower, answer = answered.question.borrower, answered.answer
        act, earlier = answered.act, before[borrower.label]
        expected = calculation.expect(borrower, answered.asker, answered.moment, earlier, act)
        if act is not None:
            earlier.append(act)
        band = band_of(answer)
        for what, should, does in (
            ("status", expected.status, answer.status.name),
            ("active lenders", expected.active_lenders, answer.active_lenders),
            ("band", expected.band, band),
            ("flags", expected.flags, flags_of(answer)),
            ("band holds the truth", True, band[0] <= borrower.joint_outstanding < band[1]),
        ):
            if should != does:
                found.append(
                    f"answer {place} about {borrower.label}: {what}: should be {should}, is {does}"
                )
    return found


def write_answers(path: Path, answers: Iterable[Answered]) -> None:
    """answers.jsonl, in the order asked; a band is at least `low`, less than `high`."""
    with path.open("w", encoding="utf-8") as file:
        for answered in answers:
            answer = answered.answer
            line = {
                "borrower": answered.question.borrower.label,
                "asked_by": answered.question.desk.lender.name,
                "asked_at": iso(answered.asked_at),
                "as_of": iso(answer.assess_time_us / 1_000_000),
                "status": answer.status.name,
                "active_lenders": answer.active_lenders,
                "joint_outstanding_band": list(band_of(answer)),
                "flags": [
                    {
                        "code": flag.code,
                        "severity": flag.severity.name.lower(),
                        "reasons": [
                            {
                                "code": reason.code,
                                "indicator": reason.indicator,
                                "observed": reason.observed,
                                "threshold": reason.threshold,
                            }
                            for reason in flag.reasons
                        ],
                        "clearing": {
                            "condition": flag.clearing.condition,
                            "clear_time": (
                                None
                                if flag.clearing.clear_time is None
                                else iso(flag.clearing.clear_time)
                            ),
                        },
                    }
                    for flag in answer.flags
                ],
                "application": answered.question.application,
                "purpose": answered.question.purpose.name.lower(),
                "ms": round(answered.milliseconds, 2),
            }
            file.write(json.dumps(line) + "\n")
