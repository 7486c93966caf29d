"""A real node beside a real gateway: from an empty folder to an answer, and through what operators
do to it. The tests of this module share one town, and each leaves it working."""

from __future__ import annotations

import json
import shutil
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from counterfoil.answer import AnswerStatus
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import ProductKind
from counterfoil.inquiry import Purpose
from counterfoil.v1 import desk_service_pb2, desk_service_pb2_grpc
from counterfoil_daemon.errors_on_wire import from_rpc_error
from counterfoil_node.desk_client import DeskClient, DeskReply, RawAsk
from support.books import resident_id
from support.gateways import GatewayProcess
from support.loan_rows import open_row, write_tape
from support.nodes import MODULE, NodeProcess, opened_loan
from support.processes import command, wait_until

SHARED = 1
"""The borrower whom both lenders know."""


@dataclass
class Neighbours:
    """A gateway and two nodes; harbour evaluates."""

    folder: Path
    gateway: GatewayProcess
    harbour: NodeProcess
    lotus: NodeProcess


def as_of() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def import_tape(
    node: NodeProcess, rows: list[dict[str, str]], kind: str = "full", *more: str
) -> dict[str, int]:
    tape = write_tape(node.folder.parent / f"{node.lender}.csv", rows)
    done = command(
        MODULE,
        *("import", tape, "--dir", node.folder, "--as-of", as_of(), "--kind", kind, "--json"),
        *more,
    )
    report: dict[str, int] = json.loads(done.stdout)
    return report


def published(node: NodeProcess) -> bool:
    status = node.status()
    return not status["pending_borrowers"] and not status["outbox_batches"]


def wait_published(node: NodeProcess) -> None:
    wait_until(lambda: published(node), f"{node.lender} has published")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    folder = tmp_path_factory.mktemp("town")
    gateway = GatewayProcess(folder / "gateway")
    harbour = NodeProcess(folder / "harbour", "harbour", evaluator=True)
    lotus = NodeProcess(folder / "lotus", "lotus", "online_lender")
    gateway.init()
    gateway.start()
    try:
        for node in (harbour, lotus):
            node.join(gateway)
            import_tape(node, [open_row(SHARED), open_row(10), open_row(11)])
            node.start()
        for node in (harbour, lotus):
            wait_published(node)
        yield Neighbours(folder, gateway, harbour, lotus)
    finally:
        for daemon in (harbour, lotus, gateway):
            daemon.stop()


async def ask(
    node: NodeProcess, number: int, application_id: str, timeout: float = 20
) -> DeskReply:
    async with DeskClient(node.desk) as desk:
        return await desk.assess(
            RawAsk(
                scheme="cn-resident-id",
                value=resident_id(number),
                product_kind=ProductKind.CASH_LOAN,
                amount_minor=500_000,
                currency="CNY",
                application_id=application_id,
                purpose=Purpose.CREDIT_APPLICATION,
            ),
            timeout,
        )


async def test_the_gateway_adds_what_the_neighbour_knows(town: Neighbours) -> None:
    reply = await ask(town.harbour, SHARED, "A-shared")
    answer = reply.answer
    assert answer.status is AnswerStatus.ASSESSED
    assert answer.active_lenders == 2
    assert reply.own_exposure
    (band,) = answer.joint_outstanding
    # 8,000.00 each: the neighbour's in a band, the own one exactly.
    assert band.low_minor <= 1_600_000 < band.high_minor


async def test_a_borrower_whom_nobody_knows_has_no_record(town: Neighbours) -> None:
    reply = await ask(town.lotus, 777, "A-stranger")
    assert reply.answer.status is AnswerStatus.NO_RECORD
    assert not reply.own_exposure


def test_the_command_line_asks_with_the_number_on_standard_input(town: Neighbours) -> None:
    arguments = (
        *("assess", "--dir", town.harbour.folder, "--scheme", "cn-resident-id"),
        *("--application-id", "A-cli", "--product", "cash_loan"),
        *("--amount", "5000.00", "--currency", "CNY"),
    )
    told = command(MODULE, *arguments, stdin=resident_id(SHARED) + "\n")
    assert "ASSESSED" in told.stdout
    shown = json.loads(command(MODULE, *arguments, "--json", stdin=resident_id(SHARED)).stdout)
    assert shown["answer"]["active_lenders"] == 2
    assert shown["answer"]["status"] == "ASSESSED"
    assert resident_id(SHARED) not in told.stdout + told.stderr


def test_a_bad_number_is_refused_without_repeating_it(town: Neighbours) -> None:
    wrong = resident_id(SHARED)[:-1] + ("1" if resident_id(SHARED)[-1] != "1" else "2")
    done = command(
        MODULE,
        *("assess", "--dir", town.harbour.folder, "--scheme", "cn-resident-id"),
        *("--application-id", "A-bad", "--product", "cash_loan"),
        *("--amount", "1", "--currency", "CNY"),
        stdin=wrong,
        check=False,
    )
    assert done.returncode == 1
    assert Reason.IDENTIFIER_CHECK_DIGIT in done.stderr
    assert wrong not in done.stderr


