"""SQLite's own promises: what is reopened, what is refused, what a failure does."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.keys import PrivateKey
from counterfoil_gateway.store.sqlite import SCHEMA_VERSION, SqliteStore
from support.exposures import NOON, plain_exposure
from support.stores import Furnisher, answered, database, identity, receipt

TOKEN = b"\x01" * 32


@pytest.fixture
async def path(tmp_path: Path, answer_key: PrivateKey) -> Path:
    await SqliteStore.create(database(tmp_path), identity(answer_key))
    return database(tmp_path)


async def refused_open(path: Path) -> Reason:
    with pytest.raises(CounterfoilError) as refused:
        await SqliteStore.open(path)
    return refused.value.reason


async def test_everything_is_there_after_reopening(path: Path, answer_key: PrivateKey) -> None:
    store = await SqliteStore.open(path)
    harbour = Furnisher("harbour")
    await harbour.join(store)
    await harbour.publish(store, plain_exposure(), as_of=NOON)
    await store.record_inquiry(answered("harbour", TOKEN, 1))
    before = (await store.counts(), await store.view(TOKEN, 0), await store.registry())
    await store.close()
    store = await SqliteStore.open(path)
    assert before == (await store.counts(), await store.view(TOKEN, 0), await store.registry())
    assert await store.identity() == identity(answer_key)
    await store.close()


async def test_durability_is_not_left_to_defaults(path: Path) -> None:
    store = await SqliteStore.open(path)
    try:
        with closing(sqlite3.connect(path)) as other:
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


async def test_a_store_is_not_made_twice_nor_in_silence(
    path: Path, tmp_path: Path, answer_key: PrivateKey
) -> None:
    with pytest.raises(CounterfoilError) as refused:
        await SqliteStore.create(path, identity(answer_key))
    assert refused.value.reason is Reason.ALREADY_EXISTS
    assert await refused_open(tmp_path / "none.db") is Reason.FILE_MISSING
    assert not (tmp_path / "none.db").exists()


async def test_what_is_no_store_of_ours_is_refused(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE t (x)")
    assert await refused_open(other) is Reason.STORE_FAILED
    other.write_bytes(b"not a database at all" * 100)
    assert await refused_open(other) is Reason.STORE_FAILED
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    assert await refused_open(path) is Reason.STORE_FAILED


async def test_another_processs_write_is_noticed(path: Path) -> None:
    store, command = await SqliteStore.open(path), await SqliteStore.open(path)
    mark = await store.change_mark()
    assert await store.change_mark() == mark
    await command.admit(Furnisher("harbour").admission(b"\x01" * 32))
    assert await store.change_mark() != mark
    assert "harbour" in (await store.registry()).members
    await store.close()
    await command.close()


async def test_after_a_failed_write_nothing_is_ever_tried_again(path: Path) -> None:
    failures: list[BaseException] = []
    store = await SqliteStore.open(path, on_failure=failures.append)
    harbour = Furnisher("harbour")
    await harbour.join(store)
    sealed = harbour.seal(*(plain_exposure(token=bytes([n]) * 32) for n in range(200)), as_of=NOON)
    # A disk that is full: the database may not grow by a single page.
    pages = await store._writer._connection.execute_fetchall("PRAGMA page_count")
    count = next(iter(pages))[0]
    await store._writer._connection.execute_fetchall(f"PRAGMA max_page_count = {count}")
    for call in (
        store.accept_batch(harbour.new_batch(sealed), receipt),
        store.record_inquiry(answered("harbour", TOKEN, 1)),
        store.counts(),
        store.check_writable(),
    ):
        with pytest.raises(CounterfoilError) as refused:
            await call
        assert refused.value.reason is Reason.STORE_FAILED
    assert len(failures) == 1
    await store.close()
    store = await SqliteStore.open(path)
    assert (await store.counts()).batches == 0
    await store.accept_batch(harbour.new_batch(sealed), receipt)
    await store.close()
