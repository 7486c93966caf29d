"""What every store promises about members: tokens and keys count once, states are obeyed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.gateway.conformance import (
    CREATED_US,
    EVALUATOR,
    IDENTITY,
    Backend,
    admission,
    answered,
    certificate,
    contents,
    digest,
    enrol,
    enrolment,
    logged_policy,
    new_batch,
    record_key,
    refused,
    rotation,
    seal,
    settled,
)

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import InstitutionKind
from counterfoil.membership import MemberState
from counterfoil_gateway.store import values as v
from counterfoil_gateway.store.base import Store


async def test_an_admitted_member_is_known_but_not_enrolled(store: Store) -> None:
    await store.admit(admission("harbour", EVALUATOR))
    registry = await store.registry()
    assert registry == v.Registry(
        {
            "harbour": v.Member(
                lender="harbour",
                institution_kind=InstitutionKind.BANK,
                roles=EVALUATOR,
                state=MemberState.ADMITTED,
                admitted_us=CREATED_US,
                suspended_us=None,
                record_key=None,
                certificate_expire_us=None,
            )
        },
        None,
    )
    assert await store.invitation(digest("token", "harbour", 1)) == v.Invitation(
        "harbour", CREATED_US + 1_000_000, None, None
    )


async def test_a_new_invitation_replaces_the_unused_one(store: Store) -> None:
    await store.admit(admission("harbour"))
    await store.admit(admission("harbour", try_=2))
    assert await store.invitation(digest("token", "harbour", 1)) is None
    assert await store.invitation(digest("token", "harbour", 2)) is not None
    late = store.enrol(enrolment("harbour"))
    assert await refused(late) is Reason.ENROLMENT_TOKEN_INVALID
    await store.enrol(replace(enrolment("harbour"), token_hash=digest("token", "harbour", 2)))


@pytest.mark.parametrize(
    "again",
    [
        replace(admission("harbour"), institution_kind=InstitutionKind.ONLINE_LENDER),
        admission("harbour", EVALUATOR),
        admission("pine", EVALUATOR),
        admission("lotus", try_=2),
    ],
    ids=["another kind", "another role", "a second evaluator", "an enrolled member"],
)
async def test_a_refused_admission_has_no_effect(store: Store, again: v.Admission) -> None:
    await store.admit(admission("lotus", EVALUATOR))
    await store.enrol(enrolment("lotus", evaluates=True))
    await store.admit(admission("harbour"))
    before = await contents(store)
    assert await refused(store.admit(again)) is Reason.ALREADY_EXISTS
    assert await contents(store) == before
    assert await store.invitation(again.token_hash) == (
        await store.invitation(digest("token", "harbour", 1)) if again.lender == "harbour" else None
    )


async def test_an_enrolment_makes_a_member_and_opens_the_epoch(store: Store) -> None:
    await store.admit(admission("harbour", EVALUATOR))
    await store.enrol(enrolment("harbour", evaluates=True))
    registry = await store.registry()
    member = registry.members["harbour"]
    assert (member.state, member.record_key) == (MemberState.ACTIVE, record_key("harbour"))
    assert member.certificate_expire_us == certificate("harbour").expire_us
    assert registry.token_epoch == v.TokenEpoch(1, 1, "harbour", digest("public", "harbour"))
    assert await store.invitation(digest("token", "harbour", 1)) == v.Invitation(
        "harbour",
        CREATED_US + 1_000_000,
        digest("statement", "harbour"),
        certificate("harbour").pem,
    )
    assert await store.entries(0, 9) == (
        v.Entry(0, v.EntryKind.ENROLMENT, b"enrolment of harbour", CREATED_US + 1),
    )


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("unknown token", Reason.ENROLMENT_TOKEN_INVALID),
        ("used token", Reason.ENROLMENT_TOKEN_INVALID),
        ("another's token", Reason.ENROLMENT_TOKEN_INVALID),
        ("another's key", Reason.KEY_IN_USE),
        ("a replaced key", Reason.KEY_IN_USE),
        ("the answer key", Reason.KEY_IN_USE),
        ("a second evaluator key", Reason.KEY_IN_USE),
    ],
)
async def test_a_refused_enrolment_has_no_effect(store: Store, case: str, reason: Reason) -> None:
    await store.admit(admission("lotus", EVALUATOR))
    await store.enrol(enrolment("lotus", evaluates=True))
    await store.rotate(rotation("lotus"))
    await store.admit(admission("harbour"))
    good = enrolment("harbour")
    bad = {
        "unknown token": replace(good, token_hash=digest("unknown")),
        "used token": enrolment("lotus"),
        "another's token": replace(good, certificate=certificate("pine")),
        "another's key": replace(good, record_key=record_key("lotus", 2)),
        "a replaced key": replace(good, record_key=record_key("lotus", 1)),
        "the answer key": replace(good, record_key=IDENTITY.answer_key),
        "a second evaluator key": replace(good, evaluator_public_key=digest("public")),
    }
    before = await contents(store)
    assert await refused(store.enrol(bad[case])) is reason
    assert await contents(store) == before
    await store.enrol(good)


async def test_a_token_counts_once_even_at_once(store: Store) -> None:
    await store.admit(admission("harbour"))
    other = replace(
        enrolment("harbour"),
        record_key=record_key("harbour", 7),
        certificate=certificate("harbour", "abc"),
    )
    first, second = await settled(store.enrol(enrolment("harbour")), store.enrol(other))
    assert first is None
    assert isinstance(second, CounterfoilError)
    assert second.reason is Reason.ENROLMENT_TOKEN_INVALID
    assert (await store.registry()).members["harbour"].record_key == record_key("harbour")


async def test_a_rotated_key_is_in_force_from_its_entry_on(store: Store) -> None:
    await enrol(store, "harbour")
    await store.accept_batch(new_batch("harbour", 1), seal)
    await store.rotate(rotation("harbour"))
    assert (await store.registry()).members["harbour"].record_key == record_key("harbour", 2)
    old = store.accept_batch(new_batch("harbour", 2), seal)
    assert await refused(old) is Reason.SIGNATURE_INVALID
    assert (await store.accept_batch(new_batch("harbour", 2, key=2), seal)).entry_index == 3
    assert await store.entries(2, 1) == (
        v.Entry(2, v.EntryKind.ROTATION, b"rotation of harbour", CREATED_US + 2),
    )
    await store.rotate(rotation("harbour", 3))
    assert (await store.registry()).members["harbour"].record_key == record_key("harbour", 3)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("an old key not in force", Reason.SIGNATURE_INVALID),
        ("a key used before", Reason.KEY_IN_USE),
        ("another's key", Reason.KEY_IN_USE),
        ("the answer key", Reason.KEY_IN_USE),
        ("a stranger", Reason.LENDER_UNKNOWN),
        ("not yet enrolled", Reason.LENDER_UNKNOWN),
        ("a suspended member", Reason.LENDER_SUSPENDED),
    ],
)
async def test_a_refused_rotation_has_no_effect(store: Store, case: str, reason: Reason) -> None:
    await enrol(store, "harbour", "lotus", "pine")
    await store.admit(admission("invited"))
    await store.rotate(rotation("harbour"))
    await store.set_state("pine", MemberState.SUSPENDED, "test", CREATED_US)
    good = rotation("harbour", 3)
    bad = {
        "an old key not in force": replace(good, old_key=record_key("harbour", 1)),
        "a key used before": replace(good, new_key=record_key("harbour", 1)),
        "another's key": replace(good, new_key=record_key("lotus")),
        "the answer key": replace(good, new_key=IDENTITY.answer_key),
        "a stranger": rotation("nobody"),
        "not yet enrolled": rotation("invited"),
        "a suspended member": rotation("pine"),
    }
    before = await contents(store)
    assert await refused(store.rotate(bad[case])) is reason
    assert await contents(store) == before


async def test_a_renewed_certificate_counts_if_it_lasts_longer(store: Store) -> None:
    await enrol(store, "harbour")
    renewed = replace(certificate("harbour", "abc"), expire_us=CREATED_US + 99_000_000)
    await store.add_certificate(renewed)
    expire = (await store.registry()).members["harbour"].certificate_expire_us
    assert expire == CREATED_US + 99_000_000
    await store.set_state("harbour", MemberState.SUSPENDED, "test", CREATED_US)
    late = store.add_certificate(certificate("harbour", "def"))
    assert await refused(late) is Reason.LENDER_SUSPENDED
    stranger = store.add_certificate(certificate("nobody"))
    assert await refused(stranger) is Reason.LENDER_UNKNOWN


async def test_a_suspended_member_may_nothing_until_it_is_reinstated(store: Store) -> None:
    await enrol(store, "harbour")
    await store.set_state("harbour", MemberState.SUSPENDED, "test", CREATED_US + 5)
    member = (await store.registry()).members["harbour"]
    assert (member.state, member.suspended_us) == (MemberState.SUSPENDED, CREATED_US + 5)
    for work in (
        store.accept_batch(new_batch("harbour", 1), seal),
        store.record_inquiry(answered("harbour", 1)),
        store.rotate(rotation("harbour")),
    ):
        assert await refused(work) is Reason.LENDER_SUSPENDED
    await store.set_state("harbour", MemberState.SUSPENDED, "again", CREATED_US + 6)
    assert (await store.registry()).members["harbour"].suspended_us == CREATED_US + 5
    await store.set_state("harbour", MemberState.ACTIVE, "test", CREATED_US + 7)
    member = (await store.registry()).members["harbour"]
    assert (member.state, member.suspended_us) == (MemberState.ACTIVE, None)
    await store.accept_batch(new_batch("harbour", 1), seal)


async def test_only_an_enrolled_member_has_a_state_to_change(store: Store) -> None:
    await store.admit(admission("invited"))
    before = await contents(store)
    for lender in ("invited", "nobody"):
        change = store.set_state(lender, MemberState.SUSPENDED, "test", CREATED_US)
        assert await refused(change) is Reason.LENDER_UNKNOWN
    assert await contents(store) == before


async def test_an_operators_suspension_is_obeyed_by_the_daemons_store(
    store: Store, backend: Backend
) -> None:
    await enrol(store, "harbour")
    operator = await backend.open()
    try:
        await operator.set_state("harbour", MemberState.SUSPENDED, "test", CREATED_US)
    finally:
        await operator.close()
    late = store.accept_batch(new_batch("harbour", 1), seal)
    assert await refused(late) is Reason.LENDER_SUSPENDED


async def test_a_policy_is_logged_once(store: Store) -> None:
    assert await store.log_policy(logged_policy(1))
    assert not await store.log_policy(logged_policy(1))
    assert await store.log_policy(logged_policy(2))
    assert not await store.log_policy(logged_policy(1))
    kinds = [entry.kind for entry in await store.entries(0, 9)]
    assert kinds == [v.EntryKind.POLICY] * 2
