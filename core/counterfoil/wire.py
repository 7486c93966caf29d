"""Envelopes between the domain and `counterfoil.v1`, and the parsing of signed payloads."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from . import limits
from .dsse import MAX_SIGNATURES, Envelope, Signature
from .errors import InvalidInput, Reason
from .v1 import envelope_pb2 as pb

M = TypeVar("M", bound=Message)


def envelope_to_proto(envelope: Envelope) -> pb.Envelope:
    """An envelope as a message."""
    return pb.Envelope(
        payload_type=envelope.payload_type,
        payload=envelope.payload,
        signatures=[
            pb.EnvelopeSignature(key_id=signature.key_id, signature=signature.signature)
            for signature in envelope.signatures
        ],
    )


def envelope_from_proto(message: pb.Envelope, field: str = "envelope") -> Envelope:
    """An envelope from a message. Nothing is verified; only sizes are checked."""
    if not message.payload_type or not message.payload:
        raise InvalidInput(Reason.FIELD_MISSING, "a signed envelope is required", field=field)
    if len(message.payload) > limits.MAX_STATEMENT_BYTES:
        raise InvalidInput(
            Reason.MESSAGE_TOO_LARGE,
            f"a payload is at most {limits.MAX_STATEMENT_BYTES} bytes",
            field=field,
        )
    if len(message.signatures) > MAX_SIGNATURES:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"more than {MAX_SIGNATURES} signatures", field=field
        )
    return Envelope(
        payload_type=message.payload_type,
        payload=message.payload,
        signatures=tuple(Signature(s.key_id, s.signature) for s in message.signatures),
    )


def envelope_to_bytes(envelope: Envelope) -> bytes:
    """An envelope for storage; its payload stays byte for byte what was signed."""
    return envelope_to_proto(envelope).SerializeToString(deterministic=True)


def envelope_from_bytes(data: bytes) -> Envelope:
    """An envelope from storage."""
    return envelope_from_proto(parse(pb.Envelope, data))


def parse(kind: type[M], data: bytes) -> M:
    """Parses a payload whose signature was verified; MALFORMED if it is not of this kind."""
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise InvalidInput(Reason.MALFORMED, f"not a serialised {kind.DESCRIPTOR.name}") from None
    return message
