"""Inquiries in SQLite: one token's view in one statement, answers kept beside their questions."""

from __future__ import annotations

import aiosqlite

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.membership import MemberState

from . import values as v
from .sqlite_rows import active_lender, one

# One statement, so one snapshot and one hop to the reader's thread. The first column tells what a
# row is; the others are shared by position.
_VIEW = """
SELECT 0, NULL, coalesce((SELECT max(entry_index) + 1 FROM entries), 0), NULL, NULL, NULL
UNION ALL
SELECT * FROM (
  SELECT 1, m.lender, m.state, m.suspended_us, h.as_of, h.complete_as_of
    FROM members m LEFT JOIN heads h USING (lender_id) WHERE m.state <> ?3 ORDER BY m.lender)
UNION ALL
SELECT * FROM (
  SELECT 2, m.lender, x.sequence, x.leaf_index, x.leaf, x.record
    FROM exposures x JOIN members m USING (lender_id) WHERE x.token = ?1 ORDER BY m.lender)
UNION ALL
SELECT * FROM (
  SELECT 3, m.lender, i.asked_us, i.application_reference, NULL, NULL
    FROM inquiries i JOIN members m USING (lender_id)
   WHERE i.token = ?1 AND i.received_us >= ?2 AND i.credit_seeking = 1
   ORDER BY i.received_us, i.rowid)
"""


async def view(db: aiosqlite.Connection, token: bytes, inquiries_since_us: int) -> v.TokenView:
    """See `Store.view`."""
    tree_size = 0
    standings: list[v.MemberStanding] = []
    records: list[v.CurrentRecord] = []
    inquiries: list[v.EarlierInquiry] = []
    parameters = (token, inquiries_since_us, int(MemberState.ADMITTED))
    for what, lender, a, b, c, d in await db.execute_fetchall(_VIEW, parameters):
        if what == 3:
            inquiries.append(v.EarlierInquiry(lender, b, a))
        elif what == 2:
            records.append(v.CurrentRecord(lender, a, b, c, d))
        elif what == 1:
            standings.append(v.MemberStanding(lender, MemberState(a), b, c, d))
        else:
            tree_size = a
    return v.TokenView(tree_size, tuple(records), tuple(inquiries), tuple(standings))


async def record_inquiry(db: aiosqlite.Connection, answered: v.AnsweredInquiry) -> None:
    """See `Store.record_inquiry`."""
    # One statement, so one hop to the writer's thread: this is the hot path.
    cursor = await db.execute(
        "INSERT INTO inquiries (inquiry_hash, lender_id, nonce, token, application_reference,"
        " credit_seeking, asked_us, received_us, interval_number, policy_hash, commitment_salt,"
        " records_used, envelope, answer)"
        " SELECT ?, lender_id, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
        " FROM members WHERE lender = ? AND state = ? ON CONFLICT DO NOTHING",
        (
            answered.inquiry_hash,
            answered.nonce,
            answered.token,
            answered.application_reference,
            int(answered.credit_seeking),
            answered.asked_us,
            answered.received_us,
            answered.interval_number,
            answered.policy_hash,
            answered.commitment_salt,
            answered.records_used,
            answered.envelope,
            answered.answer,
            answered.lender,
            int(MemberState.ACTIVE),
        ),
    )
    if cursor.rowcount == 0:
        await active_lender(db, answered.lender)
        raise CounterfoilError(Reason.INQUIRY_REPLAYED, "the inquiry was answered already")


async def answered(db: aiosqlite.Connection, inquiry_hash: bytes) -> v.AnsweredInquiry | None:
    """See `Store.answered`."""
    row = await one(
        db,
        "SELECT inquiry_hash, lender, nonce, token, application_reference, credit_seeking,"
        " asked_us, received_us, interval_number, policy_hash, commitment_salt, records_used,"
        " envelope, answer FROM inquiries JOIN members USING (lender_id) WHERE inquiry_hash = ?",
        (inquiry_hash,),
    )
    if row is None:
        return None
    values = list(row)
    values[5] = bool(values[5])
    return v.AnsweredInquiry(*values)


async def counts(db: aiosqlite.Connection) -> v.Counts:
    """See `Store.counts`."""
    row = await one(
        db,
        "SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM batches),"
        " (SELECT count(*) FROM exposures), (SELECT count(*) FROM inquiries),"
        " (SELECT count(*) FROM conflicts)",
    )
    return v.Counts(*row)
