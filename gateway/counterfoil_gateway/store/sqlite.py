"""The store on one SQLite file: WAL, synchronous=FULL, one writing and one reading connection.

The reader sees the last commit (WAL snapshots), so a read never waits for a write. Other
processes, the operator's commands, write to the same file in short transactions of their own.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.membership import MemberState

from . import migrations, sqlite_batches, sqlite_inquiries, sqlite_members
from . import values as v
from .sqlite_rows import one
from .sqlite_writer import CommitObserver, SqliteWriter, store_failed

T = TypeVar("T")

APPLICATION_ID = 0x43464757  # "CFGW"
BUSY_TIMEOUT_MS = 5_000
"""How long one process waits for another's short transaction."""
WAL_CHECKPOINT_PAGES = 16_384
"""64 MiB of log between checkpoints: pages hot in the token index are written back once."""
CACHE_KIB = 65_536
"""Page cache of each connection."""

_MIGRATIONS = migrations.load("sqlite")
SCHEMA_VERSION = _MIGRATIONS[-1].number


def ignore_failure(error: BaseException) -> None:
    """For short-lived commands: the error reaches them as STORE_FAILED anyway."""


def ignore_commit(seconds: float, commands: int) -> None:
    """For those who do not measure."""


class SqliteStore:
    """`store.base.Store` on a SQLite file. Made by `create` and `open`."""

    def __init__(self, writer: SqliteWriter, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader

    @classmethod
    async def create(cls, path: Path, identity: v.Identity) -> None:
        """Makes a new store and closes it again. ALREADY_EXISTS: the file is there."""
        try:
            # Exclusive creation, and nobody but the operator may read it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        except FileExistsError:
            raise CounterfoilError(Reason.ALREADY_EXISTS, f"{path} exists already") from None
        db = await _connect(path)
        try:
            await _one_pragma(db, f"application_id = {APPLICATION_ID}")
            await _migrate(db, 0)
            await sqlite_members.insert_identity(db, identity)
        finally:
            await db.close()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        on_failure: Callable[[BaseException], None] = ignore_failure,
        on_commit: CommitObserver = ignore_commit,
    ) -> SqliteStore:
        """Opens an existing store and brings its schema up to date.

        `on_failure` is called once when the write side fails and is to stop the process.
        FILE_MISSING: there is none. STORE_FAILED: it is another program's, is damaged, or was
        written by a newer version.
        """
        if not path.is_file():
            raise CounterfoilError(Reason.FILE_MISSING, f"{path} does not exist")
        try:
            db = await _connect(path)
        except sqlite3.Error as error:
            raise _unusable(path, str(error)) from error
        try:
            version = await _schema_version(db, path)
            if version < SCHEMA_VERSION:
                await _migrate(db, version)
            reader = await _connect(path)
            await reader.execute("PRAGMA query_only = ON")
        except sqlite3.Error as error:
            await db.close()
            raise _unusable(path, str(error)) from error
        except BaseException:
            await db.close()
            raise
        return cls(SqliteWriter(db, on_failure=on_failure, on_commit=on_commit), reader)

    async def close(self) -> None:
        await self._writer.close()
        await self._reader.close()

    async def check_writable(self) -> None:
        await self._writer.run(_probe)

    async def change_mark(self) -> int:
        row = await self._read(one(self._reader, "PRAGMA data_version"))
        return int(row[0])

    async def identity(self) -> v.Identity:
        return await self._read(sqlite_members.identity(self._reader))

    async def counts(self) -> v.Counts:
        return await self._read(sqlite_inquiries.counts(self._reader))

    async def entries(self, first: int, count: int) -> tuple[v.Entry, ...]:
        return await self._read(sqlite_batches.entries(self._reader, first, count))

    async def registry(self) -> v.Registry:
        return await self._read(sqlite_members.registry(self._reader))

    async def admit(self, admission: v.Admission) -> None:
        await self._writer.run(lambda db: sqlite_members.admit(db, admission))

    async def set_state(
        self, lender: str, state: MemberState, reason: str, changed_us: int
    ) -> None:
        await self._writer.run(
            lambda db: sqlite_members.set_state(db, lender, state, reason, changed_us)
        )

    async def invitation(self, token_hash: bytes) -> v.Invitation | None:
        return await self._read(sqlite_members.invitation(self._reader, token_hash))

    async def enrol(self, enrolment: v.Enrolment) -> None:
        await self._writer.run(lambda db: sqlite_members.enrol(db, enrolment))

    async def rotate(self, rotation: v.Rotation) -> None:
        await self._writer.run(lambda db: sqlite_members.rotate(db, rotation))

    async def add_certificate(self, certificate: v.Certificate) -> None:
        await self._writer.run(lambda db: sqlite_members.add_certificate(db, certificate))

    async def log_policy(self, policy: v.LoggedPolicy) -> bool:
        return await self._writer.run(lambda db: sqlite_members.log_policy(db, policy))

    async def head(self, lender: str) -> v.Head | None:
        return await self._read(sqlite_batches.head(self._reader, lender))

    async def batch(self, lender: str, sequence: int) -> v.StoredBatch | None:
        return await self._read(sqlite_batches.batch(self._reader, lender, sequence))

    async def openings(self, lender: str, sequence: int) -> v.Openings | None:
        return await self._read(sqlite_batches.openings(self._reader, lender, sequence))

    async def accept_batch(
        self, batch: v.NewBatch, seal: Callable[[int], v.Receipt]
    ) -> v.StoredBatch:
        return await self._writer.run(lambda db: sqlite_batches.accept_batch(db, batch, seal))

    async def keep_conflict(self, conflict: v.Conflict, most: int) -> bool:
        return await self._writer.run(lambda db: sqlite_batches.keep_conflict(db, conflict, most))

    async def conflicts(self, lender: str) -> tuple[v.Conflict, ...]:
        return await self._read(sqlite_batches.conflicts(self._reader, lender))

    async def view(self, token: bytes, inquiries_since_us: int) -> v.TokenView:
        return await self._read(sqlite_inquiries.view(self._reader, token, inquiries_since_us))

    async def record_inquiry(self, answered: v.AnsweredInquiry) -> None:
        await self._writer.run(lambda db: sqlite_inquiries.record_inquiry(db, answered))

    async def answered(self, inquiry_hash: bytes) -> v.AnsweredInquiry | None:
        return await self._read(sqlite_inquiries.answered(self._reader, inquiry_hash))

    async def _read(self, reading: Coroutine[Any, Any, T]) -> T:
        if self._writer.failed:
            reading.close()
            raise store_failed()
        try:
            return await reading
        except sqlite3.Error as error:
            # A failed read leaves nothing in doubt: the caller is refused, the process goes on.
            raise CounterfoilError(Reason.STORE_FAILED, "the store cannot be read") from error


