"""Status, coverage, disclosure, and what must hold for every profile."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil.answer import AnswerStatus, ExclusionReason
from counterfoil.exposure import EventKind, PaymentHistory, PaymentStatus, Role
from counterfoil_gateway.risk import policy as risk_policy
from counterfoil_gateway.risk.assess import Assessment, assess
from counterfoil_gateway.risk.profile import LenderRecord, Profile
from support.profiles import (
    ASKER,
    DEFAULT,
    NOW,
    POLICY,
    ZONE,
    at,
    event,
    facility,
    inquiry,
    profile,
    record,
    reference,
)

BANDED = risk_policy.load(DEFAULT.replace(b'"exact"', b'"banded"'))


def judged(given_profile: Profile) -> Assessment:
    return assess(given_profile, POLICY, NOW)


def test_somebody_nobody_knows_has_no_record() -> None:
    assert judged(profile()).status is AnswerStatus.NO_RECORD
    present = inquiry(ASKER, 1)
    assert judged(profile(present=present)).status is AnswerStatus.NO_RECORD
    # Asked again about the same application, nothing more is known.
    again = profile(inquiries=(inquiry(ASKER, 1, 0.1),), present=present)
    assert judged(again).status is AnswerStatus.NO_RECORD


def test_ones_own_record_of_the_present_application_is_no_knowledge() -> None:
    own = record(ASKER, events=(event(EventKind.APPLIED, 0, reference(1)),))
    assert judged(profile(own, present=inquiry(ASKER, 1))).status is AnswerStatus.NO_RECORD
    assert judged(profile(own, present=inquiry(ASKER, 2))).status is AnswerStatus.ASSESSED
    other = dataclasses.replace(own, lender="b")
    assert judged(profile(other, present=inquiry(ASKER, 1))).status is AnswerStatus.ASSESSED


def test_another_act_or_a_record_is_knowledge() -> None:
    assert judged(profile(inquiries=(inquiry("b", 1, 1),))).status is AnswerStatus.ASSESSED
    assert judged(profile(record("b"))).status is AnswerStatus.ASSESSED


@pytest.mark.parametrize(
    ("counted", "fresh", "status"),
    [
        (0, 0, AnswerStatus.NO_COVERAGE),
        (5, 2, AnswerStatus.STALE),
        (5, 3, AnswerStatus.ASSESSED),
    ],
)
def test_the_status_tells_how_far_the_answer_reaches(
    counted: int, fresh: int, status: AnswerStatus
) -> None:
    made = profile(record("b", facility()), counted_lender_count=counted, fresh_count=fresh)
    assert judged(made).status is status


def test_coverage_names_what_was_left_out_and_what_is_marked() -> None:
    marked = dataclasses.replace(record("b"), marks=frozenset({ExclusionReason.STALE_COUNTED}))
    full = tuple(event(EventKind.CLOSED, 1) for _ in range(200))
    made = profile(
        marked,
        record("c", events=full, omitted=3),
        left_out={ExclusionReason.SUSPENDED_LENDER: 2},
        fresh_count=4,
        member_count=5,
    )
    coverage = judged(made).coverage
    assert (coverage.member_count, coverage.fresh_percent) == (5, 80)
    assert {e.reason.name: e.lender_count for e in coverage.exclusions} == {
        "STALE_COUNTED": 1,
        "SUSPENDED_LENDER": 2,
        "EVENTS_OMITTED": 1,
    }
    week = coverage.oldest_complete_week
    assert week is not None
    assert datetime.fromtimestamp(week, ZONE) == datetime(2026, 11, 30, tzinfo=ZONE)


def test_banded_disclosure_bands_every_count_of_lenders() -> None:
    made = profile(
        *(record(f"l{n}", facility()) for n in range(4)), member_count=17, fresh_count=17
    )
    told = assess(made, BANDED, NOW)
    assert told.active_lenders == 3
    assert told.coverage.member_count == 10
    reasons = [r for flag in told.flags for r in flag.reasons]
    assert [(r.code, r.observed, r.threshold) for r in reasons] == [
        ("ACTIVE_LENDERS_AT_LEAST", 3, 3)
    ]


def test_sums_beyond_every_bound_do_not_break_an_answer() -> None:
    """A hostile lender must not be able to make a borrower unanswerable."""
    made = profile(record("b", *(facility(10**15) for _ in range(64))), record(ASKER, facility()))
    band = judged(made).joint_outstanding[0]
    assert band.low_minor > 10**15


roles = st.sampled_from(Role)
amounts = st.integers(0, 10**9)


@st.composite
def records(draw: st.DrawFn, lender: str) -> LenderRecord:
    facilities = draw(
        st.lists(
            st.builds(
                facility,
                amounts,
                role=roles,
                currency=st.sampled_from(["USD", "CNY"]),
                unpaid_for=st.none() | st.integers(0, 400),
            ),
            max_size=3,
        )
    )
    events = draw(
        st.lists(
            st.builds(
                event,
                st.sampled_from(EventKind),
                st.floats(0, 700),
                st.integers(0, 6).map(reference),
            ),
            max_size=6,
        )
    )
    return record(lender, *facilities, events=tuple(events))


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    names = draw(st.lists(st.sampled_from([ASKER, "b", "c", "d", "e"]), unique=True, max_size=5))
    asked = draw(
        st.lists(
            st.builds(inquiry, st.sampled_from(["b", "c"]), st.integers(1, 8), st.floats(0, 45)),
            max_size=8,
        )
    )
    return profile(*(draw(records(name)) for name in names), inquiries=tuple(asked))


@settings(max_examples=60)
@given(profiles(), st.randoms())
def test_the_order_of_records_and_inquiries_does_not_matter(made: Profile, rng: object) -> None:
    mixed = list(made.records)
    rng.shuffle(mixed)  # type: ignore[attr-defined]
    other = dataclasses.replace(
        made, records=tuple(mixed), inquiries=tuple(reversed(made.inquiries))
    )
    assert judged(made) == judged(other)


@settings(max_examples=60)
@given(profiles())
def test_the_told_band_holds_what_is_owed(made: Profile) -> None:
    owed: dict[str, int] = {}
    for item in made.records:
        for f in item.exposure.facilities:
            if f.role is not Role.GUARANTOR:
                owed[f.currency] = owed.get(f.currency, 0) + f.outstanding_minor
    bands = {band.currency: band for band in judged(made).joint_outstanding}
    assert bands.keys() == owed.keys()
    for currency, total in owed.items():
        assert bands[currency].low_minor <= total < bands[currency].high_minor


@settings(max_examples=60)
@given(profiles(), st.integers(0, 10**7))
def test_varying_ones_own_figure_tells_nothing_more_of_others(made: Profile, own: int) -> None:
    """The band moves by exactly what the asker added: its width and others' part stay."""
    others = tuple(item for item in made.records if item.lender != ASKER)
    without = dataclasses.replace(made, records=(*others, record(ASKER, facility(0))))
    varied = dataclasses.replace(made, records=(*others, record(ASKER, facility(own))))
    before = {b.currency: (b.low_minor, b.high_minor) for b in judged(without).joint_outstanding}
    after = {b.currency: (b.low_minor, b.high_minor) for b in judged(varied).joint_outstanding}
    low, high = before.pop("USD")
    assert after.pop("USD") == (low + own, high + own)
    assert before == after


