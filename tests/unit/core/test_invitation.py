"""Invitations: what the gateway writes is what a node reads, and nothing else is taken."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from counterfoil.errors import InvalidInput, Reason
from counterfoil.invitation import Invitation

INVITATION = Invitation(
    network="demo",
    gateway="gateway",
    lender="harbour",
    grpc_address="127.0.0.1:7443",
    enrol_address="gateway.example:7444",
    ca_certificate_pem="PEM",
    answer_key=b"\x01" * 32,
    enrolment_token=b"\x02" * 32,
    expire_time=datetime(2026, 12, 1, tzinfo=UTC),
)


def test_an_invitation_survives_its_file() -> None:
    assert Invitation.from_json(INVITATION.to_json().encode()) == INVITATION


def test_the_one_time_token_is_not_in_the_repr() -> None:
    assert "enrolment_token" not in repr(INVITATION)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"network": 5}', b" " * 70_000])
def test_what_is_no_invitation_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        Invitation.from_json(text)
    assert refused.value.reason is Reason.CONFIG_INVALID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("network", "Not A Name"),
        ("lender", None),
        ("grpc_address", "nowhere"),
        ("enrol_address", "host:99999"),
        ("answer_key", "xyz"),
        ("enrolment_token", "ab"),
        ("expire_time", "soon"),
    ],
)
def test_a_damaged_field_is_refused(name: str, value: object) -> None:
    data = json.loads(INVITATION.to_json()) | {name: value}
    with pytest.raises(InvalidInput):
        Invitation.from_json(json.dumps(data).encode())


def test_an_invitation_checks_itself() -> None:
    with pytest.raises(InvalidInput):
        dataclasses.replace(INVITATION, answer_key=b"short")
