"""Members in SQLite: admission, enrolment, keys, certificates, token epochs, policies."""

from __future__ import annotations

import aiosqlite

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import InstitutionKind
from counterfoil.membership import MemberRole, MemberState

from . import values as v
from .sqlite_rows import active_lender, append_entry, next_entry, one

FIRST_EPOCH = 1
FIRST_GENERATION = 1

# One statement, so one snapshot: members with their roles as a bit mask, then the token epoch.
_REGISTRY = """
SELECT m.lender, m.institution_kind, m.state, m.admitted_us, m.suspended_us,
       (SELECT record_key FROM record_keys k WHERE k.lender_id = m.lender_id
         ORDER BY valid_from DESC LIMIT 1),
       (SELECT max(expire_us) FROM certificates c WHERE c.lender_id = m.lender_id),
       (SELECT sum(1 << role) FROM member_roles r WHERE r.lender_id = m.lender_id),
       e.epoch, e.generation, e.public_key
  FROM members m
  LEFT JOIN token_epochs e ON e.evaluator_id = m.lender_id
        AND e.epoch = (SELECT max(epoch) FROM token_epochs)
 ORDER BY m.lender
"""


async def registry(db: aiosqlite.Connection) -> v.Registry:
    """Every member and the token epoch in force."""
    members: dict[str, v.Member] = {}
    epoch: v.TokenEpoch | None = None
    for row in await db.execute_fetchall(_REGISTRY):
        lender, kind, state, admitted, suspended, key, expire, roles, number, share, public = row
        members[lender] = v.Member(
            lender=lender,
            institution_kind=InstitutionKind(kind),
            roles=frozenset(role for role in MemberRole if (roles or 0) >> role & 1),
            state=MemberState(state),
            admitted_us=admitted,
            suspended_us=suspended,
            record_key=key,
            certificate_expire_us=expire,
        )
        if number is not None:
            epoch = v.TokenEpoch(number, share, lender, public)
    return v.Registry(members, epoch)


async def admit(db: aiosqlite.Connection, admission: v.Admission) -> None:
    """See `Store.admit`."""
    row = await one(
        db,
        "SELECT lender_id, institution_kind, state FROM members WHERE lender = ?",
        (admission.lender,),
    )
    if MemberRole.EVALUATOR in admission.roles:
        taken = await one(
            db,
            "SELECT 1 FROM member_roles JOIN members USING (lender_id)"
            " WHERE role = ? AND lender <> ?",
            (int(MemberRole.EVALUATOR), admission.lender),
        )
        if taken is not None:
            raise CounterfoilError(
                Reason.ALREADY_EXISTS, "the network has its evaluator already", field="roles"
            )
    if row is not None:
        member, kind, state = row
        if state != MemberState.ADMITTED:
            raise CounterfoilError(Reason.ALREADY_EXISTS, "the member is enrolled already")
        roles = {
            found[0]
            for found in await db.execute_fetchall(
                "SELECT role FROM member_roles WHERE lender_id = ?", (member,)
            )
        }
        if kind != admission.institution_kind or roles != {int(role) for role in admission.roles}:
            raise CounterfoilError(
                Reason.ALREADY_EXISTS, "the member was admitted with another kind or other roles"
            )
    else:
        cursor = await db.execute(
            "INSERT INTO members (lender, institution_kind, state, admitted_us)"
            " VALUES (?, ?, ?, ?)",
            (
                admission.lender,
                int(admission.institution_kind),
                int(MemberState.ADMITTED),
                admission.admitted_us,
            ),
        )
        member = int(cursor.lastrowid or 0)
        await db.executemany(
            "INSERT INTO member_roles (lender_id, role) VALUES (?, ?)",
            [(member, int(role)) for role in sorted(admission.roles)],
        )
        await _note_change(db, member, MemberState.ADMITTED, "admitted", admission.admitted_us)
    await db.execute(
        "INSERT INTO enrolment_tokens (lender_id, token_hash, expire_us) VALUES (?, ?, ?)"
        " ON CONFLICT (lender_id) DO UPDATE"
        " SET token_hash = excluded.token_hash, expire_us = excluded.expire_us",
        (member, admission.token_hash, admission.expire_us),
    )


async def set_state(
    db: aiosqlite.Connection, lender: str, state: MemberState, reason: str, changed_us: int
) -> None:
    """See `Store.set_state`."""
    row = await one(db, "SELECT lender_id, state FROM members WHERE lender = ?", (lender,))
    if row is None or row[1] == MemberState.ADMITTED:
        raise CounterfoilError(Reason.LENDER_UNKNOWN, "no such enrolled member", field="lender")
    if row[1] == state:
        return
    await db.execute(
        "UPDATE members SET state = ?, suspended_us = ? WHERE lender_id = ?",
        (int(state), changed_us if state is MemberState.SUSPENDED else None, row[0]),
    )
    await _note_change(db, row[0], state, reason, changed_us)


async def invitation(db: aiosqlite.Connection, token_hash: bytes) -> v.Invitation | None:
    """See `Store.invitation`."""
    row = await one(
        db,
        "SELECT m.lender, t.expire_us, t.statement_hash, c.pem FROM enrolment_tokens t"
        " JOIN members m USING (lender_id) LEFT JOIN certificates c ON c.serial = t.serial"
        " WHERE t.token_hash = ?",
        (token_hash,),
    )
    return None if row is None else v.Invitation(*row)


