"""Every threshold below and at its edge, what is observed, and what clears a flag when."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from counterfoil.answer import Flag, Severity
from counterfoil.exposure import EventKind, PaymentHistory, PaymentStatus, Role
from counterfoil_gateway.risk.assess import assess
from counterfoil_gateway.risk.profile import LenderRecord, PastInquiry, Profile
from support.profiles import (
    ASKER,
    NOW,
    POLICY,
    ZONE,
    event,
    facility,
    inquiry,
    profile,
    record,
    reference,
)

THIS_MONTH = 682
GOOD, LATE = PaymentStatus.AS_AGREED, PaymentStatus.PAST_DUE_30


def flags(judged: Profile, now: datetime = NOW) -> dict[str, Flag]:
    return {flag.code: flag for flag in assess(judged, POLICY, now).flags}


def reasons(flag: Flag) -> dict[str, tuple[int, int, str]]:
    return {r.code: (r.observed, r.threshold, r.severity.name) for r in flag.reasons}


def lenders(count: int, each: int = 1_000) -> list[LenderRecord]:
    return [record(f"lender-{n}", facility(each)) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "severity"),
    [(1, None), (2, "INFO"), (3, "WATCH"), (4, "HIGH"), (5, "HIGH"), (6, "CRITICAL")],
)
def test_active_lenders(count: int, severity: str | None) -> None:
    found = flags(profile(*lenders(count))).get("MULTI_LENDER")
    assert (found.severity.name if found else None) == severity
    if found:
        assert reasons(found)["ACTIVE_LENDERS_AT_LEAST"][0] == count
        assert found.clearing.condition == "FEWER_ACTIVE_LENDERS"
        assert found.clearing.clear_time is None


def test_a_guarantee_is_no_debt() -> None:
    judged = profile(*lenders(1), record("b", facility(9_000_000, role=Role.GUARANTOR)))
    assert flags(judged) == {}
    assert assess(judged, POLICY, NOW).active_lenders == 1


@pytest.mark.parametrize(
    ("own", "others", "observed", "severity"),
    [
        (0, 1_999_999, None, None),  # band [1M, 2M): at most 1,999,999
        (3_000_000, 2_000_000 - 1, 4_000_000, None),  # at most 4,999,999
        (3_000_001, 2_000_000 - 1, 4_000_001, "WATCH"),  # at most 5,000,000
        (0, 5_000_000, 5_000_000, "WATCH"),  # at most 9,999,999
        (1, 5_000_000, 5_000_001, "HIGH"),
        (0, 20_000_000, 20_000_000, "CRITICAL"),  # at most 49,999,999
    ],
)
def test_joint_outstanding_is_judged_by_the_most_that_it_may_be(
    own: int, others: int, observed: int | None, severity: str | None
) -> None:
    judged = profile(
        record(ASKER, facility(own)), record("b", facility(others - 7)), record("c", facility(7))
    )
    found = reasons(flags(judged)["MULTI_LENDER"]).get("JOINT_OUTSTANDING_AT_LEAST")
    assert (found[2] if found else None) == severity
    if found:
        assert found[0] == observed


def test_what_one_lender_alone_is_owed_is_not_joint() -> None:
    assert flags(profile(record("b", facility(900_000_000)))) == {}


@pytest.mark.parametrize(
    ("count", "days", "code", "severity"),
    [
        (2, 1, None, None),
        (3, 1, "APPLICATIONS_7D_AT_LEAST", "WATCH"),
        (5, 1, "APPLICATIONS_7D_AT_LEAST", "HIGH"),
        (8, 1, "APPLICATIONS_7D_AT_LEAST", "CRITICAL"),
        (4, 9, None, None),
        (5, 9, "APPLICATIONS_15D_AT_LEAST", "WATCH"),
        (8, 9, "APPLICATIONS_15D_AT_LEAST", "HIGH"),
        (5, 20, None, None),
        (6, 20, "APPLICATIONS_1M_AT_LEAST", "WATCH"),
        (10, 20, "APPLICATIONS_1M_AT_LEAST", "HIGH"),
    ],
)
def test_applications(count: int, days: int, code: str | None, severity: str | None) -> None:
    asked = tuple(inquiry(f"l{n}", n, days) for n in range(1, count + 1))
    found = flags(profile(inquiries=asked)).get("RAPID_PROBING")
    assert (found is None) == (code is None)
    if found and code:
        assert reasons(found)[code][0] == count
        assert reasons(found)[code][2] == severity


def test_one_act_counts_once_however_often_it_is_seen() -> None:
    applied = event(EventKind.APPLIED, 2, reference(1))
    opened = event(EventKind.OPENED, 1, reference(1))
    judged = profile(
        record(ASKER, facility(), events=(applied, opened)),
        inquiries=(inquiry(ASKER, 1, 2.1), inquiry(ASKER, 1, 1)),
        present=inquiry(ASKER, 1),
    )
    assert indicator(judged, "applications_7d") == 1


def test_an_act_is_as_old_as_its_earliest_sight() -> None:
    judged = profile(
        record("b", events=(event(EventKind.APPLIED, 1, reference(1)),)),
        inquiries=(inquiry("b", 1, 40),),
    )
    assert indicator(judged, "applications_1m") == 0


def test_the_same_reference_at_two_lenders_is_two_acts() -> None:
    assert (
        indicator(profile(inquiries=(inquiry("a", 1, 1), inquiry("b", 1, 1))), "applications_7d")
        == 2
    )


def test_events_without_a_reference_count_each() -> None:
    applied = tuple(event(EventKind.APPLIED, days) for days in (1, 2, 3))
    assert indicator(profile(record("b", events=applied)), "applications_7d") == 3


def test_reviews_are_no_applications() -> None:
    asked = tuple(inquiry("b", n, 1, seeking=False) for n in range(5))
    assert indicator(profile(inquiries=asked), "applications_7d") == 0


def test_the_future_does_not_count() -> None:
    later = PastInquiry("b", reference(1), int(NOW.timestamp()) + 1, True)
    assert indicator(profile(inquiries=(later,)), "applications_7d") == 0


def test_the_window_begins_at_local_midnight() -> None:
    start = datetime(2026, 11, 18, tzinfo=ZONE)
    for moment, count in ((start, 1), (start - timedelta(seconds=1), 0)):
        asked = PastInquiry("b", reference(1), int(moment.timestamp()), True)
        assert indicator(profile(inquiries=(asked,)), "applications_7d") == count


@pytest.mark.parametrize(
    ("lender", "days", "told", "severity"),
    [
        (ASKER, 0, 0, None),
        (ASKER, 1, 1, "WATCH"),
        (ASKER, 29, 29, "WATCH"),
        (ASKER, 30, 30, "HIGH"),
        (ASKER, 91, 91, "CRITICAL"),
        ("b", 6, 1, "WATCH"),
        ("b", 29, 15, "WATCH"),
        ("b", 30, 30, "HIGH"),
        ("b", 119, 90, "CRITICAL"),
    ],
)
def test_days_past_due_are_exact_for_ones_own_and_in_steps_for_others(
    lender: str, days: int, told: int, severity: str | None
) -> None:
    judged = profile(record(lender, facility(unpaid_for=days)))
    assert indicator(judged, "worst_days_past_due") == told
    found = flags(judged).get("REPAYMENT_IRREGULARITY")
    assert (found.severity.name if found else None) == severity
    if found:
        assert found.clearing.condition == "OVERDUE_PAID"


def history(*statuses: PaymentStatus, latest: int = THIS_MONTH, paid: int = 100) -> PaymentHistory:
    months = len(statuses)
    return PaymentHistory("USD", latest, statuses, (100,) * months, (paid,) * months)


def test_irregular_months_are_counted_once_over_all_lenders() -> None:
    judged = profile(
        record("a", histories=(history(GOOD, LATE, LATE),)),
        record("b", histories=(history(GOOD, GOOD, LATE, LATE),)),
    )
    found = flags(judged)["REPAYMENT_IRREGULARITY"]
    assert reasons(found) == {"IRREGULAR_MONTHS_AT_LEAST": (3, 2, "WATCH")}
    # August to October 2026: only one of them is left in the twelve from 1 September 2027 on.
    assert found.clearing.clear_time == int(datetime(2027, 9, 6, tzinfo=ZONE).timestamp())


def test_a_write_off_is_critical_for_two_years() -> None:
    judged = profile(record("b", events=(event(EventKind.WRITTEN_OFF, 700),)))
    found = flags(judged)["REPAYMENT_IRREGULARITY"]
    assert found.severity is Severity.CRITICAL
    assert found.clearing.condition == "WINDOW_PASSES"
    assert found.clearing.clear_time is not None
    assert flags(judged, datetime.fromtimestamp(found.clearing.clear_time, ZONE)) == {}


@pytest.mark.parametrize(
    ("paid", "told", "severity"),
    [(100, 100, None), (90, 90, None), (89, 80, "WATCH"), (49, 40, "HIGH")],
)
def test_paid_percent_is_of_the_three_complete_months(
    paid: int, told: int, severity: str | None
) -> None:
    # What this unfinished month says does not matter yet.
    unfinished = PaymentHistory("USD", THIS_MONTH, (GOOD,) * 4, (100,) * 4, (0, paid, paid, paid))
    judged = profile(record("b", histories=(unfinished,)))
    assert indicator(judged, "paid_percent_3m") == told
    found = flags(judged).get("REPAYMENT_IRREGULARITY")
    assert (found.severity.name if found else None) == severity


def test_the_worst_currency_counts() -> None:
    other = PaymentHistory("CNY", THIS_MONTH - 1, (GOOD,), (100,), (10,))
    judged = profile(record("b", histories=(history(GOOD, GOOD), other)))
    assert indicator(judged, "paid_percent_3m") == 10


def test_without_anything_due_there_is_no_percentage() -> None:
    names = [i.code for i in assess(profile(record("b", facility())), POLICY, NOW).indicators]
    assert "paid_percent_3m" not in names


def test_the_gravest_flag_comes_first() -> None:
    judged = profile(
        record("a", facility(unpaid_for=100)),
        record("b", facility()),
        inquiries=tuple(inquiry("c", n, 1) for n in range(5)),
    )
    found = assess(judged, POLICY, NOW).flags
    assert [(flag.code, flag.severity.name) for flag in found] == [
        ("REPAYMENT_IRREGULARITY", "CRITICAL"),
        ("RAPID_PROBING", "HIGH"),
        ("MULTI_LENDER", "INFO"),
    ]


def indicator(judged: Profile, code: str) -> int:
    return next(i.value for i in assess(judged, POLICY, NOW).indicators if i.code == code)
