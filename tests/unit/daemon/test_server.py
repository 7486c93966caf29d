"""Servers: TLS that demands and reloads, ports that are not shared, health that does not lie."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from unit.daemon.pki import Authority
from unit.daemon.raw import serve, unary

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil_daemon.lifecycle import Stop
from counterfoil_daemon.server import (
    Readiness,
    ReloadingCredentials,
    TlsFiles,
    bind,
    drain,
    make_server,
    secure_channel,
)

CLIENT = "spiffe://demo/lender/east-bank"
Status = health_pb2.HealthCheckResponse


async def ping(_: bytes, __: Any) -> bytes:
    return b"pong"


def make_ping_server(behaviour: Any = ping) -> grpc.aio.Server:
    server = make_server()
    serve(server, behaviour)
    return server


@asynccontextmanager
async def serving(tls: ReloadingCredentials) -> AsyncIterator[int]:
    server = make_ping_server()
    port = bind(server, "127.0.0.1:0", tls.credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def reach(
    port: int, ca: bytes, identity: tuple[bytes, bytes] | None = None
) -> grpc.StatusCode:
    """The status of one call over a connection of its own."""
    certificate, key = identity or (None, None)
    async with secure_channel(
        f"127.0.0.1:{port}", ca=ca, certificate=certificate, key=key
    ) as channel:
        try:
            await unary(channel, "/t/Ping")(b"", timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def served_serial(port: int) -> int:
    """The serial number of the certificate that a new handshake is shown."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return x509.load_der_x509_certificate(found).serial_number


def serial(files: TlsFiles) -> int:
    return x509.load_pem_x509_certificate(files.certificate.read_bytes()).serial_number


async def test_a_member_s_certificate_opens_the_mtls_port(
    tmp_path: Path, authority: Authority
) -> None:
    tls = ReloadingCredentials(authority.write_server(tmp_path), require_client=True)
    async with serving(tls) as port:
        assert await reach(port, authority.pem, authority.issue(CLIENT)) is grpc.StatusCode.OK


async def test_without_a_certificate_of_this_authority_the_mtls_port_stays_shut(
    tmp_path: Path, authority: Authority
) -> None:
    tls = ReloadingCredentials(authority.write_server(tmp_path), require_client=True)
    stranger = Authority().issue(CLIENT)
    async with serving(tls) as port:
        assert await reach(port, authority.pem) is grpc.StatusCode.UNAVAILABLE
        assert await reach(port, authority.pem, stranger) is grpc.StatusCode.UNAVAILABLE


async def test_the_enrolment_port_asks_for_no_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    tls = ReloadingCredentials(authority.write_server(tmp_path), require_client=False)
    async with serving(tls) as port:
        assert await reach(port, authority.pem) is grpc.StatusCode.OK


async def test_a_client_refuses_a_server_of_another_authority_or_name(
    tmp_path: Path, authority: Authority
) -> None:
    tls = ReloadingCredentials(authority.write_server(tmp_path), require_client=False)
    async with serving(tls) as port:
        assert await reach(port, Authority().pem) is grpc.StatusCode.UNAVAILABLE
    tls = ReloadingCredentials(
        authority.write_server(tmp_path, "elsewhere.test"), require_client=False
    )
    async with serving(tls) as port:
        assert await reach(port, authority.pem) is grpc.StatusCode.UNAVAILABLE


