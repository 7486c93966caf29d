"""publish_sqlite: batches published over mTLS, checked, durable and receipted, against a bare
`executemany` of the same rows into a table with the same key, pragmas and transaction size."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import grpc

from counterfoil.batch import SealedBatch
from counterfoil.exposure_codec import decode
from support.gateways import Lender, publish

from .harness import Figure, compare
from .market import record_of

BATCH_RECORDS = 1_000
BATCHES = 5
REPEATS = 5

PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 16384",
    "cache_size = -65536",
)


def batches_of(lender: Lender, numbers: Iterator[int]) -> list[SealedBatch]:
    """The next batches of a lender, sealed beforehand: sealing is the node's work."""
    sealed = []
    for _ in range(BATCHES):
        records = tuple(record_of(next(numbers), 0, lender.as_of) for _ in range(BATCH_RECORDS))
        batch = lender.seal(records)
        lender.accepted(batch)
        sealed.append(batch)
    return sealed


async def measure(lender: Lender, channel: grpc.aio.Channel, folder: Path) -> Figure:
    """Records a second."""
    numbers = count()
    # One warm-up and REPEATS runs, each with rows of its own; both sides take the same rows.
    prepared = [batches_of(lender, numbers) for _ in range(REPEATS + 1)]
    published, inserted = iter(prepared), iter(prepared)

    async def run() -> int:
        for batch in next(published):
            await publish(channel, batch)
        return BATCHES * BATCH_RECORDS

    rows = {
        id(batch): sorted((decode(record).token, 1, record) for record in batch.records)
        for group in prepared
        for batch in group
    }
    with closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as database:
        for pragma in PRAGMAS:
            database.execute(f"PRAGMA {pragma}")
        database.execute(
            "CREATE TABLE exposures (token BLOB, lender_id INTEGER, record BLOB,"
            " PRIMARY KEY (token, lender_id)) STRICT, WITHOUT ROWID"
        )

        async def bare() -> int:
            for batch in next(inserted):
                database.execute("BEGIN IMMEDIATE")
                database.executemany(
                    "INSERT INTO exposures VALUES (?, ?, ?)"
                    " ON CONFLICT (token, lender_id) DO UPDATE SET record = excluded.record",
                    rows[id(batch)],
                )
                database.execute("COMMIT")
            return BATCHES * BATCH_RECORDS

        return await compare("publish_sqlite", "records/s", run, bare, repeats=REPEATS)
