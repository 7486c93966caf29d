"""Membership: what a member signs to enrol or to change its key, and what a node pins.

protos/counterfoil/v1/membership.proto says what each field means.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

from .errors import InvalidInput, Reason
from .exposure import InstitutionKind
from .fields import check_bytes, check_name, check_time_us, to_enum, to_number
from .timestamps import micros_from_proto, micros_to_proto
from .v1 import membership_pb2 as pb
from .wire import parse

ENROLMENT_PAYLOAD_TYPE = "application/vnd.counterfoil.enrolment.v1+protobuf"
ROTATION_PAYLOAD_TYPE = "application/vnd.counterfoil.record-key-rotation.v1+protobuf"


class MemberRole(IntEnum):
    """A role that a member takes on."""

    LENDER = 1
    EVALUATOR = 2
    WITNESS = 3


class MemberState(IntEnum):
    """Where a member stands."""

    ADMITTED = 1
    ACTIVE = 2
    SUSPENDED = 3


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as the network knows it."""

    lender: str
    institution_kind: InstitutionKind
    roles: tuple[MemberRole, ...]
    state: MemberState
    record_key: bytes = b""
    """Empty until it is enrolled."""

    def __post_init__(self) -> None:
        check_name(self.lender, "lender")
        if self.record_key:
            check_bytes(self.record_key, 32, "record_key")

    @property
    def name(self) -> str:
        """Resource name."""
        return f"lenders/{self.lender}"

    def to_proto(self) -> pb.Member:
        """As a message."""
        return pb.Member(
            name=self.name,
            institution_kind=to_number(self.institution_kind),
            roles=[to_number(role) for role in self.roles],
            state=to_number(self.state),
            record_key=self.record_key,
        )

    @classmethod
    def from_proto(cls, message: pb.Member) -> Member:
        """From a message; raises InvalidInput."""
        collection, _, lender = message.name.partition("/")
        if collection != "lenders":
            raise InvalidInput(Reason.FIELD_INVALID, "not lenders/{lender}", field="name")
        return cls(
            lender=lender,
            institution_kind=to_enum(InstitutionKind, message.institution_kind, "kind"),
            roles=tuple(to_enum(MemberRole, role, "roles") for role in message.roles),
            state=to_enum(MemberState, message.state, "state"),
            record_key=message.record_key,
        )


@dataclass(frozen=True, slots=True)
class EnrolmentStatement:
    """What a member signs, with the record key that it registers, to enrol."""

    network: str
    lender: str
    record_key: bytes
    certificate_request_hash: bytes
    enrolment_token_hash: bytes
    evaluator_public_key: bytes = b""

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.lender, "lender")
        check_bytes(self.record_key, 32, "record_key")
        check_bytes(self.certificate_request_hash, 32, "certificate_request_hash")
        check_bytes(self.enrolment_token_hash, 32, "enrolment_token_hash")
        if self.evaluator_public_key:
            check_bytes(self.evaluator_public_key, 32, "evaluator_public_key")

    def encode(self) -> bytes:
        """The payload bytes to sign."""
        return pb.EnrolmentStatement(
            network=self.network,
            lender=self.lender,
            record_key=self.record_key,
            certificate_request_hash=self.certificate_request_hash,
            enrolment_token_hash=self.enrolment_token_hash,
            evaluator_public_key=self.evaluator_public_key,
        ).SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, payload: bytes) -> EnrolmentStatement:
        """Reads a payload; its signature is by the key that it names. Raises InvalidInput."""
        message = parse(pb.EnrolmentStatement, payload)
        return cls(
            network=message.network,
            lender=message.lender,
            record_key=message.record_key,
            certificate_request_hash=message.certificate_request_hash,
            enrolment_token_hash=message.enrolment_token_hash,
            evaluator_public_key=message.evaluator_public_key,
        )


