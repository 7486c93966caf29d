"""What the SQLite commands share: finding members, appending entries, packing openings."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import aiosqlite

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.membership import MemberState

from . import values as v

_LENGTH = struct.Struct(">I")


async def one(db: aiosqlite.Connection, sql: str, parameters: Sequence[Any] = ()) -> Any:
    """The first row, or None: one hop to the connection's thread."""
    for row in await db.execute_fetchall(sql, parameters):
        return row
    return None


async def lender_id(db: aiosqlite.Connection, lender: str) -> int:
    """A member's row id. Raises LENDER_UNKNOWN."""
    row = await one(db, "SELECT lender_id FROM members WHERE lender = ?", (lender,))
    if row is None:
        raise CounterfoilError(Reason.LENDER_UNKNOWN, "no such member")
    return int(row[0])


async def active_lender(db: aiosqlite.Connection, lender: str) -> tuple[int, bytes | None]:
    """An active member's row id and record key in force. LENDER_UNKNOWN, LENDER_SUSPENDED."""
    row = await one(
        db,
        "SELECT lender_id, state, (SELECT record_key FROM record_keys k"
        "   WHERE k.lender_id = m.lender_id ORDER BY valid_from DESC LIMIT 1)"
        " FROM members m WHERE lender = ?",
        (lender,),
    )
    if row is None:
        raise CounterfoilError(Reason.LENDER_UNKNOWN, "no such member")
    require_active(MemberState(row[1]))
    return int(row[0]), row[2]


def require_active(state: MemberState) -> None:
    """Raises LENDER_UNKNOWN for a member not yet enrolled, LENDER_SUSPENDED for a suspended one."""
    if state is MemberState.SUSPENDED:
        raise CounterfoilError(Reason.LENDER_SUSPENDED, "the member is suspended")
    if state is not MemberState.ACTIVE:
        raise CounterfoilError(Reason.LENDER_UNKNOWN, "the member is not enrolled")


async def next_entry(db: aiosqlite.Connection) -> int:
    """The index that the next entry gets; inside a write transaction nobody else can take it."""
    row = await one(db, "SELECT coalesce(max(entry_index) + 1, 0) FROM entries")
    return int(row[0])


async def append_entry(db: aiosqlite.Connection, entry: v.Entry) -> None:
    """Appends an entry at the index that `next_entry` gave."""
    await db.execute(
        "INSERT INTO entries (entry_index, kind, envelope, received_us) VALUES (?, ?, ?, ?)",
        (entry.index, entry.kind.value, entry.envelope, entry.received_us),
    )


def pack_records(records: Sequence[bytes]) -> bytes:
    """Records in one blob: each after its length in 4 bytes, big endian."""
    parts: list[bytes] = []
    for record in records:
        parts += (_LENGTH.pack(len(record)), record)
    return b"".join(parts)


def unpack_records(blob: bytes) -> tuple[bytes, ...]:
    """The inverse of `pack_records`."""
    records = []
    offset = 0
    while offset < len(blob):
        (length,) = _LENGTH.unpack_from(blob, offset)
        offset += _LENGTH.size
        records.append(blob[offset : offset + length])
        offset += length
    return tuple(records)
