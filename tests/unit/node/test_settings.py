"""The node's settings, pins and invitation: checked before anything starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from counterfoil import oprf
from counterfoil.errors import CounterfoilError, Reason, VerificationError
from counterfoil.keys import PrivateKey
from counterfoil.membership import Member, Network
from counterfoil_node.config import load_settings, new_file
from counterfoil_node.enrol import check_network, read_invitation, repin
from counterfoil_node.folder import NodeFolder, Pinned
from counterfoil_node.link import Link

SECRET, PUBLIC = oprf.generate_key_pair()
NETWORK = Network("demo", "gateway", PrivateKey.generate().public.raw, "PEM", 1, PUBLIC)
INVITATION = {
    "expire_time": "2026-12-01T00:00:00+00:00",
    "network": "demo",
    "gateway": "gateway",
    "lender": "harbour",
    "grpc_address": "127.0.0.1:7443",
    "enrol_address": "127.0.0.1:7444",
    "ca_certificate_pem": "PEM",
    "answer_key": NETWORK.answer_key.hex(),
    "enrolment_token": "ab" * 32,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(
        new_file(
            lender="harbour",
            kind="bank",
            time_zone="Asia/Shanghai",
            evaluator=True,
            web_listen="127.0.0.1:7580",
        )
    )
    return path


def test_a_new_file_says_what_was_asked_and_the_defaults(file: Path) -> None:
    settings = load_settings(file, environment={}).value
    assert (settings.node.lender, settings.node.evaluator) == ("harbour", True)
    assert settings.tapes.max_closing_percent == 5.0


def test_environment_outranks_the_file_and_flags_outrank_both(file: Path) -> None:
    environment = {
        "COUNTERFOIL_NODE_WEB_LISTEN": "127.0.0.1:1",
        "COUNTERFOIL_NODE_LOG_LEVEL": "debug",
    }
    settings = load_settings(file, {"web.listen": "127.0.0.1:2"}, environment).value
    assert (settings.web.listen, settings.log.level) == ("127.0.0.1:2", "debug")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("node.lender", "Not A Name"),
        ("node.kind", "shop"),
        ("node.kind", "BANK"),
        ("node.time_zone", "Mars/Olympus"),
        ("gateway.address", "nowhere"),
        ("gateway.timeout_seconds", 0.0),
        ("desk.listen", "0.0.0.0:7000"),
        ("desk.margin_ms", 0),
        ("web.listen", "x"),
        ("tapes.max_closing_percent", 101.0),
        ("evaluator.lender_daily_elements", 0),
        ("log.level", "loud"),
    ],
)
def test_settings_that_cannot_be_are_refused(file: Path, field: str, value: object) -> None:
    with pytest.raises(CounterfoilError) as refused:
        load_settings(file, {field: value}, {})
    assert refused.value.reason is Reason.CONFIG_INVALID
    assert refused.value.field == field


def invitation(folder: Path, **changes: object) -> Path:
    path = folder / "x.invitation"
    path.write_text(json.dumps(INVITATION | changes))
    path.chmod(0o600)
    return path


def test_an_invitation_is_read_and_shows_no_token(tmp_path: Path) -> None:
    read = read_invitation(invitation(tmp_path))
    assert read.enrolment_token == b"\xab" * 32
    assert "ab" * 32 not in repr(read)
    assert repr(read.enrolment_token) not in repr(read)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "Not A Name"},
        {"grpc_address": "nowhere"},
        {"answer_key": "xyz"},
        {"enrolment_token": None},
    ],
)
def test_a_damaged_invitation_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(CounterfoilError) as refused:
        read_invitation(invitation(tmp_path, **changes))
    assert refused.value.reason is Reason.CONFIG_INVALID


@pytest.mark.parametrize("name", ["network", "gateway", "answer_key", "ca_certificate_pem"])
def test_a_gateway_that_is_not_the_invitations_is_refused(tmp_path: Path, name: str) -> None:
    read = read_invitation(invitation(tmp_path))
    assert check_network(NETWORK, read) == NETWORK
    other = bytes(31) + b"x" if name == "answer_key" else "other"
    with pytest.raises(VerificationError):
        check_network(replace(NETWORK, **{name: other}), read)  # type: ignore[arg-type]


def test_the_policy_may_change_and_the_token_key_may_come_but_not_change() -> None:
    pinned = Pinned(replace(NETWORK, token_epoch=0, token_public_key=b""), "127.0.0.1:1")
    fresh = replace(NETWORK, policy_version="2")
    after = repin(pinned, fresh)
    assert after.network == fresh
    with pytest.raises(VerificationError):
        repin(after, replace(fresh, token_public_key=oprf.generate_key_pair()[1]))
    with pytest.raises(VerificationError):
        repin(after, replace(fresh, answer_key=bytes(31) + b"x"))


def test_pins_survive_the_file(tmp_path: Path) -> None:
    folder = NodeFolder(tmp_path)
    pinned = Pinned(NETWORK, "127.0.0.1:7443")
    folder.pin(pinned)
    assert folder.pinned() == pinned


def test_a_node_without_pins_is_not_enrolled(tmp_path: Path) -> None:
    with pytest.raises(CounterfoilError) as refused:
        NodeFolder(tmp_path).pinned()
    assert refused.value.reason is Reason.FILE_MISSING


class Facts:
    """A gateway that tells facts."""

    def __init__(self, network: Network) -> None:
        self.told = network

    async def network(self, timeout: float) -> Network:
        return self.told

    async def members(self, timeout: float) -> tuple[Member, ...]:
        return ()


async def test_an_evaluator_takes_no_other_key_for_its_own(tmp_path: Path) -> None:
    pinned = Pinned(replace(NETWORK, token_epoch=0, token_public_key=b""), "127.0.0.1:1")
    stranger = replace(NETWORK, token_public_key=oprf.generate_key_pair()[1])
    link = Link(NodeFolder(tmp_path), pinned, Facts(stranger), SECRET)
    with pytest.raises(VerificationError):
        await link.refresh(1.0)
    assert link.epoch is None
