"""One SQLite file, one connection that writes and one that reads.

Several processes may have the file open (`run`, `import`, `status`); SQLite lets one write at a
time. A failure of the file itself is STORE_FAILED: whether the last write is durable is then
unknown, and the process must stop and read it anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import aiosqlite

from counterfoil.errors import CounterfoilError, Reason

BUSY_SECONDS = 30.0
"""How long a write waits for another process's."""

WAL_AUTOCHECKPOINT_PAGES = 4_000

Row = tuple[Any, ...]


def store_failed(error: sqlite3.Error) -> CounterfoilError:
    """STORE_FAILED; the database's own words may quote values, so only its code is told."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return CounterfoilError(Reason.STORE_FAILED, f"the book's database failed ({name})")


class Transaction:
    """A write under way: all of it becomes durable, or nothing."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query, as the write sees them."""
        return list(await self._connection.execute_fetchall(sql, parameters))  # type: ignore[arg-type]

    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row of a query."""
        rows = await self.rows(sql, parameters)
        return rows[0] if rows else None

    async def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Executes one statement; the number of rows that it changed."""
        async with self._connection.execute(sql, parameters) as cursor:
            return cursor.rowcount

    async def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Executes one statement for each row."""
        await self._connection.executemany(sql, rows)


class Database:
    """The open file."""

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader
        self._lock = asyncio.Lock()
        self._abandoned: set[asyncio.Future[None]] = set()
        self._failed: CounterfoilError | None = None
        self.on_failure: Callable[[], None] | None = None
        """Called once when the store has failed."""

    @classmethod
    async def open(cls, path: Path, *, create: bool = False) -> Database:
        """Opens the file and brings its schema up to date.

        FILE_MISSING when it is not there (ALREADY_EXISTS when it is and `create` is set).
        """
        if create and path.exists():
            raise CounterfoilError(Reason.ALREADY_EXISTS, f"{path} exists", field=path.name)
        if not create and not path.is_file():
            raise CounterfoilError(Reason.FILE_MISSING, f"{path} is missing", field=path.name)
        if create:
            path.touch(mode=0o600)
        connections: list[aiosqlite.Connection] = []
        try:
            for _ in range(2):
                connection = await aiosqlite.connect(
                    path, isolation_level=None, timeout=BUSY_SECONDS
                )
                connections.append(connection)
                await _configure(connection)
            await _migrate(connections[0])
            await connections[1].execute("PRAGMA query_only = ON")
        except BaseException as error:
            for connection in connections:
                await connection.close()
            if isinstance(error, sqlite3.Error):
                raise store_failed(error) from None
            raise
        return cls(*connections)

    @property
    def failed(self) -> bool:
        """Whether a write failed: the process must end."""
        return self._failed is not None

    async def close(self) -> None:
        """Waits for the write under way and lets go of the file."""
        async with self._lock:
            await self._reader.close()
            await self._writer.close()

    async def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query; sees every write that was acknowledged before."""
        try:
            return list(await self._reader.execute_fetchall(sql, parameters))  # type: ignore[arg-type]
        except sqlite3.Error as error:
            raise store_failed(error) from None

    async def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row of a query."""
        rows = await self.rows(sql, parameters)
        return rows[0] if rows else None

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """A transaction: committed, durably, when the block ends; undone when it raises.

        OVERLOADED when another process keeps the file for longer than BUSY_SECONDS.
        """
        if self._failed is not None:
            raise self._failed
        await self._begin()
        try:
            try:
                yield Transaction(self._writer)
                await self._end("COMMIT")
            except sqlite3.Error as error:
                await self._undo()
                raise self._fail(error) from None
            except BaseException:
                await self._undo()
                raise
        finally:
            self._lock.release()

    @contextlib.asynccontextmanager
    async def scratch(self) -> AsyncIterator[Transaction]:
        """A transaction on this connection's temporary tables only: it keeps no other process from
        writing to the book."""
        async with self._lock:
            try:
                await self._writer.execute("BEGIN")
                try:
                    yield Transaction(self._writer)
                except BaseException:
                    await self._undo()
                    raise
                await self._end("COMMIT")
            except sqlite3.Error as error:
                raise self._fail(error) from None

    async def _begin(self) -> None:
        """Takes the lock and the file's write lock. Who waits for another process can be cancelled
        at once; what it began is then ended behind its back, and only then the lock is free."""
        await self._lock.acquire()
        begin = asyncio.ensure_future(self._writer.execute("BEGIN IMMEDIATE"))
        try:
            await asyncio.shield(begin)
        except asyncio.CancelledError:
            task = asyncio.ensure_future(self._abandon(begin))
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
            raise
        except sqlite3.Error as error:
            self._lock.release()
            if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise CounterfoilError(
                    Reason.OVERLOADED, "another process is writing to the book", retry_after=1.0
                ) from None
            raise self._fail(error) from None

    async def _abandon(self, begin: asyncio.Future[aiosqlite.Cursor]) -> None:
        with contextlib.suppress(sqlite3.Error):
            await begin
        await self._undo()
        self._lock.release()

    async def _end(self, word: str) -> None:
        end = asyncio.ensure_future(self._writer.execute(word))
        try:
            await asyncio.shield(end)
        except asyncio.CancelledError:
            await end
            raise

    async def _undo(self) -> None:
        """Rolls back, unless a commit was on its way when its waiter was cancelled."""
        with contextlib.suppress(sqlite3.Error):
            if self._writer.in_transaction:
                await self._end("ROLLBACK")

    def _fail(self, error: sqlite3.Error) -> CounterfoilError:
        failure = store_failed(error)
        if self._failed is None:
            self._failed = failure
            if self.on_failure is not None:
                self.on_failure()
        return failure


async def _configure(connection: aiosqlite.Connection) -> None:
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"wal_autocheckpoint = {WAL_AUTOCHECKPOINT_PAGES}",
    ):
        await connection.execute(f"PRAGMA {pragma}")


def migrations() -> list[str]:
    """The numbered migrations in order; their numbers are contiguous from 1."""
    folder = resources.files("counterfoil_node.store") / "migrations"
    files = sorted(f.name for f in folder.iterdir() if f.name.endswith(".sql"))
    for number, name in enumerate(files, start=1):
        if int(name.split("_")[0]) != number:
            raise CounterfoilError(Reason.INTERNAL, f"migration {name} is out of order")
    return [(folder / name).read_text() for name in files]


async def _migrate(connection: aiosqlite.Connection) -> None:
    scripts = migrations()
    for number, script in enumerate(scripts, start=1):
        ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
        if version > len(scripts):
            raise CounterfoilError(
                Reason.CONFIG_INVALID, "the book was written by a newer version", field="node.db"
            )
        if version < number:
            await connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
