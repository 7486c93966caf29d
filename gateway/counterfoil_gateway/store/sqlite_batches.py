"""Batches in SQLite: acceptance in one transaction, openings, evidence of conflicts."""

from __future__ import annotations

from collections.abc import Callable

import aiosqlite

from counterfoil.errors import CounterfoilError, Reason

from . import values as v
from .sqlite_rows import (
    active_lender,
    append_entry,
    lender_id,
    next_entry,
    one,
    pack_records,
    unpack_records,
)


async def head(db: aiosqlite.Connection, lender: str) -> v.Head | None:
    """See `Store.head`."""
    row = await one(
        db,
        "SELECT sequence, statement_hash, as_of, complete_as_of FROM heads"
        " JOIN members USING (lender_id) WHERE lender = ?",
        (lender,),
    )
    return None if row is None else v.Head(*row)


async def batch(db: aiosqlite.Connection, lender: str, sequence: int) -> v.StoredBatch | None:
    """See `Store.batch`."""
    row = await one(
        db,
        "SELECT lender, sequence, entry_index, statement_hash, envelope, receipt, record_count,"
        " b.received_us FROM batches b JOIN members USING (lender_id)"
        " JOIN entries USING (entry_index) WHERE lender = ? AND sequence = ?",
        (lender, sequence),
    )
    return None if row is None else v.StoredBatch(*row)


async def openings(db: aiosqlite.Connection, lender: str, sequence: int) -> v.Openings | None:
    """See `Store.openings`."""
    row = await one(
        db,
        "SELECT salts, records FROM batch_openings JOIN members USING (lender_id)"
        " WHERE lender = ? AND sequence = ?",
        (lender, sequence),
    )
    return None if row is None else v.Openings(row[0], unpack_records(row[1]))


async def accept_batch(
    db: aiosqlite.Connection, new: v.NewBatch, seal: Callable[[int], v.Receipt]
) -> v.StoredBatch:
    """See `Store.accept_batch`."""
    statement = new.statement
    member, key = await active_lender(db, new.lender)
    if key != new.record_key:
        raise CounterfoilError(Reason.SIGNATURE_INVALID, "the record key is no longer in force")
    require_follows(await head(db, new.lender), new)
    index = await next_entry(db)
    receipt = seal(index)
    await append_entry(db, v.Entry(index, v.EntryKind.BATCH, new.envelope, receipt.received_us))
    await db.execute(
        "INSERT INTO batches (lender_id, sequence, entry_index, statement_hash, record_count,"
        " as_of, complete_as_of, received_us, receipt) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            member,
            statement.sequence,
            index,
            new.statement_hash,
            len(new.records),
            statement.as_of,
            statement.complete_as_of,
            receipt.received_us,
            receipt.envelope,
        ),
    )
    await db.execute(
        "INSERT INTO heads (lender_id, sequence, statement_hash, as_of, complete_as_of)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (lender_id) DO UPDATE SET"
        " sequence = excluded.sequence, statement_hash = excluded.statement_hash,"
        " as_of = excluded.as_of,"
        # A batch that declares nothing does not take back what an earlier one declared.
        " complete_as_of = coalesce(excluded.complete_as_of, complete_as_of)",
        (
            member,
            statement.sequence,
            new.statement_hash,
            statement.as_of,
            statement.complete_as_of,
        ),
    )
    if new.records:
        await _insert_records(db, member, new, receipt.received_us)
    return v.StoredBatch(
        lender=new.lender,
        sequence=statement.sequence,
        entry_index=index,
        statement_hash=new.statement_hash,
        envelope=new.envelope,
        receipt=receipt.envelope,
        record_count=len(new.records),
        received_us=receipt.received_us,
    )


async def _insert_records(
    db: aiosqlite.Connection, member: int, new: v.NewBatch, received_us: int
) -> None:
    sequence = new.statement.sequence
    await db.execute(
        "INSERT INTO batch_openings (lender_id, sequence, salts, records) VALUES (?, ?, ?, ?)",
        (member, sequence, new.salts, pack_records([item.record for item in new.records])),
    )
    rows = [
        (item.token, member, sequence, place, item.leaf, item.effective, received_us, item.record)
        for place, item in enumerate(new.records)
    ]
    rows.sort(key=lambda row: row[0])  # In key order the tree is walked once, not at random.
    await db.executemany(
        "INSERT INTO exposures (token, lender_id, sequence, leaf_index, leaf, effective,"
        " received_us, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (token, lender_id) DO UPDATE SET sequence = excluded.sequence,"
        " leaf_index = excluded.leaf_index, leaf = excluded.leaf, effective = excluded.effective,"
        " received_us = excluded.received_us, record = excluded.record",
        rows,
    )


def require_follows(last: v.Head | None, new: v.NewBatch) -> None:
    """Raises when a batch does not follow its lender's head."""
    expected = 1 if last is None else last.sequence + 1
    if new.statement.sequence > expected:
        raise CounterfoilError(Reason.SEQUENCE_GAP, f"the next sequence number is {expected}")
    if new.statement.sequence < expected:
        raise CounterfoilError(Reason.SEQUENCE_CONFLICT, "the sequence number is taken")
    previous = b"" if last is None else last.statement_hash
    if new.statement.previous_statement_hash != previous:
        raise CounterfoilError(
            Reason.PREVIOUS_HASH_MISMATCH, "the statement does not name the one before it"
        )


async def keep_conflict(db: aiosqlite.Connection, conflict: v.Conflict, most: int) -> bool:
    """See `Store.keep_conflict`."""
    member = await lender_id(db, conflict.lender)
    cursor = await db.execute(
        "INSERT INTO conflicts (lender_id, sequence, statement_hash, envelope, received_us)"
        " SELECT ?1, ?2, ?3, ?4, ?5 WHERE"
        " (SELECT count(*) FROM conflicts WHERE lender_id = ?1 AND sequence = ?2) < ?6"
        " ON CONFLICT DO NOTHING",
        (
            member,
            conflict.sequence,
            conflict.statement_hash,
            conflict.envelope,
            conflict.received_us,
            most,
        ),
    )
    return cursor.rowcount > 0


async def conflicts(db: aiosqlite.Connection, lender: str) -> tuple[v.Conflict, ...]:
    """See `Store.conflicts`."""
    rows = await db.execute_fetchall(
        "SELECT lender, sequence, statement_hash, envelope, received_us FROM conflicts"
        " JOIN members USING (lender_id) WHERE lender = ? ORDER BY sequence, received_us",
        (lender,),
    )
    return tuple(v.Conflict(*row) for row in rows)


async def entries(db: aiosqlite.Connection, first: int, count: int) -> tuple[v.Entry, ...]:
    """See `Store.entries`."""
    rows = await db.execute_fetchall(
        "SELECT entry_index, kind, envelope, received_us FROM entries"
        " WHERE entry_index >= ? ORDER BY entry_index LIMIT ?",
        (first, count),
    )
    return tuple(v.Entry(row[0], v.EntryKind(row[1]), row[2], row[3]) for row in rows)