def test_an_import_beside_the_running_daemon_is_published(town: Neighbours) -> None:
    before = town.lotus.status()["acknowledged_sequence"]
    report = import_tape(town.lotus, [open_row(20), open_row(21)], "delta")
    assert report["changed_borrowers"] == 2
    wait_published(town.lotus)
    assert town.lotus.status()["acknowledged_sequence"] > before


async def test_reported_events_are_published(town: Neighbours) -> None:
    before = town.lotus.status()["acknowledged_sequence"]
    request = desk_service_pb2.ReportLoanEventsRequest(
        request_id="R-1", events=[opened_loan("L-desk", "C01234567")]
    )
    async with DeskClient(town.lotus.desk) as desk:
        assert await desk.report(request, 10) == 1
        assert await desk.report(request, 10) == 1
    wait_until(
        lambda: town.lotus.status()["acknowledged_sequence"] == before + 1, "it is published"
    )


def test_bad_rows_are_listed_and_nothing_is_imported(town: Neighbours) -> None:
    before = town.lotus.status()["loans"]
    tape = write_tape(town.folder / "bad.csv", [open_row(30), open_row(31, amount="-5")])
    done = command(
        MODULE,
        *("import", tape, "--dir", town.lotus.folder, "--as-of", as_of(), "--kind", "delta"),
        check=False,
    )
    assert done.returncode == 1
    assert "line 3: AMOUNT_NEGATIVE: amount:" in done.stderr
    assert town.lotus.status()["loans"] == before


def test_the_desk_is_for_its_owner_only(town: Neighbours) -> None:
    mode = stat.S_IMODE((town.harbour.folder / "desk.sock").stat().st_mode)
    assert mode == 0o600
    for secret in [*(town.harbour.folder / "keys").iterdir(), town.harbour.folder / "node.db"]:
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600


async def test_the_desk_asks_for_a_deadline(town: Neighbours) -> None:
    async with grpc.aio.insecure_channel(town.harbour.desk) as channel:
        stub = desk_service_pb2_grpc.DeskServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetNodeStatus(desk_service_pb2.GetNodeStatusRequest())
    assert from_rpc_error(refused.value).reason is Reason.DEADLINE_REQUIRED


def test_a_second_daemon_on_the_folder_is_refused(town: Neighbours) -> None:
    done = command(MODULE, "run", "--dir", town.harbour.folder, check=False)
    assert done.returncode == 1
    assert Reason.ALREADY_RUNNING in done.stderr


def test_enrolling_twice_is_refused(town: Neighbours) -> None:
    invitation = town.folder / "harbour.invitation"
    done = command(
        MODULE, "enrol", "--dir", town.harbour.folder, "--invitation", invitation, check=False
    )
    assert Reason.ALREADY_EXISTS in done.stderr


def test_metrics_tell_how_the_node_stands(town: Neighbours) -> None:
    code, text = town.harbour.get("/metrics")
    assert code == 200
    assert "counterfoil_node_acknowledged_sequence" in text
    assert resident_id(SHARED) not in text


async def test_a_restart_goes_on_where_it_was(town: Neighbours) -> None:
    sequence = town.lotus.status()["acknowledged_sequence"]
    assert town.lotus.stop() == 0
    import_tape(town.lotus, [open_row(40)], "delta")
    town.lotus.start()
    wait_published(town.lotus)
    assert town.lotus.status()["acknowledged_sequence"] == sequence + 1
    assert (await ask(town.lotus, SHARED, "A-again")).answer.active_lenders == 2


async def test_sighup_takes_a_renewed_certificate(town: Neighbours) -> None:
    path = town.lotus.folder / "tls" / "client.pem"
    old = x509.load_pem_x509_certificate(path.read_bytes())
    command(MODULE, "renew", "--dir", town.lotus.folder)
    new = x509.load_pem_x509_certificate(path.read_bytes())
    assert old.serial_number != new.serial_number
    town.lotus.send(signal.SIGHUP)
    wait_until(lambda: '"reloaded"' in town.lotus.tail(), "it has reloaded")
    assert (await ask(town.lotus, SHARED, "A-renewed")).answer.status is AnswerStatus.ASSESSED


async def test_a_rotated_key_signs_what_comes_after(town: Neighbours) -> None:
    done = command(MODULE, "rotate-key", "--dir", town.lotus.folder, check=False)
    assert Reason.ALREADY_RUNNING in done.stderr
    town.lotus.stop()
    before = (town.lotus.folder / "keys" / "record.key").read_bytes()
    command(MODULE, "rotate-key", "--dir", town.lotus.folder)
    assert (town.lotus.folder / "keys" / "record.key").read_bytes() != before
    town.lotus.start()
    import_tape(town.lotus, [open_row(50)], "delta")
    wait_published(town.lotus)
    assert (await ask(town.lotus, SHARED, "A-rotated")).answer.status is AnswerStatus.ASSESSED


