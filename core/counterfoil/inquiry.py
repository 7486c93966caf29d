"""Inquiries: a lender's signed question about one token (protos/counterfoil/v1/inquiry.proto)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum

from . import limits
from .amounts import check_amount, check_currency
from .errors import InvalidInput, Reason
from .exposure import ProductKind
from .fields import (
    check_bytes,
    check_name,
    check_positive,
    check_time_us,
    check_zone,
    to_enum,
    to_number,
)
from .timestamps import micros_from_proto, micros_to_proto
from .v1 import inquiry_pb2 as pb
from .wire import parse

PAYLOAD_TYPE = "application/vnd.counterfoil.inquiry.v1+protobuf"


class Purpose(IntEnum):
    """Why a lender asks."""

    CREDIT_APPLICATION = 1
    LIMIT_INCREASE = 2
    ACCOUNT_REVIEW = 3
    COLLECTION = 4

    @property
    def credit_seeking(self) -> bool:
        """Whether such an inquiry counts as an application."""
        return self in (Purpose.CREDIT_APPLICATION, Purpose.LIMIT_INCREASE)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question. Times are microseconds; the amount is in minor units."""

    network: str
    audience: str
    """The gateway that may answer it."""
    lender: str
    token: bytes = field(repr=False)
    token_epoch: int
    nonce: bytes
    create_time_us: int
    expire_time_us: int
    purpose: Purpose
    consent_commitment: bytes
    application_reference: bytes
    product_kind: ProductKind
    amount_minor: int
    currency: str
    time_zone: str

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.audience, "audience")
        check_name(self.lender, "lender")
        check_bytes(self.token, limits.TOKEN_BYTES, "token")
        check_positive(self.token_epoch, "token_epoch")
        check_bytes(self.nonce, limits.REFERENCE_BYTES, "nonce")
        check_life(self.create_time_us, self.expire_time_us, Reason.INQUIRY_LIFE_TOO_LONG)
        check_bytes(self.consent_commitment, 32, "consent_commitment")
        check_bytes(self.application_reference, limits.REFERENCE_BYTES, "application_reference")
        if not any(self.application_reference):
            raise InvalidInput(
                Reason.FIELD_INVALID,
                "an inquiry names its application",
                field="application_reference",
            )
        check_amount(self.amount_minor, "amount_minor")
        check_currency(self.currency)
        check_zone(self.time_zone)

    def encode(self) -> bytes:
        """The payload bytes to sign."""
        return pb.Inquiry(
            network=self.network,
            audience=self.audience,
            lender=self.lender,
            token=self.token,
            token_epoch=self.token_epoch,
            nonce=self.nonce,
            create_time=micros_to_proto(self.create_time_us),
            expire_time=micros_to_proto(self.expire_time_us),
            purpose=to_number(self.purpose),
            consent_commitment=self.consent_commitment,
            application_reference=self.application_reference,
            product_kind=to_number(self.product_kind),
            amount_minor=self.amount_minor,
            currency=self.currency,
            time_zone=self.time_zone,
        ).SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, payload: bytes) -> Inquiry:
        """Reads a verified payload; raises InvalidInput."""
        message = parse(pb.Inquiry, payload)
        return cls(
            network=message.network,
            audience=message.audience,
            lender=message.lender,
            token=message.token,
            token_epoch=message.token_epoch,
            nonce=message.nonce,
            create_time_us=micros_from_proto(message.create_time, "create_time"),
            expire_time_us=micros_from_proto(message.expire_time, "expire_time"),
            purpose=to_enum(Purpose, message.purpose, "purpose"),
            consent_commitment=message.consent_commitment,
            application_reference=message.application_reference,
            product_kind=to_enum(ProductKind, message.product_kind, "product_kind"),
            amount_minor=message.amount_minor,
            currency=message.currency,
            time_zone=message.time_zone,
        )


def check_life(create_time_us: int, expire_time_us: int, too_long: Reason) -> None:
    """A signed request lives from its create time for at most MAX_INQUIRY_LIFE_SECONDS."""
    check_time_us(create_time_us, "create_time")
    check_time_us(expire_time_us, "expire_time")
    if expire_time_us <= create_time_us:
        raise InvalidInput(Reason.FIELD_INVALID, "expires before it was made", field="expire_time")
    if expire_time_us - create_time_us > limits.MAX_INQUIRY_LIFE_SECONDS * 1_000_000:
        raise InvalidInput(
            too_long,
            f"lives longer than {limits.MAX_INQUIRY_LIFE_SECONDS} seconds",
            field="expire_time",
        )


def inquiry_hash(payload: bytes) -> bytes:
    """SHA-256 of an inquiry's exact payload bytes: what its answer is bound to."""
    return hashlib.sha256(payload).digest()


def consent_commitment(salt: bytes, document: bytes) -> bytes:
    """SHA-256(0x00 || salt || consent document), with 32 random bytes that stay with the lender.

    Never the document's plain hash: a consent form is a template plus an ID number.
    """
    check_bytes(salt, limits.SALT_BYTES, "salt")
    return hashlib.sha256(b"\x00" + salt + document).digest()
