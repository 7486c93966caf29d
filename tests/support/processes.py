"""Real daemons as child processes: started, waited for, ended, killed; only ever our own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

PATIENCE_SECONDS = 30.0
"""How long a test waits for something that takes milliseconds on a quiet machine."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], bool], what: str, patience: float = PATIENCE_SECONDS) -> None:
    """Polls until something holds; fails the test by naming what did not."""
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience} s: {what}")
        time.sleep(0.02)


def environment() -> dict[str, str]:
    """The environment without anything that configures our daemons."""
    return {k: v for k, v in os.environ.items() if not k.startswith("COUNTERFOIL_")}


def command(
    module: str, *arguments: str | Path, check: bool = True, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command line of ours to its end."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=120,
        check=False,
        env=environment(),
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{module} {arguments[0]} exited {done.returncode}: {done.stderr}")
    return done


class Daemon:
    """One daemon process with its log file."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str | Path],
        log: Path,
        web: int,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [sys.executable, "-m", module, *map(str, arguments)]
        self._settings = dict(settings or {})
        self.log = log
        self.web = web
        self.process: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None

    def configure(self, settings: Mapping[str, str]) -> None:
        """Environment settings for the next start."""
        self._settings = dict(settings)

    def start(self, *, wait: bool = True) -> None:
        """Starts it and, unless told otherwise, waits until it is ready."""
        self._file = self.log.open("ab")
        self.process = subprocess.Popen(
            self._command, stdout=self._file, stderr=self._file, env=environment() | self._settings
        )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Waits until /readyz says so."""
        wait_until(self._ready_or_dead, f"{self.log.stem} is ready")
        if self.exit_code is not None:
            raise AssertionError(f"{self.log.stem} exited {self.exit_code}: {self.tail()}")

    def _ready_or_dead(self) -> bool:
        return self.exit_code is not None or self.ready

    @property
    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        return self.get("/readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of an HTTP GET on the web port; status 0 when nobody listens."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.web}{path}", timeout=5
            ) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    @property
    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        return None if self.process is None else self.process.poll()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2_000:]

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL: no chance to tidy up."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process = self.process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            code = process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{self.log.stem} did not end: {self.tail()}") from None
        finally:
            if self._file is not None:
                self._file.close()
        self.process = None
        return code
