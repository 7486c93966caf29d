"""Loading a policy: what it holds, and every way in which a file is refused."""

from __future__ import annotations

import hashlib

import pytest

from counterfoil.answer import Severity
from counterfoil.errors import InvalidInput, Reason
from counterfoil_gateway.risk import policy
from support.profiles import DEFAULT, POLICY

TEXT = DEFAULT.decode()


def test_the_default_policy_is_what_it_says() -> None:
    assert POLICY.hash == hashlib.sha256(DEFAULT).digest()
    assert POLICY.active_lenders[0] == (Severity.INFO, 2)
    assert POLICY.joint_outstanding["USD"][-1] == (Severity.CRITICAL, 25_000_000)
    assert POLICY.paid_percent_3m_below == ((Severity.WATCH, 90), (Severity.HIGH, 50))
    assert not POLICY.lender_counts_banded


def test_any_other_byte_gives_another_hash() -> None:
    assert policy.load(DEFAULT + b"\n").hash != POLICY.hash


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('version = "2026-11-24.1"', "", "version"),
        ('version = "2026-11-24.1"', 'version = ""', "version"),
        ('day_zone = "Asia/Shanghai"', 'day_zone = "Moon/Base"', "day_zone"),
        ("fresh_hours = 36", "fresh_hours = 0", "freshness.fresh_hours"),
        ("fresh_hours = 36", 'fresh_hours = "36"', "freshness.fresh_hours"),
        ("fresh_hours = 36", "fresh_hour = 36", "freshness.fresh_hours"),
        ("min_fresh_percent = 50", "min_fresh_percent = 101", "freshness.min_fresh_percent"),
        ('lender_counts = "exact"', 'lender_counts = "all"', "disclosure.lender_counts"),
        ("info = 2, watch = 3", "info = 4, watch = 3", "multi_lender.active_lenders"),
        ("info = 2, watch = 3", "grave = 2, watch = 3", "multi_lender.active_lenders.grave"),
        ('currency = "USD"', 'currency = "QQQ"', "multi_lender.joint_outstanding.currency"),
        ('currency = "USD"', 'currency = "CNY"', "multi_lender.joint_outstanding.currency"),
        (
            "applications_7d = { watch = 3, high = 5, critical = 8 }",
            "applications_7d = {}",
            "rapid_probing.applications_7d",
        ),
        (
            "watch = 90, high = 50",
            "watch = 50, high = 90",
            "repayment_irregularity.paid_percent_3m_below",
        ),
        (
            "watch = 90, high = 50",
            "watch = 95, high = 50",
            "repayment_irregularity.paid_percent_3m_below",
        ),
        ("[intervals]", "[interval]", "intervals.seconds"),
        (
            "[rapid_probing]",
            "[rapid_probing]\napplications_9d = 1",
            "rapid_probing.applications_9d",
        ),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_by_field(old: str, new: str, field: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidInput) as refused:
        policy.load(TEXT.replace(old, new, 1).encode())
    assert (refused.value.reason, refused.value.field) == (Reason.POLICY_INVALID, field)


@pytest.mark.parametrize("data", [b"\xff", b"= nothing", b""])
def test_what_is_no_policy_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        policy.load(data)
    assert refused.value.reason is Reason.POLICY_INVALID


def test_the_gravest_threshold_met_counts() -> None:
    ladder = ((Severity.WATCH, 3), (Severity.HIGH, 5))
    assert [policy.met(ladder, n) for n in (2, 3, 4, 5)] == [None, ladder[0], ladder[0], ladder[1]]
    falling = ((Severity.WATCH, 90), (Severity.HIGH, 50))
    assert policy.met_below(falling, 90) is None
    assert policy.met_below(falling, 80) == falling[0]
    assert policy.met_below(falling, 40) == falling[1]
