"""The database: transactions that hold under cancellation, failure and company."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from counterfoil.errors import CounterfoilError, Reason
from counterfoil_node.store import database as module
from counterfoil_node.store.database import Database, migrations


async def count(database: Database) -> int:
    row = await database.row("SELECT count(*) FROM reports")
    assert row is not None
    return int(row[0])


INSERT = "INSERT INTO reports VALUES (?, x'00', 0, 0)"


async def test_a_failed_block_leaves_nothing(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "node.db", create=True)

    async def fail() -> None:
        async with database.write() as tx:
            await tx.run(INSERT, ("a",))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await count(database) == 0
    async with database.write() as tx:
        await tx.run(INSERT, ("b",))
    assert await count(database) == 1
    await database.close()


async def test_a_cancelled_writer_leaves_nothing_and_frees_the_lock(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "node.db", create=True)
    inside = asyncio.Event()

    async def work() -> None:
        async with database.write() as tx:
            await tx.run(INSERT, ("a",))
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with database.write() as tx:
        await tx.run(INSERT, ("b",))
    assert await count(database) == 1
    await database.close()


async def test_who_waits_for_another_process_is_cancelled_at_once(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    database = await Database.open(path, create=True)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05), database.write():
            raise AssertionError
    other.execute("COMMIT")
    other.close()
    async with database.write() as tx:
        await tx.run(INSERT, ("a",))
    assert await count(database) == 1
    await database.close()


async def test_another_process_that_keeps_the_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    path = tmp_path / "node.db"
    database = await Database.open(path, create=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CounterfoilError) as refused:
            async with database.write():
                raise AssertionError
    assert refused.value.reason is Reason.OVERLOADED
    assert not database.failed
    await database.close()


async def test_after_a_failure_nothing_more_is_written(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "node.db", create=True)
    told: list[bool] = []
    database.on_failure = lambda: told.append(True)
    for _ in range(2):
        with pytest.raises(CounterfoilError) as refused:
            async with database.write() as tx:
                await tx.run("INSERT INTO nowhere VALUES ('110105194912310021')")
        assert refused.value.reason is Reason.STORE_FAILED
        assert "1101" not in str(refused.value)
    assert told == [True]
    await database.close()


async def test_the_reader_sees_what_was_acknowledged(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "node.db", create=True)
    for number in range(20):
        async with database.write() as tx:
            await tx.run(INSERT, (str(number),))
        assert await count(database) == number + 1
    await database.close()


async def test_a_book_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    await (await Database.open(path, create=True)).close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    with pytest.raises(CounterfoilError) as refused:
        await Database.open(path)
    assert refused.value.reason is Reason.CONFIG_INVALID


async def test_the_database_is_made_once_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    database = await Database.open(path, create=True)
    assert await database.row("PRAGMA journal_mode") == ("wal",)
    assert await database.row("PRAGMA synchronous") == (2,)
    await database.close()
    with pytest.raises(CounterfoilError) as refused:
        await Database.open(path, create=True)
    assert refused.value.reason is Reason.ALREADY_EXISTS


def test_every_table_is_strict(tmp_path: Path) -> None:
    with closing(sqlite3.connect(":memory:")) as raw:
        for script in migrations():
            raw.executescript(script)
        tables = raw.execute("PRAGMA table_list").fetchall()
    loose = [row[1] for row in tables if not row[5] and not row[1].startswith("sqlite_")]
    assert loose == []