async def test_plain_text_gets_nowhere_on_a_tls_port(tmp_path: Path, authority: Authority) -> None:
    tls = ReloadingCredentials(authority.write_server(tmp_path), require_client=False)
    async with serving(tls) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await unary(channel, "/t/Ping")(b"", timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_new_files_serve_new_connections_after_a_reload_and_old_ones_live_on(
    tmp_path: Path, authority: Authority
) -> None:
    first = serial(authority.write_server(tmp_path))
    tls = ReloadingCredentials(
        TlsFiles(tmp_path / "server.pem", tmp_path / "server.key", tmp_path / "ca.pem"),
        require_client=False,
    )
    async with (
        serving(tls) as port,
        secure_channel(f"127.0.0.1:{port}", ca=authority.pem) as channel,
    ):
        await unary(channel, "/t/Ping")(b"", timeout=5)
        second = serial(authority.write_server(tmp_path))
        assert await served_serial(port) == first
        tls.reload()
        assert await served_serial(port) == second != first
        assert await served_serial(port) == second
        await unary(channel, "/t/Ping")(b"", timeout=5)


async def test_a_reload_takes_the_authority_for_clients_too(
    tmp_path: Path, authority: Authority
) -> None:
    tls = ReloadingCredentials(authority.write_server(tmp_path), require_client=True)
    successor = Authority()
    async with serving(tls) as port:
        successor.write_server(tmp_path)
        tls.reload()
        assert await reach(port, successor.pem, successor.issue(CLIENT)) is grpc.StatusCode.OK
        refused = await reach(port, successor.pem, authority.issue(CLIENT))
    assert refused is grpc.StatusCode.UNAVAILABLE


async def test_a_reload_with_a_missing_file_is_refused_and_the_old_one_serves_on(
    tmp_path: Path, authority: Authority
) -> None:
    files = authority.write_server(tmp_path)
    first = serial(files)
    tls = ReloadingCredentials(files, require_client=False)
    async with serving(tls) as port:
        files.key.unlink()
        with pytest.raises(CounterfoilError) as caught:
            tls.reload()
        assert (caught.value.reason, caught.value.field) == (Reason.FILE_MISSING, "server.key")
        assert await served_serial(port) == first


async def test_a_reload_with_a_key_that_does_not_fit_is_refused_and_the_old_one_serves_on(
    tmp_path: Path, authority: Authority
) -> None:
    files = authority.write_server(tmp_path)
    first = serial(files)
    tls = ReloadingCredentials(files, require_client=False)
    async with serving(tls) as port:
        files.certificate.write_bytes(authority.issue("127.0.0.1")[0])
        with pytest.raises(CounterfoilError):
            tls.reload()
        assert await served_serial(port) == first


async def test_a_server_with_a_key_that_does_not_fit_does_not_start(
    tmp_path: Path, authority: Authority
) -> None:
    files = authority.write_server(tmp_path)
    files.certificate.write_bytes(authority.issue("127.0.0.1")[0])
    server = make_server()
    with pytest.raises(CounterfoilError):
        bind(
            server,
            "127.0.0.1:0",
            ReloadingCredentials(files, require_client=False).credentials,
        )


def test_credentials_without_their_files_are_refused(tmp_path: Path, authority: Authority) -> None:
    files = authority.write_server(tmp_path)
    files.ca.unlink()
    with pytest.raises(CounterfoilError) as caught:
        ReloadingCredentials(files, require_client=True)
    assert (caught.value.reason, caught.value.field) == (Reason.FILE_MISSING, "ca.pem")


async def test_a_port_in_use_is_refused_and_not_shared() -> None:
    first, second = make_ping_server(), make_ping_server()
    port = bind(first, "127.0.0.1:0")
    await first.start()
    try:
        with pytest.raises(InvalidInput) as caught:
            bind(second, f"127.0.0.1:{port}")
    finally:
        await first.stop(None)
        await second.stop(None)
    assert caught.value.reason is Reason.CONFIG_INVALID
    assert str(port) in caught.value.message


async def test_an_address_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    server = make_server()
    with pytest.raises(InvalidInput):
        bind(server, "203.0.113.1:1")
    with pytest.raises(InvalidInput):
        bind(server, f"unix:{tmp_path}/{'x' * 200}")


async def test_a_unix_socket_serves(tmp_path: Path) -> None:
    server = make_ping_server()
    bind(server, f"unix:{tmp_path}/desk.sock")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/desk.sock") as channel:
            assert await unary(channel, "/t/Ping")(b"", timeout=5) == b"pong"
    finally:
        await server.stop(None)


async def test_draining_lets_a_call_under_way_finish_and_takes_no_other() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: bytes, __: Any) -> bytes:
        entered.set()
        await go_on.wait()
        return b"done"

    server = make_ping_server(slow)
    port = bind(server, "127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        under_way = asyncio.ensure_future(unary(channel, "/t/Ping")(b"", timeout=10))
        await asyncio.wait_for(entered.wait(), 5)
        draining = asyncio.create_task(drain([server], 10))
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]
        ) as late:
            async with asyncio.timeout(5):
                while await code_of(late) is not grpc.StatusCode.UNAVAILABLE:
                    await asyncio.sleep(0.01)
        go_on.set()
        assert await under_way == b"done"
        await asyncio.wait_for(draining, 5)


async def code_of(channel: grpc.aio.Channel) -> grpc.StatusCode:
    try:
        await unary(channel, "/t/Ping")(b"", timeout=0.2)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


class Store:
    """Something that a check asks."""

    def __init__(self) -> None:
        self.broken = False

    async def check(self) -> None:
        if self.broken:
            raise CounterfoilError(Reason.STORE_FAILED, "gone")


@asynccontextmanager
async def health_of(readiness: Readiness) -> AsyncIterator[Any]:
    server = make_server()
    readiness.add_to(server)
    port = bind(server, "127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield health_pb2_grpc.HealthStub(channel)
    finally:
        await server.stop(None)


async def told(stub: Any) -> int:
    answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    return int(answer.status)


async def test_before_the_first_judgement_nothing_is_ready() -> None:
    readiness = Readiness({})
    assert not readiness.ready
    async with health_of(readiness) as stub:
        assert await told(stub) == Status.NOT_SERVING


async def test_health_follows_the_checks_both_ways() -> None:
    store = Store()
    readiness = Readiness({"store": store.check})
    async with health_of(readiness) as stub:
        await readiness.judge()
        assert (readiness.ready, await told(stub)) == (True, Status.SERVING)
        store.broken = True
        await readiness.judge()
        assert readiness.failing == {"store": "STORE_FAILED"}
        assert await told(stub) == Status.NOT_SERVING
        store.broken = False
        await readiness.judge()
        assert (readiness.failing, await told(stub)) == ({}, Status.SERVING)


async def test_health_is_told_on_every_server() -> None:
    readiness = Readiness({})
    async with health_of(readiness) as one, health_of(readiness) as other:
        await readiness.judge()
        assert await told(one) == await told(other) == Status.SERVING


async def test_a_daemon_that_is_to_end_is_not_ready() -> None:
    readiness, stop = Readiness({}), Stop()
    async with health_of(readiness) as stub:
        await readiness.judge()
        watching = asyncio.create_task(readiness.watch(stop))
        stop.ask("test")
        await asyncio.wait_for(watching, 5)
        assert await told(stub) == Status.NOT_SERVING
    assert readiness.failing == {"stopping": "SHUTTING_DOWN"}


async def test_readiness_is_judged_again_and_again() -> None:
    store = Store()
    readiness, stop = Readiness({"store": store.check}), Stop()
    await readiness.judge()
    store.broken = True
    watching = asyncio.create_task(readiness.watch(stop))
    async with asyncio.timeout(5):
        while readiness.ready:
            await asyncio.sleep(0.01)
    stop.ask("test")
    await watching
