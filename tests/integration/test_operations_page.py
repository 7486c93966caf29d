"""A newcomer starts one gateway and one node by hand from docs/operations: the page's own commands,
word for word, in an empty folder. Only the ports are other ones, by environment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from support.processes import PATIENCE_SECONDS, environment, free_port, wait_until

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"
DAEMONS = ("counterfoil-gateway serve", "counterfoil-node run")


def commands() -> list[str]:
    """Every command of the page's shell blocks, in order."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip()]


@contextmanager
def running(command: str, folder: Path, env: dict[str, str]) -> Iterator[None]:
    """A daemon of the page, until the end of the block."""
    with (folder / "daemon.log").open("ab") as log:
        process = subprocess.Popen(command.split(), cwd=folder, env=env, stdout=log, stderr=log)
        try:
            yield
            assert process.poll() is None, f"{command} still runs"
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_SECONDS) == 0, command
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def shell(command: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_pages_commands_bring_up_a_gateway_and_a_node(tmp_path: Path) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    env = environment() | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COUNTERFOIL_GATEWAY_LISTEN_GRPC": f"127.0.0.1:{free_port()}",
        "COUNTERFOIL_GATEWAY_LISTEN_ENROL": f"127.0.0.1:{free_port()}",
        "COUNTERFOIL_GATEWAY_LISTEN_WEB": f"127.0.0.1:{free_port()}",
        "COUNTERFOIL_NODE_WEB_LISTEN": f"127.0.0.1:{free_port()}",
    }
    outputs = run_all(commands(), tmp_path, env)
    assert "outbox_batches: 0" in outputs["counterfoil-node status --dir harbour"]
    answer = next(text for command, text in outputs.items() if " assess " in command)
    assert "active lenders" in answer
    assert "members_active     1" in outputs["counterfoil-gateway status --dir gw"]


def run_all(todo: list[str], folder: Path, env: dict[str, str]) -> dict[str, str]:
    """Runs the commands in order; daemons stay up until the last command is done."""
    outputs: dict[str, str] = {}
    for place, command in enumerate(todo):
        if command.startswith(DAEMONS):
            web = env[
                "COUNTERFOIL_GATEWAY_LISTEN_WEB"
                if "gateway" in command
                else "COUNTERFOIL_NODE_WEB_LISTEN"
            ]
            with running(command, folder, env):
                wait_until(partial(is_ready, web), command)
                outputs |= run_all(todo[place + 1 :], folder, env)
            break
        if command.startswith("counterfoil-node status"):
            wait_until(lambda: published(folder, env), "the tape is published")
        done = shell(command, folder, env)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        outputs[command] = done.stdout
    return outputs


def is_ready(web: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{web}/readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def published(folder: Path, env: dict[str, str]) -> bool:
    status = shell("counterfoil-node status --dir harbour", folder, env).stdout
    return "pending_borrowers: 0" in status and "outbox_batches: 0" in status