@dataclass(frozen=True, slots=True)
class RecordKeyRotation:
    """What a member signs, with the old and the new key, to replace its record key."""

    network: str
    lender: str
    old_key: bytes
    new_key: bytes
    create_time_us: int

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.lender, "lender")
        check_bytes(self.old_key, 32, "old_key")
        check_bytes(self.new_key, 32, "new_key")
        check_time_us(self.create_time_us, "create_time")
        if self.old_key == self.new_key:
            raise InvalidInput(Reason.FIELD_INVALID, "the new key is the old one", field="new_key")

    def encode(self) -> bytes:
        """The payload bytes to sign."""
        return pb.RecordKeyRotation(
            network=self.network,
            lender=self.lender,
            old_key=self.old_key,
            new_key=self.new_key,
            create_time=micros_to_proto(self.create_time_us),
        ).SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, payload: bytes) -> RecordKeyRotation:
        """Reads a payload; its signatures are by the keys that it names. Raises InvalidInput."""
        message = parse(pb.RecordKeyRotation, payload)
        return cls(
            network=message.network,
            lender=message.lender,
            old_key=message.old_key,
            new_key=message.new_key,
            create_time_us=micros_from_proto(message.create_time, "create_time"),
        )


@dataclass(frozen=True, slots=True)
class Network:
    """What a node pins about its network."""

    network: str
    gateway: str
    answer_key: bytes
    ca_certificate_pem: str
    token_epoch: int = 0
    """0 until an evaluator is enrolled."""
    token_public_key: bytes = b""
    policy_version: str = ""
    policy_hash: bytes = b""

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.gateway, "gateway")
        check_bytes(self.answer_key, 32, "answer_key")
        if self.token_epoch < 0:
            raise InvalidInput(Reason.FIELD_INVALID, "negative", field="token_epoch")
        if self.token_epoch:
            check_bytes(self.token_public_key, 32, "token_public_key")
        if self.policy_hash:
            check_bytes(self.policy_hash, 32, "policy_hash")

    def to_proto(self) -> pb.Network:
        """As a message."""
        return pb.Network(
            network=self.network,
            gateway=self.gateway,
            answer_key=self.answer_key,
            ca_certificate_pem=self.ca_certificate_pem,
            token_epoch=self.token_epoch,
            token_public_key=self.token_public_key,
            policy_version=self.policy_version,
            policy_hash=self.policy_hash,
        )

    @classmethod
    def from_proto(cls, message: pb.Network) -> Network:
        """From a message; raises InvalidInput."""
        return cls(
            network=message.network,
            gateway=message.gateway,
            answer_key=message.answer_key,
            ca_certificate_pem=message.ca_certificate_pem,
            token_epoch=message.token_epoch,
            token_public_key=message.token_public_key,
            policy_version=message.policy_version,
            policy_hash=message.policy_hash,
        )

    def to_json(self) -> str:
        """As the text of `network.json`; bytes are in hex."""
        return json.dumps(
            {
                "network": self.network,
                "gateway": self.gateway,
                "answer_key": self.answer_key.hex(),
                "ca_certificate_pem": self.ca_certificate_pem,
                "token_epoch": self.token_epoch,
                "token_public_key": self.token_public_key.hex(),
                "policy_version": self.policy_version,
                "policy_hash": self.policy_hash.hex(),
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> Network:
        """From the text of `network.json`; raises InvalidInput."""
        try:
            data = json.loads(text)
            return cls(
                network=data["network"],
                gateway=data["gateway"],
                answer_key=bytes.fromhex(data["answer_key"]),
                ca_certificate_pem=data["ca_certificate_pem"],
                token_epoch=data["token_epoch"],
                token_public_key=bytes.fromhex(data["token_public_key"]),
                policy_version=data["policy_version"],
                policy_hash=bytes.fromhex(data["policy_hash"]),
            )
        except (KeyError, TypeError, ValueError):
            raise InvalidInput(
                Reason.CONFIG_INVALID, "not a network file", field="network.json"
            ) from None
