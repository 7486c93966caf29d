"""A real gateway and the least client that can talk to it: what tests of the gateway drive."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from counterfoil import batch, dsse, oprf
from counterfoil.batch import SealedBatch
from counterfoil.dsse import Envelope
from counterfoil.exposure import ProductKind
from counterfoil.inquiry import PAYLOAD_TYPE, Inquiry, Purpose
from counterfoil.keys import PrivateKey
from counterfoil.membership import ENROLMENT_PAYLOAD_TYPE, EnrolmentStatement, Network
from counterfoil.v1 import (
    assessment_service_pb2,
    assessment_service_pb2_grpc,
    membership_service_pb2,
    membership_service_pb2_grpc,
    publishing_service_pb2,
    publishing_service_pb2_grpc,
)
from counterfoil.wire import envelope_from_proto, envelope_to_proto
from counterfoil_daemon.errors_on_wire import from_rpc_error
from counterfoil_daemon.server import secure_channel

from .processes import Daemon, command, free_port

NETWORK = "test"
CALL_SECONDS = 20.0
MODULE = "counterfoil_gateway.cli"


class GatewayProcess(Daemon):
    """A gateway in a folder of its own, on free ports."""

    def __init__(self, folder: Path, name: str = "gateway") -> None:
        self.folder = folder
        self.grpc_port, self.enrol_port, web = free_port(), free_port(), free_port()
        super().__init__(
            MODULE,
            ["serve", "--dir", folder],
            folder.parent / f"{name}.log",
            web,
        )

    def init(self) -> None:
        """Makes the folder."""
        command(
            MODULE,
            *("init", "--dir", self.folder, "--network", NETWORK),
            *("--grpc-listen", f"127.0.0.1:{self.grpc_port}"),
            *("--enrol-listen", f"127.0.0.1:{self.enrol_port}"),
            *("--web-listen", f"127.0.0.1:{self.web}"),
        )

    def admit(self, lender: str, kind: str = "bank", *, evaluator: bool = False) -> Path:
        """Admits a lender and returns its invitation file."""
        out = self.folder.parent / f"{lender}.invitation"
        role = ["--role", "evaluator"] if evaluator else []
        command(
            MODULE,
            *("admit", "--dir", self.folder, "--lender", lender, "--kind", kind, "--out", out),
            *role,
        )
        return out

    def status(self) -> dict[str, int]:
        """What `status --json` says."""
        report: dict[str, int] = json.loads(
            command(MODULE, "status", "--dir", self.folder, "--json").stdout
        )
        return report


@dataclass
class Lender:
    """An enrolled lender as the gateway sees one: keys, certificate, chain of statements."""

    name: str
    address: str
    network: Network
    key: PrivateKey
    ca: bytes
    certificate: bytes
    tls_key: bytes
    sequence: int = 0
    previous: bytes = b""
    as_of: int = field(default_factory=lambda: int(time.time()) - 60)

    def channel(self) -> grpc.aio.Channel:
        """A new mTLS channel."""
        return secure_channel(
            self.address, ca=self.ca, certificate=self.certificate, key=self.tls_key
        )

    def seal(self, records: tuple[bytes, ...] = (), **changes: object) -> SealedBatch:
        """The next batch, sealed; `changes` override what an honest node would say."""
        fields: dict[str, object] = {
            "network": self.network.network,
            "lender": self.name,
            "sequence": self.sequence + 1,
            "previous_statement_hash": self.previous,
            "token_epoch": 1,
            "as_of": self.as_of,
            "complete_as_of": self.as_of,
            "records": records,
            "key": self.key,
            "random_bytes": os.urandom,
        }
        return batch.seal(**(fields | changes))  # type: ignore[arg-type]

    def accepted(self, sealed: SealedBatch) -> None:
        """Goes on from an accepted batch."""
        self.sequence = sealed.statement.sequence
        self.previous = batch.statement_hash(sealed.envelope.payload)

    def inquiry(self, token: bytes, **changes: object) -> Inquiry:
        """An honest inquiry about a token, but for `changes`."""
        now = time.time_ns() // 1_000
        fields: dict[str, object] = {
            "network": self.network.network,
            "audience": self.network.gateway,
            "lender": self.name,
            "token": token,
            "token_epoch": 1,
            "nonce": os.urandom(16),
            "create_time_us": now,
            "expire_time_us": now + 60_000_000,
            "purpose": Purpose.CREDIT_APPLICATION,
            "consent_commitment": os.urandom(32),
            "application_reference": os.urandom(16),
            "product_kind": ProductKind.CASH_LOAN,
            "amount_minor": 100_000,
            "currency": "USD",
            "time_zone": "UTC",
        }
        return Inquiry(**(fields | changes))  # type: ignore[arg-type]

    def sign(self, inquiry: Inquiry) -> Envelope:
        """The inquiry, signed."""
        return dsse.sign(PAYLOAD_TYPE, inquiry.encode(), self.key)


async def publish(channel: grpc.aio.Channel, sealed: SealedBatch) -> Envelope:
    """Publishes a sealed batch; raises the CounterfoilError it is refused with."""
    stub = publishing_service_pb2_grpc.PublishingServiceStub(channel)
    request = publishing_service_pb2.PublishBatchRequest(
        statement=envelope_to_proto(sealed.envelope), salts=sealed.salts, records=sealed.records
    )
    try:
        response = await stub.PublishBatch(request, timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    return envelope_from_proto(response.receipt)


async def ask(channel: grpc.aio.Channel, envelope: Envelope) -> Envelope:
    """Asks; raises the CounterfoilError it is refused with."""
    stub = assessment_service_pb2_grpc.AssessmentServiceStub(channel)
    request = assessment_service_pb2.AssessRequest(inquiry=envelope_to_proto(envelope))
    try:
        response = await stub.Assess(request, timeout=CALL_SECONDS)
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    return envelope_from_proto(response.answer)


def certificate_request(
    key: ec.EllipticCurvePrivateKey | None = None,
) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    """A PKCS#10 request in DER and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "any")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER), key


async def enrol(invitation_file: Path, *, evaluator: bool = False, **changes: object) -> Lender:
    """Enrols by an invitation; `changes` override fields of the statement."""
    invitation = json.loads(invitation_file.read_text())
    token = bytes.fromhex(invitation["enrolment_token"])
    request, tls_key = certificate_request()
    key = PrivateKey.generate()
    fields: dict[str, object] = {
        "network": invitation["network"],
        "lender": invitation["lender"],
        "record_key": key.public.raw,
        "certificate_request_hash": hashlib.sha256(request).digest(),
        "enrolment_token_hash": hashlib.sha256(token).digest(),
        "evaluator_public_key": oprf.generate_key_pair()[1] if evaluator else b"",
    }
    statement = EnrolmentStatement(**(fields | changes))  # type: ignore[arg-type]
    ca = invitation["ca_certificate_pem"].encode()
    async with secure_channel(invitation["enrol_address"], ca=ca) as channel:
        stub = membership_service_pb2_grpc.EnrolmentServiceStub(channel)
        try:
            response = await stub.Enrol(
                membership_service_pb2.EnrolRequest(
                    enrolment_token=token,
                    certificate_request=request,
                    statement=envelope_to_proto(
                        dsse.sign(ENROLMENT_PAYLOAD_TYPE, statement.encode(), key)
                    ),
                ),
                timeout=CALL_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
    return Lender(
        name=invitation["lender"],
        address=invitation["grpc_address"],
        network=Network.from_proto(response.network),
        key=key,
        ca=ca,
        certificate=response.certificate_pem.encode(),
        tls_key=tls_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
