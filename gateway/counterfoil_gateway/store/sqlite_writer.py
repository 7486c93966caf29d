"""The one writer of a SQLite store: commands in, durable transactions out.

Commands wait in a queue; all that wait when the writer is free share one transaction, and so one
fsync (group commit). A command checks everything before its first write: what it refuses has then
no effect, and the rest of its group goes on. Any other error makes the writer fail for good: after
a failed commit nobody knows what is on the disk, so nothing is ever tried again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import aiosqlite

from counterfoil.errors import CounterfoilError, Reason

T = TypeVar("T")
Command = Callable[[aiosqlite.Connection], Awaitable[T]]
CommitObserver = Callable[[float, int], None]
"""Told after each commit: seconds from BEGIN to durable, and how many commands shared it."""

MAX_GROUP_COMMANDS = 64
"""How many commands share one transaction at most: bounds what one failure undoes."""
MAX_QUEUED_COMMANDS = 4_096
"""How many commands may wait; beyond it callers are told OVERLOADED."""
BUSY_RETRY_SECONDS = 0.5
"""What a caller is told to wait when another process holds the write lock for too long."""


@dataclass(slots=True)
class _Job:
    command: Command[Any]
    done: asyncio.Future[Any]


class SqliteWriter:
    """Owns the writing connection; nothing else may write through it.

    `on_failure` is called once, with the error, when the writer fails; it is to stop the process.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection,
        *,
        on_failure: Callable[[BaseException], None],
        on_commit: CommitObserver,
    ) -> None:
        self._connection = connection
        self._on_failure = on_failure
        self._on_commit = on_commit
        self._queue: asyncio.Queue[_Job | None] = asyncio.Queue(MAX_QUEUED_COMMANDS)
        self._failed = False
        self._closed = False
        self._task = asyncio.create_task(self._run(), name="store-writer")

    async def run(self, command: Command[T]) -> T:
        """Runs one command; returns when it is durable.

        Raises what the command refused with, STORE_FAILED, OVERLOADED or SHUTTING_DOWN. A caller
        that is cancelled does not undo a command that has begun.
        """
        if self._failed:
            raise store_failed()
        if self._closed:
            raise CounterfoilError(Reason.SHUTTING_DOWN, "the store is closing")
        job = _Job(command, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise _overloaded("too many writes are waiting") from None
        result: T = await job.done
        return result

    @property
    def failed(self) -> bool:
        """Whether the writer has failed for good."""
        return self._failed

    async def close(self) -> None:
        """Finishes what waits, then closes the connection."""
        if not self._closed:
            self._closed = True
            await self._queue.put(None)
        await asyncio.shield(self._task)
        await self._connection.close()

    async def _run(self) -> None:
        while (first := await self._queue.get()) is not None:
            group = [first]
            closing = False
            while len(group) < MAX_GROUP_COMMANDS and not self._queue.empty():
                job = self._queue.get_nowait()
                if job is None:
                    closing = True
                    break
                group.append(job)
            group = [job for job in group if not job.done.done()]
            if group:
                await self._commit(group)
            if closing:
                return

    async def _commit(self, group: list[_Job]) -> None:
        if self._failed:
            for job in group:
                _settle(job, error=store_failed())
            return
        began = time.monotonic()
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                # Another process held the write lock past the busy time-out: nothing was written.
                for job in group:
                    _settle(job, error=_overloaded("the store is busy"))
                return
            await self._fail(group, error)
            return
        except BaseException as error:
            await self._fail(group, error)
            return
        outcomes: list[tuple[_Job, Any, CounterfoilError | None]] = []
        try:
            for job in group:
                outcomes.append(await self._attempt(job))
            await self._connection.execute("COMMIT")
        except BaseException as error:
            await self._fail(group, error)
            return
        self._on_commit(time.monotonic() - began, len(group))
        for job, result, refusal in outcomes:
            _settle(job, result, refusal)

    async def _attempt(self, job: _Job) -> tuple[_Job, Any, CounterfoilError | None]:
        before = self._connection.total_changes
        try:
            return job, await job.command(self._connection), None
        except CounterfoilError as refusal:
            if self._connection.total_changes != before:
                raise RuntimeError("a store command wrote before it refused") from refusal
            return job, None, refusal

    async def _fail(self, group: list[_Job], error: BaseException) -> None:
        self._failed = True
        for job in group:
            _settle(job, error=store_failed())
        self._on_failure(error)
        if isinstance(error, asyncio.CancelledError):
            raise error


def store_failed() -> CounterfoilError:
    """The refusal of everything after a failure of the database."""
    return CounterfoilError(Reason.STORE_FAILED, "the store has failed")


def _overloaded(message: str) -> CounterfoilError:
    return CounterfoilError(Reason.OVERLOADED, message, retry_after=BUSY_RETRY_SECONDS)


def _settle(job: _Job, result: Any = None, error: CounterfoilError | None = None) -> None:
    if job.done.done():
        return
    if error is not None:
        job.done.set_exception(error)
    else:
        job.done.set_result(result)
