"""The gateway as its operator meets it: start, refusal to start, signals, health, commands."""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from support.gateways import MODULE, GatewayProcess, enrol, publish
from support.processes import command, wait_until

FILES = (
    "gateway.toml",
    "gateway.db",
    "policy.toml",
    "ca/ca.pem",
    "ca/ca.key",
    "tls/server.pem",
    "tls/server.key",
    "keys/answer.key",
)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway that is made but not started."""
    process = GatewayProcess(tmp_path / "gateway")
    process.init()
    try:
        yield process
    finally:
        process.stop()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_init_makes_every_file_and_secrets_are_the_owners_alone(gateway: GatewayProcess) -> None:
    assert files(gateway.folder) == set(FILES)
    for name in ("ca/ca.key", "tls/server.key", "keys/answer.key", "gateway.db"):
        assert (gateway.folder / name).stat().st_mode & 0o077 == 0, name


def test_init_leaves_a_folder_with_something_in_it_alone(gateway: GatewayProcess) -> None:
    before = {name: (gateway.folder / name).read_bytes() for name in FILES}
    done = command(MODULE, "init", "--dir", gateway.folder, "--network", "x", check=False)
    assert done.returncode == 1
    assert "ALREADY_EXISTS" in done.stderr
    assert before == {name: (gateway.folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_stops_the_start_and_is_not_made(gateway: GatewayProcess, name: str) -> None:
    (gateway.folder / name).unlink()
    done = command(MODULE, "serve", "--dir", gateway.folder, check=False)
    assert done.returncode == 2
    assert "FILE_MISSING" in done.stderr
    assert Path(name).name in done.stderr
    assert not (gateway.folder / name).exists()


def test_a_key_open_to_others_stops_the_start(gateway: GatewayProcess) -> None:
    (gateway.folder / "keys" / "answer.key").chmod(0o644)
    done = command(MODULE, "serve", "--dir", gateway.folder, check=False)
    assert (done.returncode, "answer.key" in done.stderr) == (2, True)


def test_another_answer_key_than_members_pinned_stops_the_start(gateway: GatewayProcess) -> None:
    (gateway.folder / "keys" / "answer.key").write_bytes(bytes(range(32)))
    done = command(MODULE, "serve", "--dir", gateway.folder, check=False)
    assert (done.returncode, "members pinned" in done.stderr) == (2, True)


def test_a_bad_policy_stops_the_start(gateway: GatewayProcess) -> None:
    with (gateway.folder / "policy.toml").open("a") as file:
        file.write("\nunknown = 1\n")
    for arguments in (["serve"], ["config", "check"]):
        done = command(MODULE, *arguments, "--dir", gateway.folder, check=False)
        assert (done.returncode, "POLICY_INVALID" in done.stderr) == (2, True)


def test_a_second_gateway_on_one_folder_or_port_is_refused(
    gateway: GatewayProcess, tmp_path: Path
) -> None:
    gateway.start()
    done = command(MODULE, "serve", "--dir", gateway.folder, check=False)
    assert (done.returncode, "ALREADY_RUNNING" in done.stderr) == (1, True)
    other = GatewayProcess(tmp_path / "other", "other")
    other.grpc_port = gateway.grpc_port
    other.init()
    done = command(MODULE, "serve", "--dir", other.folder, check=False)
    assert (done.returncode, "cannot listen" in done.stderr) == (2, True)
    assert gateway.ready


def test_health_is_told_everywhere_and_metrics_count(gateway: GatewayProcess) -> None:
    gateway.start()
    assert gateway.get("/healthz")[0] == 200
    assert json.loads(gateway.get("/readyz")[1]) == {"ready": True, "failing": {}}
    lender = asyncio.run(enrol(gateway.admit("harbour", evaluator=True), evaluator=True))

    async def look() -> tuple[list[int], grpc.StatusCode]:
        async with lender.channel() as channel:
            await publish(channel, lender.seal())
            stub = health_pb2_grpc.HealthStub(channel)
            names = ("", "counterfoil.v1.AssessmentService")
            told = [
                (await stub.Check(health_pb2.HealthCheckRequest(service=n), timeout=5)).status
                for n in names
            ]
            requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = reflection.ServerReflectionInfo(requests, timeout=5)
            return told, await asked.code()

    told, reflected = asyncio.run(look())
    assert told == [health_pb2.HealthCheckResponse.SERVING] * 2
    assert reflected is grpc.StatusCode.UNIMPLEMENTED, "reflection is on demand"
    metrics = gateway.get("/metrics")[1]
    assert 'counterfoil_calls_total{method="PublishBatch",reason="OK"} 1.0' in metrics
    assert "counterfoil_commit_seconds_count" in metrics


def test_reflection_is_served_on_demand(gateway: GatewayProcess) -> None:
    gateway.configure({"COUNTERFOIL_GATEWAY_SERVE_REFLECTION": "true"})
    gateway.start()
    lender = asyncio.run(enrol(gateway.admit("harbour")))

    async def services() -> list[str]:
        async with lender.channel() as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            async for response in stub.ServerReflectionInfo(requests, timeout=5):
                return [s.name for s in response.list_services_response.service]
        return []

    assert "counterfoil.v1.PublishingService" in asyncio.run(services())


def test_sigterm_lets_calls_under_way_finish(gateway: GatewayProcess) -> None:
    gateway.start()
    lender = asyncio.run(enrol(gateway.admit("harbour", evaluator=True), evaluator=True))
    accepted = 0
    started = threading.Event()

    async def work() -> None:
        """Publishes until the gateway is gone; a call that was begun ends well."""
        nonlocal accepted
        async with lender.channel() as channel:
            while True:
                sealed = lender.seal()
                try:
                    await publish(channel, sealed)
                except Exception:
                    return
                lender.accepted(sealed)
                accepted += 1
                started.set()

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    assert started.wait(20)
    assert gateway.stop() == 0
    thread.join()
    assert gateway.status()["batches"] in (accepted, accepted + 1)


def test_sighup_serves_the_new_certificate(gateway: GatewayProcess) -> None:
    gateway.start()
    before = served(gateway.grpc_port)
    command(MODULE, "renew-tls", "--dir", gateway.folder)
    assert served(gateway.grpc_port) == before
    gateway.send(signal.SIGHUP)
    wait_until(lambda: served(gateway.grpc_port) != before, "the new certificate is served")
    assert gateway.ready


def served(port: int) -> int:
    """Serial number of the certificate that a port shows."""
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def test_logs_are_json_lines(gateway: GatewayProcess) -> None:
    gateway.start()
    gateway.stop()
    events = [json.loads(line)["event"] for line in gateway.log.read_text().splitlines()]
    assert {"serving", "stopping"} <= set(events)


def test_settings_are_shown_with_where_they_come_from(
    gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = command(MODULE, "config", "show", "--dir", gateway.folder).stdout
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    assert rows["listen.grpc"] == [f"127.0.0.1:{gateway.grpc_port}", "gateway.toml"]
    assert command(MODULE, "config", "check", "--dir", gateway.folder).stdout == "ok\n"


def test_members_and_policies_are_told(gateway: GatewayProcess) -> None:
    gateway.admit("harbour")
    rows = json.loads(command(MODULE, "members", "--dir", gateway.folder, "--json").stdout)
    assert [(row["lender"], row["state"]) for row in rows] == [("harbour", "admitted")]
    checked = command(MODULE, "policy", "check", gateway.folder / "policy.toml").stdout
    assert checked.split()[1] == str(gateway.status()["policy_hash"])
    done = command(
        MODULE,
        "suspend",
        "--dir",
        gateway.folder,
        "--lender",
        "nobody",
        "--reason",
        "x",
        check=False,
    )
    assert (done.returncode, "LENDER_UNKNOWN" in done.stderr) == (1, True)
