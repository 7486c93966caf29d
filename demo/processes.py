"""The demo's daemons: real processes, started by their command lines, ended when the demo ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

GATEWAY = "counterfoil_gateway.cli"
NODE = "counterfoil_node.cli"

PATIENCE_SECONDS = 60.0
LONGEST_SOCKET_PATH = 100
"""Bytes: a Unix socket's path has little more room."""


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def environment(settings: dict[str, str]) -> dict[str, str]:
    """The environment without settings of somebody else's daemons, and with these."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("COUNTERFOIL_")}
    return own | settings


def run(module: str, *arguments: str | Path) -> str:
    """Runs a command to its end and returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment({}),
    )
    if done.returncode:
        raise DemoFailed(f"{module} {arguments[0]} exited {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Daemons:
    """Every daemon that was started; a context manager that ends them all."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Daemons:
        return self

    def __exit__(self, *_: object) -> None:
        # Last started, first ended: nodes drain while their gateway still answers.
        for name, process in reversed(self._running.items()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                print(f"{name} had to be killed", file=sys.stderr)

    def start(self, name: str, module: str, *arguments: str | Path, **settings: str) -> None:
        """Starts a daemon; its output goes to a log file of its name."""
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *map(str, arguments)],
                stdout=log,
                stderr=log,
                env=environment(settings),
            )

    def wait_ready(self, name: str, port: int) -> None:
        """Waits until a daemon says that it is ready."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_ready(port):
            if self._running[name].poll() is not None or time.monotonic() > deadline:
                log = (self._logs / f"{name}.log").read_text(errors="replace")
                raise DemoFailed(f"{name} does not get ready: {log[-1_000:]}")
            time.sleep(0.05)

    @staticmethod
    def _is_ready(port: int) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as response:
                return bool(response.status == 200)
        except OSError:
            return False