async def test_a_rotation_that_was_cut_off_stops_the_start_and_can_be_repeated(
    town: Neighbours,
) -> None:
    town.lotus.stop()
    keys = town.lotus.folder / "keys"
    # As if the gateway's reply had been lost: the old key still lies there.
    old = (keys / "record.key").read_bytes()
    command(MODULE, "rotate-key", "--dir", town.lotus.folder)
    (keys / "record.key").rename(keys / "record.key.next")
    (keys / "record.key").write_bytes(old)
    (keys / "record.key").chmod(0o600)
    done = command(MODULE, "run", "--dir", town.lotus.folder, check=False)
    assert done.returncode == 2
    assert "rotate-key" in done.stderr
    command(MODULE, "rotate-key", "--dir", town.lotus.folder)
    town.lotus.start()
    assert (await ask(town.lotus, SHARED, "A-resumed")).answer.status is AnswerStatus.ASSESSED


async def test_without_the_gateway_answers_are_unavailable_and_changes_wait(
    town: Neighbours,
) -> None:
    town.gateway.stop()
    try:
        reply = await ask(town.harbour, SHARED, "A-alone", timeout=3)
        assert reply.answer.status is AnswerStatus.UNAVAILABLE
        assert reply.answer.issuer == "harbour"
        assert reply.own_exposure
        import_tape(town.harbour, [open_row(60)], "delta")
        wait_until(
            lambda: "gateway" in json.loads(town.harbour.get("/readyz")[1])["failing"],
            "the node is not ready",
        )
        assert town.harbour.status()["pending_borrowers"] >= 1
    finally:
        town.gateway.start()
    town.harbour.wait_ready()
    wait_published(town.harbour)
    # The very question asked again is the same act.
    assert (await ask(town.harbour, SHARED, "A-alone")).answer.status is AnswerStatus.ASSESSED


@pytest.mark.parametrize(
    "name",
    [
        "node.toml",
        "node.db",
        "network.json",
        "keys/record.key",
        "keys/book.key",
        "keys/evaluator.key",
        "tls/client.pem",
        "tls/client.key",
        "tls/ca.pem",
    ],
)
def test_a_missing_file_stops_the_start(town: Neighbours, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "harbour"
    ignored = shutil.ignore_patterns("desk.sock", ".lock", "*-wal", "*-shm")
    shutil.copytree(town.harbour.folder, copy, ignore=ignored)
    (copy / name).unlink()
    done = command(MODULE, "run", "--dir", copy, check=False)
    assert done.returncode == 2, done.stderr
    assert Reason.FILE_MISSING in done.stderr
    assert not (copy / name).exists()


def test_a_secret_that_others_can_read_stops_the_start(town: Neighbours, tmp_path: Path) -> None:
    copy = tmp_path / "harbour"
    ignored = shutil.ignore_patterns("desk.sock", ".lock", "*-wal", "*-shm")
    shutil.copytree(town.harbour.folder, copy, ignore=ignored)
    (copy / "keys" / "record.key").chmod(0o644)
    done = command(MODULE, "run", "--dir", copy, check=False)
    assert done.returncode == 2
    assert Reason.CONFIG_INVALID in done.stderr


def test_another_lenders_invitation_is_refused(town: Neighbours, tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "pine", "pine")
    command(
        MODULE,
        *("init", "--dir", node.folder, "--lender", "pine", "--kind", "bank"),
    )
    invitation = town.gateway.admit("maple")
    done = command(MODULE, "enrol", "--dir", node.folder, "--invitation", invitation, check=False)
    assert Reason.LENDER_MISMATCH in done.stderr
    assert not (node.folder / "network.json").exists()


async def ask_on_and_on(node: NodeProcess) -> None:
    """The gateway obeys its operator within a second; a hundred questions take longer."""
    for number in range(100):
        await ask(node, SHARED, f"A-suspended-{number}")


async def test_a_suspended_lender_is_told_so(town: Neighbours) -> None:
    arguments = ("--dir", town.gateway.folder, "--lender", "lotus")
    command("counterfoil_gateway.cli", "suspend", *arguments, "--reason", "a test")
    try:
        with pytest.raises(CounterfoilError) as refused:
            await ask_on_and_on(town.lotus)
        assert refused.value.reason is Reason.LENDER_SUSPENDED
    finally:
        command("counterfoil_gateway.cli", "reinstate", *arguments)
    wait_published(town.lotus)


def test_the_logs_hold_no_number(town: Neighbours) -> None:
    for node in (town.harbour, town.lotus):
        text = node.log.read_text()
        assert "batch_published" in text
        assert not [n for n in (SHARED, 10, 11, 20, 777) if resident_id(n) in text]
