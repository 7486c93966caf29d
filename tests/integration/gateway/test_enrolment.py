"""Joining: what an invitation is good for, and what nobody gets in with."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from counterfoil import dsse, oprf
from counterfoil.errors import CounterfoilError, Reason
from counterfoil.keys import PrivateKey
from counterfoil.membership import (
    ENROLMENT_PAYLOAD_TYPE,
    ROTATION_PAYLOAD_TYPE,
    EnrolmentStatement,
    Network,
    RecordKeyRotation,
)
from counterfoil.timestamps import micros
from counterfoil.v1 import membership_service_pb2 as pb
from counterfoil.v1 import membership_service_pb2_grpc as rpc
from counterfoil.wire import envelope_to_proto
from counterfoil_daemon.errors_on_wire import from_rpc_error
from counterfoil_daemon.server import secure_channel
from counterfoil_gateway.server import utc_now
from support.gateways import (
    CALL_SECONDS,
    GatewayProcess,
    Lender,
    ask,
    certificate_request,
    enrol,
    publish,
)
from support.towns import Town


class Applicant:
    """Somebody with an invitation, who may alter anything before sending it."""

    def __init__(self, invitation: Path) -> None:
        self.invitation: dict[str, str] = json.loads(invitation.read_text())
        self.token = bytes.fromhex(self.invitation["enrolment_token"])
        self.request, _ = certificate_request()
        self.key = PrivateKey.generate()
        self.changes: dict[str, Any] = {}
        self.signer = self.key

    def message(self) -> pb.EnrolRequest:
        fields: dict[str, Any] = {
            "network": self.invitation["network"],
            "lender": self.invitation["lender"],
            "record_key": self.key.public.raw,
            "certificate_request_hash": hashlib.sha256(self.request).digest(),
            "enrolment_token_hash": hashlib.sha256(self.token).digest(),
        }
        statement = EnrolmentStatement(**(fields | self.changes))
        envelope = dsse.sign(ENROLMENT_PAYLOAD_TYPE, statement.encode(), self.signer)
        return pb.EnrolRequest(
            enrolment_token=self.token,
            certificate_request=self.request,
            statement=envelope_to_proto(envelope),
        )

    async def send(self, message: pb.EnrolRequest | None = None) -> pb.EnrolResponse:
        ca = self.invitation["ca_certificate_pem"].encode()
        async with secure_channel(self.invitation["enrol_address"], ca=ca) as channel:
            try:
                return await rpc.EnrolmentServiceStub(channel).Enrol(
                    message or self.message(), timeout=CALL_SECONDS
                )
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from None


def rsa_request() -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def members(town: Town) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(town.gateway.folder / "gateway.db")) as database:
        tables = ("members", "record_keys", "certificates", "entries", "token_epochs")
        return [tuple(database.execute(f"SELECT * FROM {table}").fetchall()) for table in tables]


def bad(applicant: Applicant, case: str, town: Town) -> Reason:
    """Spoils an application in one way; returns the reason that must be given."""
    match case:
        case "unknown token":
            applicant.token = os.urandom(32)
            return Reason.ENROLMENT_TOKEN_INVALID
        case "token of the wrong size":
            applicant.token = b"short"
            return Reason.FIELD_INVALID
        case "statement bound to another token":
            applicant.changes["enrolment_token_hash"] = os.urandom(32)
            return Reason.ENROLMENT_TOKEN_INVALID
        case "statement bound to another request":
            applicant.changes["certificate_request_hash"] = os.urandom(32)
            return Reason.CSR_INVALID
        case "another lender's name":
            applicant.changes["lender"] = "lotus"
            return Reason.LENDER_MISMATCH
        case "another network":
            applicant.changes["network"] = "elsewhere"
            return Reason.NETWORK_MISMATCH
        case "signed by another key":
            applicant.signer = PrivateKey.generate()
            return Reason.SIGNATURE_MISSING
        case "key of small order":
            applicant.changes["record_key"] = (1).to_bytes(32, "little")
            return Reason.KEY_INVALID
        case "key that is in use":
            applicant.key = applicant.signer = town.lotus.key
            return Reason.KEY_IN_USE
        case "evaluator's key without the role":
            applicant.changes["evaluator_public_key"] = oprf.generate_key_pair()[1]
            return Reason.ROLE_MISSING
        case "RSA request":
            applicant.request = rsa_request()
            return Reason.CSR_INVALID
        case "P-384 request":
            applicant.request, _ = certificate_request(ec.generate_private_key(ec.SECP384R1()))
            return Reason.CSR_INVALID
        case _:
            applicant.request = b"no request"
            return Reason.CSR_INVALID


@pytest.mark.parametrize(
    "case",
    [
        "unknown token",
        "token of the wrong size",
        "statement bound to another token",
        "statement bound to another request",
        "another lender's name",
        "another network",
        "signed by another key",
        "key of small order",
        "key that is in use",
        "evaluator's key without the role",
        "RSA request",
        "P-384 request",
        "bytes that are no request",
    ],
)
async def test_a_bad_application_is_refused_without_effect(town: Town, case: str) -> None:
    applicant = Applicant(town.gateway.admit("quarry", "microfinance"))
    reason = bad(applicant, case, town)
    before = members(town)
    with pytest.raises(CounterfoilError) as refused:
        await applicant.send()
    assert refused.value.reason is reason
    assert members(town) == before


async def test_an_invitation_is_used_once_but_its_answer_can_be_had_again(town: Town) -> None:
    applicant = Applicant(town.gateway.admit("tide", "point_of_sale"))
    message = applicant.message()
    first = await applicant.send(message)
    again = await applicant.send(message)
    assert first == again
    certificate = x509.load_pem_x509_certificate(first.certificate_pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["spiffe://test/lender/tide"]
    thief = Applicant.__new__(Applicant)
    thief.__dict__ |= applicant.__dict__
    thief.key = thief.signer = PrivateKey.generate()
    with pytest.raises(CounterfoilError) as refused:
        await thief.send()
    assert refused.value.reason is Reason.ENROLMENT_TOKEN_INVALID


async def test_a_lapsed_invitation_is_refused(town: Town) -> None:
    invitation = town.gateway.admit("meridian", "consumer_finance")
    with closing(sqlite3.connect(town.gateway.folder / "gateway.db")) as database, database:
        database.execute(
            "UPDATE enrolment_tokens SET expire_us = 1 WHERE lender_id ="
            " (SELECT lender_id FROM members WHERE lender = 'meridian')"
        )
    with pytest.raises(CounterfoilError) as refused:
        await Applicant(invitation).send()
    assert refused.value.reason is Reason.ENROLMENT_TOKEN_INVALID


async def call(lender: Lender, method: str, request: Any) -> Any:
    """A call of the membership service."""
    async with lender.channel() as channel:
        try:
            stub = rpc.MembershipServiceStub(channel)
            return await getattr(stub, method)(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


def rotation(member: Lender, new: PrivateKey, **changes: Any) -> pb.RotateRecordKeyRequest:
    fields: dict[str, Any] = {
        "network": "test",
        "lender": member.name,
        "old_key": member.key.public.raw,
        "new_key": new.public.raw,
        "create_time_us": micros(utc_now()),
    }
    statement = RecordKeyRotation(**(fields | changes))
    envelope = dsse.sign(ROTATION_PAYLOAD_TYPE, statement.encode(), member.key, new)
    return pb.RotateRecordKeyRequest(rotation=envelope_to_proto(envelope))


async def test_a_rotated_key_signs_and_the_old_one_does_not(town: Town) -> None:
    lender = await enrol(town.gateway.admit("dale", "bank"))
    old, new = lender.key, PrivateKey.generate()
    for request, reason in (
        (rotation(lender, new, network="elsewhere"), Reason.NETWORK_MISMATCH),
        (rotation(lender, new, lender="lotus"), Reason.LENDER_MISMATCH),
        (rotation(lender, new, create_time_us=1_000_000), Reason.CLOCK_SKEW),
        (rotation(lender, town.lotus.key), Reason.KEY_IN_USE),
    ):
        with pytest.raises(CounterfoilError) as refused:
            await call(lender, "RotateRecordKey", request)
        assert refused.value.reason is reason
    response = await call(lender, "RotateRecordKey", rotation(lender, new))
    assert response.member.record_key == new.public.raw
    async with lender.channel() as channel:
        with pytest.raises(CounterfoilError) as refused:
            await publish(channel, lender.seal(key=old))
        assert refused.value.reason is Reason.SIGNATURE_MISSING
        lender.key = new
        await publish(channel, lender.seal())
        await ask(channel, lender.sign(lender.inquiry(b"\x01" * 32)))


async def test_a_renewed_certificate_works(town: Town) -> None:
    request, key = certificate_request()
    response = await call(
        town.lotus, "RenewCertificate", pb.RenewCertificateRequest(certificate_request=request)
    )
    renewed = Lender(**town.lotus.__dict__)
    renewed.certificate = response.certificate_pem.encode()
    renewed.tls_key = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    network = await call(renewed, "GetNetwork", pb.GetNetworkRequest())
    assert Network.from_proto(network.network).token_epoch == 1


async def test_members_are_listed_page_by_page(town: Town) -> None:
    names: list[str] = []
    token = ""
    while True:
        page = await call(
            town.lotus, "ListMembers", pb.ListMembersRequest(page_size=2, page_token=token)
        )
        names += [member.name for member in page.members]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted(names)
    assert {"lenders/harbour", "lenders/lotus"} <= set(names)
    with pytest.raises(CounterfoilError) as refused:
        await call(town.lotus, "ListMembers", pb.ListMembersRequest(page_size=1_001))
    assert refused.value.reason is Reason.FIELD_INVALID


def test_an_enrolled_member_is_not_admitted_again(town: Town) -> None:
    with pytest.raises(AssertionError, match="ALREADY_EXISTS"):
        town.gateway.admit("lotus", "online_lender")
    with pytest.raises(AssertionError, match="ALREADY_EXISTS"):
        town.gateway.admit("second-evaluator", evaluator=True)


def test_an_evaluator_without_its_key_is_refused(tmp_path: Path) -> None:
    """Needs a network that has no evaluator yet."""
    gateway = GatewayProcess(tmp_path / "gateway")
    gateway.init()
    gateway.start()
    try:
        invitation = gateway.admit("harbour", evaluator=True)
        with pytest.raises(CounterfoilError) as refused:
            asyncio.run(Applicant(invitation).send())
    finally:
        gateway.stop()
    assert refused.value.reason is Reason.ROLE_MISSING
