"""The outbox: sealed batches on their way, receipts of those accepted, and where the gateway
stands."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from counterfoil.batch import SealedBatch, statement_hash
from counterfoil.dsse import Envelope
from counterfoil.wire import envelope_from_bytes, envelope_to_bytes

from ..vault import Vault
from .database import Database, Transaction

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Head:
    """The last accepted batch that the node knows of. Sequence 0: none."""

    sequence: int
    statement_hash: bytes
    as_of: int | None
    complete_as_of: int | None


@dataclass(frozen=True, slots=True)
class WaitingBatch:
    """A sealed batch without a receipt."""

    sequence: int
    statement_hash: bytes
    record_count: int
    envelope: Envelope
    salts: bytes = field(repr=False)
    records: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """One record of a batch: whose it is and which change it covers."""

    borrower_id: int
    change: int


async def head(database: Database) -> Head:
    """Where the gateway is known to stand."""
    row = await database.row(
        "SELECT sequence, statement_hash, as_of, complete_as_of FROM publishing"
    )
    assert row is not None
    return Head(*row)


async def waiting(database: Database, vault: Vault) -> WaitingBatch | None:
    """The batch that waits for its receipt; there is at most one."""
    row = await database.row(
        "SELECT sequence, statement_hash, record_count, statement, openings FROM batches"
        " WHERE receipt IS NULL ORDER BY sequence LIMIT 1"
    )
    if row is None:
        return None
    sequence, digest, count, statement, openings = row
    salts, records = unpack(vault.open_record(openings, f"batch/{sequence}"), count)
    return WaitingBatch(sequence, digest, count, envelope_from_bytes(statement), salts, records)


async def put_batch(
    tx: Transaction, vault: Vault, sealed: SealedBatch, sent: Sequence[Sent], sealed_us: int
) -> None:
    """Puts a sealed batch into the outbox; the borrowers in it no longer wait."""
    statement = sealed.statement
    openings = vault.seal_record(pack(sealed.salts, sealed.records), f"batch/{statement.sequence}")
    await tx.run(
        "INSERT INTO batches (sequence, statement_hash, statement, record_count, as_of,"
        " complete_as_of, openings, sealed_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            statement.sequence,
            statement_hash(sealed.envelope.payload),
            envelope_to_bytes(sealed.envelope),
            statement.record_count,
            statement.as_of,
            statement.complete_as_of,
            openings,
            sealed_us,
        ),
    )
    await tx.run_many(
        "INSERT INTO batch_subjects VALUES (?, ?, ?)",
        [(statement.sequence, item.borrower_id, item.change) for item in sent],
    )
    await tx.run_many(
        "UPDATE borrowers SET sealed_change = ? WHERE borrower_id = ?",
        [(item.change, item.borrower_id) for item in sent],
    )


async def accept(tx: Transaction, sequence: int, receipt: Envelope, accepted_us: int) -> None:
    """Files the receipt of the waiting batch; the gateway now stands there."""
    signed = envelope_to_bytes(receipt)
    await tx.run(
        "UPDATE batches SET receipt = ?, accepted_us = ? WHERE sequence = ?",
        (signed, accepted_us, sequence),
    )
    await tx.run(
        "UPDATE publishing SET (sequence, statement_hash, receipt, as_of, complete_as_of) ="
        " (SELECT sequence, statement_hash, receipt, as_of,"
        "  coalesce(complete_as_of, (SELECT complete_as_of FROM publishing))"
        "  FROM batches WHERE sequence = ?)",
        (sequence,),
    )
    await tx.run("DELETE FROM batch_subjects WHERE sequence = ?", (sequence,))


async def unseal(tx: Transaction, sequence: int) -> None:
    """Takes a batch that the gateway refused out of the outbox; its borrowers wait again."""
    await tx.run(
        "UPDATE borrowers SET sealed_change = min(sealed_change, s.change - 1)"
        " FROM batch_subjects s WHERE s.sequence = ? AND s.borrower_id = borrowers.borrower_id",
        (sequence,),
    )
    await tx.run("DELETE FROM batch_subjects WHERE sequence = ?", (sequence,))
    await tx.run("DELETE FROM batches WHERE sequence = ? AND receipt IS NULL", (sequence,))


async def adopt(tx: Transaction, sequence: int, digest: bytes, receipt: Envelope) -> None:
    """Goes on from where the gateway stands, when this book knows less: it was restored from a
    backup. What was published is then unknown, so that everything is published again."""
    row = await tx.row("SELECT sequence FROM batches WHERE receipt IS NULL")
    if row is not None:
        await unseal(tx, row[0])
    await tx.run(
        "UPDATE publishing SET sequence = ?, statement_hash = ?, receipt = ?,"
        " as_of = NULL, complete_as_of = NULL",
        (sequence, digest, envelope_to_bytes(receipt)),
    )
    await tx.run("UPDATE borrowers SET sealed_change = min(sealed_change, change - 1)")


async def last_receipt(database: Database) -> Envelope | None:
    """The signed receipt of the last accepted batch."""
    row = await database.row("SELECT receipt FROM publishing")
    return None if row is None or row[0] is None else envelope_from_bytes(row[0])


def pack(salts: bytes, records: Sequence[bytes]) -> bytes:
    """Openings as one blob: the salts, then each record with its length (4 bytes, big-endian)."""
    parts = [salts]
    for record in records:
        parts += [_LENGTH.pack(len(record)), record]
    return b"".join(parts)


def unpack(blob: bytes, count: int) -> tuple[bytes, tuple[bytes, ...]]:
    """The salts and records of a blob made by `pack`."""
    start = 32 * count
    salts, records = blob[:start], []
    for _ in range(count):
        (length,) = _LENGTH.unpack_from(blob, start)
        start += _LENGTH.size
        records.append(blob[start : start + length])
        start += length
    return salts, tuple(records)
