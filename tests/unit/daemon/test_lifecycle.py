"""A daemon's life, in real processes: signals, broken tasks, exit codes, the folder's lock."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from counterfoil.errors import CounterfoilError, Reason
from counterfoil_daemon.lifecycle import FolderLock, Stop

Start = Callable[[str], "subprocess.Popen[str]"]

PRELUDE = """
import asyncio, os, sys
from pathlib import Path
from counterfoil.errors import CounterfoilError, Reason
from counterfoil_daemon import logs
from counterfoil_daemon.lifecycle import FolderLock, Stop, run
logs.configure("info")
def say(text):
    print(text, flush=True)
"""


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python with a script after the prelude; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def starter(script: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield starter
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> tuple[int, str, list[dict[str, object]]]:
    """Exit code, the rest of standard output, and the log."""
    out, err = process.communicate(timeout=10)
    return process.returncode, out, [json.loads(text) for text in err.splitlines()]


WAITS = """
async def main(stop):
    say("up")
    await stop.wait()
    say("drained")
sys.exit(run(main))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_drains_and_exits_with_zero(start: Start, number: signal.Signals) -> None:
    process = start(WAITS)
    assert line(process) == "up"
    process.send_signal(number)
    code, out, log = end(process)
    assert (code, out) == (0, "drained\n")
    assert [(entry["event"], entry["why"]) for entry in log] == [("stopping", number.name)]


def test_sighup_reloads_and_a_reload_that_fails_does_not_end_the_daemon(start: Start) -> None:
    process = start(
        """
        async def main(stop):
            count = 0
            def bad():
                raise ValueError("11010519491231002X")
            def good():
                nonlocal count
                count += 1
                say(f"reloaded {count}")
            stop.on_reload(bad)
            stop.on_reload(good)
            say("up")
            await stop.wait()
        sys.exit(run(main))
        """
    )
    assert line(process) == "up"
    for count in (1, 2):
        process.send_signal(signal.SIGHUP)
        assert line(process) == f"reloaded {count}"
    process.terminate()
    code, _, log = end(process)
    assert code == 0
    assert [entry["event"] for entry in log] == ["reload_failed", "reloaded"] * 2 + ["stopping"]
    assert "11010519491231002X" not in json.dumps(log)


def test_a_background_task_that_breaks_ends_the_daemon_with_one(start: Start) -> None:
    process = start(
        """
        async def main(stop):
            async def sealing():
                raise RuntimeError("11010519491231002X")
            async def idle():
                try:
                    await asyncio.Event().wait()
                finally:
                    say("idle ended")
            stop.supervise("idle", idle())
            await asyncio.sleep(0)
            stop.supervise("sealing", sealing())
            await stop.wait()
            say("drained")
        sys.exit(run(main))
        """
    )
    code, out, log = end(process)
    assert (code, out) == (1, "drained\nidle ended\n")
    assert (log[0]["event"], log[0]["why"], log[0]["exception"]) == (
        "failed",
        "sealing",
        "RuntimeError",
    )
    assert "11010519491231002X" not in json.dumps(log)


def test_a_background_task_that_is_done_does_not_end_the_daemon(start: Start) -> None:
    process = start(
        """
        async def main(stop):
            async def once():
                pass
            await stop.supervise("once", once())
            say(str(stop.asked))
        sys.exit(run(main))
        """
    )
    assert end(process)[:2] == (0, "False\n")


def test_a_start_that_is_refused_is_told_to_the_caller(start: Start) -> None:
    process = start(
        """
        async def main(stop):
            raise CounterfoilError(Reason.FILE_MISSING, "no key")
        try:
            run(main)
        except CounterfoilError as error:
            say(error.reason)
        """
    )
    assert end(process)[:2] == (0, "FILE_MISSING\n")


def test_a_daemon_runs_on_uvloop(start: Start) -> None:
    process = start(
        """
        async def main(stop):
            say(type(asyncio.get_running_loop()).__module__)
        sys.exit(run(main))
        """
    )
    assert end(process)[:2] == (0, "uvloop\n")


HOLDS = """
with FolderLock(Path({folder!r})):
    say("held")
    sys.stdin.readline()
"""


def refused(folder: Path) -> bool:
    try:
        with FolderLock(folder):
            return False
    except CounterfoilError as error:
        return error.reason is Reason.ALREADY_RUNNING


def test_a_folder_is_held_against_other_processes_until_let_go(
    start: Start, tmp_path: Path
) -> None:
    process = start(HOLDS.format(folder=str(tmp_path)))
    assert line(process) == "held"
    assert refused(tmp_path)
    assert end(process)[0] == 0
    assert not refused(tmp_path)


def test_a_killed_process_holds_nothing(start: Start, tmp_path: Path) -> None:
    process = start(HOLDS.format(folder=str(tmp_path)))
    assert line(process) == "held"
    process.kill()
    process.wait()
    assert not refused(tmp_path)


def test_a_refused_process_does_not_free_the_folder(start: Start, tmp_path: Path) -> None:
    process = start(HOLDS.format(folder=str(tmp_path)))
    assert line(process) == "held"
    assert refused(tmp_path)
    assert refused(tmp_path)


def test_a_folder_is_held_against_a_second_lock_of_the_same_process(tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        assert refused(tmp_path)
    assert not refused(tmp_path)
    with FolderLock(tmp_path):
        pass


def test_locking_leaves_no_descriptor_behind(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with FolderLock(tmp_path):
            refused(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


async def test_waiting_for_the_end_is_bounded() -> None:
    stop = Stop()
    assert not await stop.wait(0.01)
    stop.ask("test")
    stop.ask("again")
    assert await stop.wait(0.01)
    assert await stop.wait()
    assert not stop.failed


async def test_ending_waits_for_what_background_work_has_to_clean_up() -> None:
    stop, cleaned = Stop(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    stop.supervise("work", work())
    await asyncio.sleep(0)
    await stop.end_tasks()
    assert cleaned == [True]
    assert not stop.failed