async def _probe(db: aiosqlite.Connection) -> None:
    """Nothing: the writer's transaction around it is the test."""


async def _connect(path: Path) -> aiosqlite.Connection:
    # Read-write without creation: a file that vanished must not come back empty.
    uri = f"{path.absolute().as_uri()}?mode=rw"
    db = await aiosqlite.connect(uri, uri=True, isolation_level=None)
    try:
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "trusted_schema = OFF",
            f"wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}",
            f"cache_size = -{CACHE_KIB}",
        ):
            await _one_pragma(db, pragma)
    except BaseException:
        await db.close()
        raise
    return db


async def _one_pragma(db: aiosqlite.Connection, pragma: str) -> None:
    await db.execute_fetchall(f"PRAGMA {pragma}")


async def _schema_version(db: aiosqlite.Connection, path: Path) -> int:
    application = await one(db, "PRAGMA application_id")
    if application[0] != APPLICATION_ID:
        raise _unusable(path, "it is not a gateway's database")
    version = int((await one(db, "PRAGMA user_version"))[0])
    if version > SCHEMA_VERSION:
        raise _unusable(path, f"its schema {version} is newer than this program's {SCHEMA_VERSION}")
    return version


async def _migrate(db: aiosqlite.Connection, version: int) -> None:
    for migration in _MIGRATIONS:
        if migration.number > version:
            await db.executescript(
                f"BEGIN IMMEDIATE;\n{migration.script}\n"
                f"PRAGMA user_version = {migration.number};\nCOMMIT;"
            )


def _unusable(path: Path, why: str) -> CounterfoilError:
    return CounterfoilError(Reason.STORE_FAILED, f"{path} cannot be used: {why}")


__all__ = ["SCHEMA_VERSION", "SqliteStore"]
