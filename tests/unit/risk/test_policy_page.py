"""docs/protocol/policy.md names everything that the engine and the default policy know."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from counterfoil.answer import AnswerStatus, ExclusionReason
from counterfoil_gateway.risk import flags

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/protocol/policy.md").read_text(encoding="utf-8")
POLICY = ROOT / "gateway/counterfoil_gateway/policies/default.toml"
SEVERITIES = {"info", "watch", "high", "critical"}


def settings(tree: dict[str, Any], above: str = "") -> Iterator[str]:
    """Every setting of a policy file; a ladder of thresholds is one."""
    for name, value in tree.items():
        if isinstance(value, dict) and not set(value) <= SEVERITIES:
            yield from settings(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def test_every_word_of_the_vocabulary_is_defined() -> None:
    words = [
        *flags.REASON_CODES,
        *flags.REASON_CODES.values(),
        flags.MULTI_LENDER,
        flags.RAPID_PROBING,
        flags.REPAYMENT_IRREGULARITY,
        flags.FEWER_ACTIVE_LENDERS,
        flags.WINDOW_PASSES,
        flags.OVERDUE_PAID,
        *(status.name for status in AnswerStatus if status is not AnswerStatus.ASSESSED),
        *(reason.name for reason in ExclusionReason),
    ]
    assert [word for word in words if f"`{word}`" not in PAGE] == []


def test_every_setting_of_the_default_policy_is_defined() -> None:
    names = list(settings(tomllib.loads(POLICY.read_text(encoding="utf-8"))))
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in PAGE] == []
