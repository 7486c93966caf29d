"""Making a node's folder, and making an invited node a member of its network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import grpc

from counterfoil import dsse, oprf
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason, VerificationError
from counterfoil.invitation import Invitation
from counterfoil.keys import PrivateKey
from counterfoil.membership import ENROLMENT_PAYLOAD_TYPE, EnrolmentStatement, Network
from counterfoil.v1 import membership_service_pb2 as pb
from counterfoil.v1 import membership_service_pb2_grpc as rpc
from counterfoil.wire import envelope_to_proto
from counterfoil_daemon.errors_on_wire import from_rpc_error
from counterfoil_daemon.files import durable_write, make_folder, read_secret
from counterfoil_daemon.server import secure_channel

from .book import Book, BookSettings
from .certificate import certificate_request, new_key_pem
from .config import Settings, institution_kind
from .folder import NodeFolder, Pinned
from .vault import BOOK_KEY_BYTES, Vault


def read_invitation(path: Path) -> Invitation:
    """From the file that `counterfoil-gateway admit` wrote; CONFIG_INVALID, FILE_MISSING."""
    return Invitation.from_json(read_secret(path))


async def make_folder_of(
    folder: NodeFolder, settings: Settings, text: str, random_bytes: Callable[[int], bytes]
) -> None:
    """Makes the folder of a new node; ALREADY_EXISTS when there is one."""
    if folder.settings.exists() or folder.database.exists():
        raise CounterfoilError(
            Reason.ALREADY_EXISTS, "the folder holds a node already", field="dir"
        )
    make_folder(folder.path)
    book_key = random_bytes(BOOK_KEY_BYTES)
    durable_write(folder.record_key_file, PrivateKey.generate().seed)
    durable_write(folder.book_key_file, book_key)
    if settings.node.evaluator:
        secret, _ = oprf.generate_key_pair()
        durable_write(folder.evaluator_key_file, secret)
    durable_write(folder.tls.key, new_key_pem())
    # One request for good: an enrolment that was cut off can be repeated byte for byte.
    request = certificate_request(folder.tls.key, settings.node.lender)
    durable_write(folder.request_file, request, mode=0o644)
    book = await Book.create(
        folder.database, Vault(book_key, random_bytes), book_settings(settings), random_bytes
    )
    await book.close()
    # Last: a folder without settings is one that `init` did not finish.
    durable_write(folder.settings, text.encode(), mode=0o644)


def book_settings(settings: Settings) -> BookSettings:
    """Whose book it is."""
    return BookSettings(
        settings.node.lender, institution_kind(settings.node.kind), settings.node.time_zone
    )


def enrolment_statement(
    folder: NodeFolder, settings: Settings, invitation: Invitation
) -> tuple[Envelope, bytes]:
    """The signed statement, and the certificate request (DER) that goes with it."""
    request = folder.request_file.read_bytes()
    key = folder.record_key()
    evaluator_key = oprf.public_key(folder.evaluator_secret()) if settings.node.evaluator else b""
    statement = EnrolmentStatement(
        network=invitation.network,
        lender=invitation.lender,
        record_key=key.public.raw,
        certificate_request_hash=hashlib.sha256(request).digest(),
        enrolment_token_hash=hashlib.sha256(invitation.enrolment_token).digest(),
        evaluator_public_key=evaluator_key,
    )
    return dsse.sign(ENROLMENT_PAYLOAD_TYPE, statement.encode(), key), request


async def enrol(
    folder: NodeFolder, settings: Settings, invitation: Invitation, timeout: float
) -> Pinned:
    """Becomes a member: certificate, CA and network are written. Repeatable until it succeeds.

    ALREADY_EXISTS when the node is enrolled, LENDER_MISMATCH for another lender's invitation, and
    what the gateway says (ENROLMENT_TOKEN_INVALID, KEY_IN_USE, ...).
    """
    if folder.network_file.exists():
        raise CounterfoilError(Reason.ALREADY_EXISTS, "the node is enrolled", field="network.json")
    if invitation.lender != settings.node.lender:
        raise InvalidInput(
            Reason.LENDER_MISMATCH, "the invitation is for another lender", field="lender"
        )
    envelope, request = enrolment_statement(folder, settings, invitation)
    channel = secure_channel(
        invitation.enrol_address, ca=invitation.ca_certificate_pem.encode("ascii")
    )
    try:
        response = await rpc.EnrolmentServiceStub(channel).Enrol(
            pb.EnrolRequest(
                enrolment_token=invitation.enrolment_token,
                certificate_request=request,
                statement=envelope_to_proto(envelope),
            ),
            timeout=timeout,
        )
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None
    finally:
        await channel.close()
    network = check_network(Network.from_proto(response.network), invitation)
    pinned = Pinned(network, invitation.grpc_address)
    durable_write(folder.tls.ca, network.ca_certificate_pem.encode(), mode=0o644, replace=True)
    durable_write(
        folder.tls.certificate, response.certificate_pem.encode(), mode=0o644, replace=True
    )
    # Last: its presence says that the node is enrolled.
    folder.pin(pinned)
    return pinned


def check_network(network: Network, invitation: Invitation) -> Network:
    """What the gateway says about itself must be what the operator handed over."""
    for name in ("network", "gateway", "answer_key", "ca_certificate_pem"):
        if getattr(network, name) != getattr(invitation, name):
            raise VerificationError(
                Reason.NETWORK_MISMATCH, "not what the invitation says", field=name
            )
    return network


def repin(pinned: Pinned, fresh: Network) -> Pinned:
    """Takes what may change (policy; the token key while there is none) and nothing else.

    NETWORK_MISMATCH when anything pinned differs.
    """
    known = pinned.network
    names = ["network", "gateway", "answer_key", "ca_certificate_pem"]
    if known.token_epoch:
        names += ["token_epoch", "token_public_key"]
    for name in names:
        if getattr(known, name) != getattr(fresh, name):
            raise VerificationError(
                Reason.NETWORK_MISMATCH,
                "the gateway now says something else than was pinned",
                field=name,
            )
    return Pinned(fresh, pinned.gateway_address)
