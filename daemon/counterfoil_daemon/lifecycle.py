"""A daemon's life: start, signals, background work that must not die unseen, drain, end."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
import uvloop

from counterfoil.errors import CounterfoilError, Reason

log = structlog.get_logger()


class Stop:
    """When and why the daemon ends. SIGTERM and SIGINT ask for it, so does a broken task."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloads: list[Callable[[], None]] = []
        self.failed = False

    @property
    def asked(self) -> bool:
        """Whether the daemon is to end."""
        return self._asked.is_set()

    def ask(self, why: str) -> None:
        """Asks the daemon to end."""
        if not self.asked:
            log.info("stopping", why=why)
        self._asked.set()

    def fail(self, why: str, error: BaseException | None = None) -> None:
        """Asks the daemon to end with exit code 1."""
        log.error("failed", why=why, exc_info=error)
        self.failed = True
        self.ask(why)

    async def wait(self, seconds: float | None = None) -> bool:
        """Waits until the daemon is to end, at most `seconds`; tells whether it is."""
        try:
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        except TimeoutError:
            return False
        return True

    def supervise(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs background work; if it raises, the daemon ends with exit code 1."""

        async def watched() -> None:
            try:
                await work
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self.fail(name, error)

        task = asyncio.create_task(watched(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def on_reload(self, callback: Callable[[], None]) -> None:
        """Calls `callback` at each SIGHUP. What it raises is logged; the old state stays."""
        self._reloads.append(callback)

    def reload(self) -> None:
        """What SIGHUP does."""
        for callback in self._reloads:
            try:
                callback()
            except Exception:
                log.exception("reload_failed")
            else:
                log.info("reloaded")

    async def end_tasks(self) -> None:
        """Cancels what still runs in the background and waits for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def run(main: Callable[[Stop], Awaitable[None]]) -> int:
    """Runs a daemon to its end and returns its exit code: 0, or 1 if something broke.

    A CounterfoilError of `main` itself (a start that was refused) is raised to the caller.
    """

    async def lived() -> int:
        stop = Stop()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.ask, signal.Signals(number).name)
        loop.add_signal_handler(signal.SIGHUP, stop.reload)
        try:
            await main(stop)
        finally:
            await stop.end_tasks()
        return 1 if stop.failed else 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(lived())


class FolderLock:
    """Holds a data folder for one process; the kernel lets go when the process ends."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".lock"
        self._descriptor: int | None = None

    def __enter__(self) -> FolderLock:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise CounterfoilError(
                Reason.ALREADY_RUNNING, "another process works on this folder"
            ) from None
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