@settings(max_examples=60)
@given(st.data())
def test_varying_ones_own_history_tells_nothing_more_of_others(data: st.DataObject) -> None:
    """What is told of both is made of what is told of each alone, never of their sum."""
    own = record(ASKER, histories=(data.draw(payment_histories()),))
    others = [record(name, histories=(data.draw(payment_histories()),)) for name in ("b", "c")]

    def told(*given_records: LenderRecord) -> tuple[int, int]:
        values = {i.code: i.value for i in judged(profile(*given_records)).indicators}
        return values["irregular_months_12m"], values.get("paid_percent_3m", 100)

    (months, percent), (own_months, own_percent) = told(*others), told(own)
    assert told(own, *others) == (max(months, own_months), min(percent, own_percent))


@st.composite
def payment_histories(draw: st.DrawFn) -> PaymentHistory:
    column = st.lists(st.integers(0, 10**6), min_size=12, max_size=12).map(tuple)
    statuses = st.lists(st.sampled_from(PaymentStatus), min_size=12, max_size=12).map(tuple)
    return PaymentHistory("USD", 682, draw(statuses), draw(column), draw(column))


@settings(max_examples=60)
@given(profiles())
def test_another_lender_never_lowers_the_count(made: Profile) -> None:
    more = dataclasses.replace(made, records=(*made.records, record("zz", facility())))
    assert judged(more).active_lenders == judged(made).active_lenders + 1


@settings(max_examples=60)
@given(profiles())
def test_nothing_told_names_a_lender_or_an_application(made: Profile) -> None:
    text = repr(judged(made))
    for item in made.records:
        assert f"'{item.lender}'" not in text
    assert repr(reference(3))[2:-1] not in text


@settings(max_examples=100)
@given(profiles())
def test_a_flag_that_time_clears_is_gone_by_then_and_not_a_week_before(made: Profile) -> None:
    for flag in judged(made).flags:
        assert flag.reasons
        assert flag.severity == max(reason.severity for reason in flag.reasons)
        if flag.clearing.condition != "WINDOW_PASSES" or flag.clearing.clear_time is None:
            continue
        cleared = datetime.fromtimestamp(flag.clearing.clear_time, ZONE)
        assert cleared.weekday() == 0
        assert flag.code not in {f.code for f in assess(made, POLICY, cleared).flags}
        before = cleared - timedelta(days=7, seconds=1)
        if before > NOW:
            assert flag.code in {f.code for f in assess(made, POLICY, before).flags}


def test_an_assessment_is_repeatable() -> None:
    made = profile(record("b", facility()), oldest_complete_as_of=at(3))
    assert judged(made) == judged(made)