async def enrol(db: aiosqlite.Connection, enrolment: v.Enrolment) -> None:
    """See `Store.enrol`."""
    lender = enrolment.certificate.lender
    row = await one(
        db,
        "SELECT lender_id FROM enrolment_tokens JOIN members USING (lender_id)"
        " WHERE token_hash = ? AND statement_hash IS NULL AND lender = ? AND state = ?",
        (enrolment.token_hash, lender, int(MemberState.ADMITTED)),
    )
    if row is None:
        raise CounterfoilError(
            Reason.ENROLMENT_TOKEN_INVALID, "the one-time token is unknown or used"
        )
    member = int(row[0])
    await _require_free_key(db, enrolment.record_key)
    public_key = enrolment.evaluator_public_key
    if public_key is not None and await one(db, "SELECT 1 FROM token_epochs") is not None:
        raise CounterfoilError(Reason.KEY_IN_USE, "the token epoch has its evaluator already")
    index = await next_entry(db)
    await append_entry(
        db, v.Entry(index, v.EntryKind.ENROLMENT, enrolment.envelope, enrolment.received_us)
    )
    await _insert_key(db, enrolment.record_key, member, index)
    await _insert_certificate(db, member, enrolment.certificate)
    if public_key is not None:
        await db.execute(
            "INSERT INTO token_epochs (epoch, generation, evaluator_id, public_key, opened_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (FIRST_EPOCH, FIRST_GENERATION, member, public_key, index),
        )
    await db.execute(
        "UPDATE enrolment_tokens SET statement_hash = ?, serial = ? WHERE lender_id = ?",
        (enrolment.statement_hash, enrolment.certificate.serial, member),
    )
    await db.execute(
        "UPDATE members SET state = ? WHERE lender_id = ?", (int(MemberState.ACTIVE), member)
    )
    await _note_change(db, member, MemberState.ACTIVE, "enrolled", enrolment.received_us)


async def rotate(db: aiosqlite.Connection, rotation: v.Rotation) -> None:
    """See `Store.rotate`."""
    member, key = await active_lender(db, rotation.lender)
    if key != rotation.old_key:
        raise CounterfoilError(Reason.SIGNATURE_INVALID, "the old key is not in force")
    await _require_free_key(db, rotation.new_key)
    index = await next_entry(db)
    await append_entry(
        db, v.Entry(index, v.EntryKind.ROTATION, rotation.envelope, rotation.received_us)
    )
    await _insert_key(db, rotation.new_key, member, index)


async def add_certificate(db: aiosqlite.Connection, certificate: v.Certificate) -> None:
    """See `Store.add_certificate`."""
    member, _ = await active_lender(db, certificate.lender)
    await _insert_certificate(db, member, certificate)


async def log_policy(db: aiosqlite.Connection, policy: v.LoggedPolicy) -> bool:
    """See `Store.log_policy`."""
    known = await one(db, "SELECT 1 FROM policies WHERE policy_hash = ?", (policy.policy_hash,))
    if known is not None:
        return False
    index = await next_entry(db)
    await append_entry(db, v.Entry(index, v.EntryKind.POLICY, policy.envelope, policy.received_us))
    await db.execute(
        "INSERT INTO policies (policy_hash, version, entry_index) VALUES (?, ?, ?)",
        (policy.policy_hash, policy.version, index),
    )
    return True


async def insert_identity(db: aiosqlite.Connection, identity: v.Identity) -> None:
    """Writes who this gateway is; only into a new store."""
    await db.execute(
        "INSERT INTO network (only, network, gateway, answer_key, created_us)"
        " VALUES (1, ?, ?, ?, ?)",
        (identity.network, identity.gateway, identity.answer_key, identity.created_us),
    )


async def identity(db: aiosqlite.Connection) -> v.Identity:
    """See `Store.identity`."""
    row = await one(db, "SELECT network, gateway, answer_key, created_us FROM network")
    if row is None:
        raise CounterfoilError(Reason.STORE_FAILED, "the store does not say whose it is")
    return v.Identity(*row)


async def _require_free_key(db: aiosqlite.Connection, key: bytes) -> None:
    taken = await one(
        db,
        "SELECT 1 FROM record_keys WHERE record_key = ?1"
        " UNION ALL SELECT 1 FROM network WHERE answer_key = ?1",
        (key,),
    )
    if taken is not None:
        raise CounterfoilError(Reason.KEY_IN_USE, "the key is registered already")


async def _insert_key(db: aiosqlite.Connection, key: bytes, member: int, index: int) -> None:
    await db.execute(
        "INSERT INTO record_keys (record_key, lender_id, valid_from) VALUES (?, ?, ?)",
        (key, member, index),
    )


async def _insert_certificate(
    db: aiosqlite.Connection, member: int, certificate: v.Certificate
) -> None:
    await db.execute(
        "INSERT INTO certificates (serial, lender_id, pem, issued_us, expire_us)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            certificate.serial,
            member,
            certificate.pem,
            certificate.issued_us,
            certificate.expire_us,
        ),
    )


async def _note_change(
    db: aiosqlite.Connection, member: int, state: MemberState, reason: str, changed_us: int
) -> None:
    await db.execute(
        "INSERT INTO member_changes (lender_id, state, reason, changed_us) VALUES (?, ?, ?, ?)",
        (member, int(state), reason, changed_us),
    )
