"""Whose records count: fresh, stale, suspended, never heard of."""

from __future__ import annotations

import pytest

from counterfoil.answer import ExclusionReason
from counterfoil.membership import MemberState
from counterfoil_gateway.risk.standing import Judgement, LenderStanding, judge
from support.profiles import NOW, POLICY, at

HOUR = 1 / 24


def standing(**changes: object) -> LenderStanding:
    fields: dict[str, object] = {
        "lender": "harbour",
        "state": MemberState.ACTIVE,
        "suspended_since": None,
        "last_as_of": at(0),
        "complete_as_of": at(0),
    }
    return LenderStanding(**(fields | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "fresh", "counted", "mark"),
    [
        ({}, True, True, None),
        ({"complete_as_of": at(36 * HOUR)}, True, True, None),
        ({"complete_as_of": at(36 * HOUR) - 1}, False, True, ExclusionReason.STALE_COUNTED),
        ({"complete_as_of": at(30)}, False, True, ExclusionReason.STALE_COUNTED),
        ({"complete_as_of": at(30) - 1}, False, False, ExclusionReason.STALE_LENDER),
        ({"complete_as_of": None}, False, True, ExclusionReason.STALE_COUNTED),
        (
            {"complete_as_of": None, "last_as_of": at(31)},
            False,
            False,
            ExclusionReason.STALE_LENDER,
        ),
        ({"complete_as_of": None, "last_as_of": None}, False, False, None),
        ({"state": MemberState.ADMITTED}, False, False, None),
        (
            {"state": MemberState.SUSPENDED, "suspended_since": at(30)},
            False,
            True,
            ExclusionReason.SUSPENDED_COUNTED,
        ),
        (
            {"state": MemberState.SUSPENDED, "suspended_since": at(30) - 1},
            False,
            False,
            ExclusionReason.SUSPENDED_LENDER,
        ),
    ],
)
def test_a_lender_is_judged(
    changes: dict[str, object], fresh: bool, counted: bool, mark: ExclusionReason | None
) -> None:
    assert judge(standing(**changes), POLICY, NOW) == Judgement(fresh, counted, mark)
