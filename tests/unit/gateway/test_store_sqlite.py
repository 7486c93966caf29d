"""SQLite's own ways to fail: missing, foreign, newer and full files, and a lock held by others."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import aiosqlite
import pytest
from unit.gateway.conformance import (
    IDENTITY,
    SqliteBackend,
    admission,
    contents,
    enrol,
    new_batch,
    record,
    refused,
    seal,
)

from counterfoil.errors import CounterfoilError, Reason
from counterfoil_gateway.store import migrations, sqlite
from counterfoil_gateway.store.sqlite import SCHEMA_VERSION, SqliteStore
from counterfoil_gateway.store.sqlite_writer import MAX_GROUP_COMMANDS, SqliteWriter


@pytest.fixture
async def backend(tmp_path: Path) -> SqliteBackend:
    made = SqliteBackend(tmp_path)
    await made.create()
    return made


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Another process's long write transaction."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def test_a_new_file_is_its_owners_alone(backend: SqliteBackend) -> None:
    assert stat.S_IMODE(backend.path.stat().st_mode) == 0o600


async def test_durability_is_not_left_to_defaults(backend: SqliteBackend) -> None:
    store = await SqliteStore.open(backend.path)
    try:
        with closing(sqlite3.connect(backend.path)) as other:
            assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            strict = other.execute(
                "SELECT count(*) FROM pragma_table_list WHERE type = 'table' AND strict = 0"
                " AND name NOT LIKE 'sqlite_%'"
            )
            assert strict.fetchone() == (0,)
        rows = await store._writer._connection.execute_fetchall("PRAGMA synchronous")
        assert list(rows) == [(2,)], "FULL"
    finally:
        await store.close()


async def test_a_file_that_is_there_is_not_made_anew(backend: SqliteBackend) -> None:
    before = backend.path.read_bytes()
    assert await refused(backend.create()) is Reason.ALREADY_EXISTS
    assert backend.path.read_bytes() == before


async def test_a_missing_file_is_not_made_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "gone.db"
    assert await refused(SqliteStore.open(path)) is Reason.FILE_MISSING
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["an empty file", "another program's database", "no database"])
async def test_what_is_not_a_gateways_database_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.db"
    if content == "another program's database":
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE members (name TEXT)")
    else:
        path.write_bytes(b"" if content == "an empty file" else b"plain text\n" * 1_000)
    assert await refused(SqliteStore.open(path)) is Reason.STORE_FAILED
    if content == "no database":
        assert path.read_bytes() == b"plain text\n" * 1_000
        return
    with closing(sqlite3.connect(path)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_schema")]
    assert names == ([] if content == "an empty file" else ["members"])


async def test_a_newer_schema_is_refused(backend: SqliteBackend) -> None:
    backend.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(CounterfoilError, match="newer") as error:
        await SqliteStore.open(backend.path)
    assert error.value.reason is Reason.STORE_FAILED


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = [migration.number for migration in migrations.load("sqlite")]
    assert numbers == list(range(1, SCHEMA_VERSION + 1))


async def test_a_full_disk_is_the_end(backend: SqliteBackend) -> None:
    failures: list[BaseException] = []
    db = await aiosqlite.connect(backend.path, isolation_level=None)
    await db.execute_fetchall("PRAGMA max_page_count = 1")  # No page more than there are.
    writer = SqliteWriter(db, on_failure=failures.append, on_commit=lambda seconds, commands: None)
    try:

        async def grow(connection: aiosqlite.Connection) -> None:
            await connection.execute("CREATE TABLE big AS SELECT zeroblob(1000000) AS filler")

        async def nothing(connection: aiosqlite.Connection) -> None:
            pass

        assert await refused(writer.run(grow)) is Reason.STORE_FAILED
        assert [type(failure) for failure in failures] == [sqlite3.OperationalError]
        assert writer.failed
        assert await refused(writer.run(nothing)) is Reason.STORE_FAILED
        assert len(failures) == 1
    finally:
        await writer.close()
    again = await backend.open()
    try:
        assert await again.identity() == IDENTITY
        await again.check_writable()
    finally:
        await again.close()


async def test_a_command_that_wrote_before_it_refused_is_a_bug_that_stops_all(
    backend: SqliteBackend,
) -> None:
    failures: list[BaseException] = []
    db = await aiosqlite.connect(backend.path, isolation_level=None)
    writer = SqliteWriter(db, on_failure=failures.append, on_commit=lambda seconds, commands: None)

    async def careless(connection: aiosqlite.Connection) -> None:
        await connection.execute("UPDATE network SET gateway = 'changed'")
        raise CounterfoilError(Reason.INTERNAL, "too late")

    try:
        assert await refused(writer.run(careless)) is Reason.STORE_FAILED
    finally:
        await writer.close()
    assert [type(failure) for failure in failures] == [RuntimeError]
    again = await backend.open()
    try:
        assert await again.identity() == IDENTITY
    finally:
        await again.close()


async def test_a_lock_held_too_long_refuses_for_now_only(
    backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 20)
    failures: list[BaseException] = []
    store = await backend.open(failures.append)
    try:
        await enrol(store, "harbour")
        before = await contents(store)
        batch = new_batch("harbour", 1, (record(1),))
        with write_lock(backend.path):
            with pytest.raises(CounterfoilError) as error:
                await store.accept_batch(batch, seal)
            assert await refused(store.check_writable()) is Reason.OVERLOADED
            assert await contents(store) == before
        assert error.value.reason is Reason.OVERLOADED
        assert error.value.retry_after
        assert failures == []
        await store.accept_batch(batch, seal)
    finally:
        await store.close()


async def test_writes_that_wait_share_a_commit(backend: SqliteBackend) -> None:
    groups: list[int] = []
    store = await SqliteStore.open(
        backend.path, on_commit=lambda seconds, commands: groups.append(commands)
    )
    try:
        await asyncio.gather(*(store.admit(admission(f"lender{n}")) for n in range(150)))
        assert sum(groups) == 150
        assert max(groups) == MAX_GROUP_COMMANDS
        assert len(groups) <= 4
        assert len((await store.registry()).members) == 150
    finally:
        await store.close()


async def test_a_caller_that_left_does_not_disturb_the_others(backend: SqliteBackend) -> None:
    store = await backend.open()
    try:
        staying = [asyncio.create_task(store.admit(admission(f"stays{n}"))) for n in range(3)]
        leaving = asyncio.create_task(store.admit(admission("leaves")))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(*staying)
        with pytest.raises(asyncio.CancelledError):
            await leaving
        members = set((await store.registry()).members)
        assert members - {"leaves"} == {"stays0", "stays1", "stays2"}
    finally:
        await store.close()
