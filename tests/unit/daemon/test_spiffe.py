"""Who is calling: exactly one SPIFFE name of this network, read from a real TLS connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from unit.daemon.pki import Authority
from unit.daemon.raw import serve, unary

from counterfoil.errors import CounterfoilError, Reason
from counterfoil_daemon.server import (
    ReloadingCredentials,
    bind,
    make_server,
    secure_channel,
)
from counterfoil_daemon.spiffe import peer_lender, spiffe_id


async def told_lender(folder: Path, authority: Authority, sans: tuple[str, ...]) -> str:
    """What a server makes of a client with such a certificate: the lender, or the reason."""

    async def who(_: bytes, context: Any) -> bytes:
        try:
            return peer_lender(context, "demo").encode()
        except CounterfoilError as error:
            return error.reason.value.encode()

    server = make_server()
    serve(server, who)
    tls = ReloadingCredentials(authority.write_server(folder), require_client=True)
    port = bind(server, "127.0.0.1:0", tls.credentials)
    certificate, key = authority.issue(*sans)
    await server.start()
    try:
        async with secure_channel(
            f"127.0.0.1:{port}", ca=authority.pem, certificate=certificate, key=key
        ) as channel:
            answer = await unary(channel, "/t/Ping")(b"", timeout=5)
    finally:
        await server.stop(None)
    return answer.decode()


async def test_a_member_is_known_by_its_certificate(tmp_path: Path, authority: Authority) -> None:
    sans = (spiffe_id("demo", "east-bank"),)
    assert await told_lender(tmp_path, authority, sans) == "east-bank"


@pytest.mark.parametrize(
    ("sans", "reason"),
    [
        ((), Reason.LENDER_UNKNOWN),
        (("spiffe://other/lender/east-bank",), Reason.NETWORK_MISMATCH),
        (("spiffe://demo/lender/a", "spiffe://demo/lender/b"), Reason.LENDER_UNKNOWN),
        (("spiffe://demo/lender/a", "127.0.0.1"), Reason.LENDER_UNKNOWN),
        (("spiffe://demo/lender/",), Reason.LENDER_UNKNOWN),
        (("spiffe://demo/lender/a/b",), Reason.LENDER_UNKNOWN),
        (("spiffe://demo/lender/EAST",), Reason.LENDER_UNKNOWN),
        (("spiffe://demo/gateway/a",), Reason.LENDER_UNKNOWN),
        (("https://demo/lender/a",), Reason.LENDER_UNKNOWN),
        (("spiffe://demo/lender/a?x=1",), Reason.LENDER_UNKNOWN),
        (("east-bank",), Reason.LENDER_UNKNOWN),
    ],
    ids=lambda value: "+".join(value) or "none" if isinstance(value, tuple) else value.value,
)
async def test_any_other_name_is_refused(
    tmp_path: Path, authority: Authority, sans: tuple[str, ...], reason: Reason
) -> None:
    assert await told_lender(tmp_path, authority, sans) == reason.value
