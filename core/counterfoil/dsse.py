"""DSSE envelopes, version 1: how every statement is signed.

The signature covers the payload's type and its exact bytes, so a payload is stored and passed on
as it was signed and never serialised again. See
https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InvalidInput, Reason, VerificationError
from .keys import PrivateKey, PublicKey

MAX_SIGNATURES = 16
"""Signatures of one envelope: a verifier never tries more."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an envelope. The key id is a hint of whose it is and proves nothing."""

    key_id: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with its type and signatures. Holding one says nothing: see `verify`."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        if len(self.signatures) > MAX_SIGNATURES:
            raise InvalidInput(
                Reason.FIELD_INVALID,
                f"an envelope has at most {MAX_SIGNATURES} signatures",
                field="signatures",
            )


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, *keys: PrivateKey) -> Envelope:
    """An envelope with one signature of each key, in the order given."""
    if not keys:
        raise InvalidInput(
            Reason.SIGNATURE_MISSING, "an envelope needs a signing key", field="signatures"
        )
    signed = pae(payload_type, payload)
    return Envelope(
        payload_type=payload_type,
        payload=payload,
        signatures=tuple(Signature(key.public.key_id, key.sign(signed)) for key in keys),
    )


def verify(envelope: Envelope, payload_type: str, key: PublicKey) -> bytes:
    """The payload, if it is of `payload_type` and `key` signed it.

    Raises VerificationError: PAYLOAD_TYPE_MISMATCH before any signature is tried,
    SIGNATURE_INVALID when a signature names this key and does not hold, SIGNATURE_MISSING when
    none is by it.
    """
    if envelope.payload_type != payload_type:
        raise VerificationError(
            Reason.PAYLOAD_TYPE_MISMATCH,
            "an envelope holds another type of payload",
            expected=payload_type,
            actual=envelope.payload_type,
        )
    signed = pae(envelope.payload_type, envelope.payload)
    # Signatures that name the key first: the usual envelope costs one verification.
    named = [s for s in envelope.signatures if s.key_id == key.key_id]
    others = [s for s in envelope.signatures if s.key_id != key.key_id]
    for signature in (*named, *others):
        if _holds(key, signed, signature.signature):
            return envelope.payload
    if named:
        raise VerificationError(
            Reason.SIGNATURE_INVALID, f"the signature of key {key.key_id} does not hold"
        )
    raise VerificationError(
        Reason.SIGNATURE_MISSING,
        f"no signature by key {key.key_id}",
        expected=key.key_id,
        actual=str(len(envelope.signatures)),
    )


def _holds(key: PublicKey, message: bytes, signature: bytes) -> bool:
    try:
        key.verify(message, signature)
    except VerificationError:
        return False
    return True
