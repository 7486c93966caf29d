"""Invitations: the file that an operator hands to a lender, JSON with bytes in hex."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from .errors import InvalidInput, Reason
from .fields import check_bytes, check_name

ENROLMENT_TOKEN_BYTES = 32
MAX_INVITATION_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where to enrol, whom to trust there, and the one-time token, which is a secret."""

    network: str
    gateway: str
    lender: str
    grpc_address: str
    """host:port for members (mTLS)."""
    enrol_address: str
    """host:port for enrolment (TLS)."""
    ca_certificate_pem: str
    answer_key: bytes
    enrolment_token: bytes = field(repr=False)
    expire_time: datetime

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.gateway, "gateway")
        check_name(self.lender, "lender")
        _check_address(self.grpc_address, "grpc_address")
        _check_address(self.enrol_address, "enrol_address")
        check_bytes(self.answer_key, 32, "answer_key")
        check_bytes(self.enrolment_token, ENROLMENT_TOKEN_BYTES, "enrolment_token")

    def to_json(self) -> str:
        """As the text of an invitation file."""
        return json.dumps(
            {
                "network": self.network,
                "gateway": self.gateway,
                "lender": self.lender,
                "grpc_address": self.grpc_address,
                "enrol_address": self.enrol_address,
                "ca_certificate_pem": self.ca_certificate_pem,
                "answer_key": self.answer_key.hex(),
                "enrolment_token": self.enrolment_token.hex(),
                "expire_time": self.expire_time.isoformat(),
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: bytes) -> Invitation:
        """From the bytes of an invitation file; raises InvalidInput(CONFIG_INVALID)."""
        try:
            if len(text) > MAX_INVITATION_BYTES:
                raise ValueError
            data = json.loads(text)
            return cls(
                network=data["network"],
                gateway=data["gateway"],
                lender=data["lender"],
                grpc_address=data["grpc_address"],
                enrol_address=data["enrol_address"],
                ca_certificate_pem=data["ca_certificate_pem"],
                answer_key=bytes.fromhex(data["answer_key"]),
                enrolment_token=bytes.fromhex(data["enrolment_token"]),
                expire_time=datetime.fromisoformat(data["expire_time"]),
            )
        except (InvalidInput, ValueError, KeyError, TypeError, AttributeError):
            raise InvalidInput(
                Reason.CONFIG_INVALID, "not an invitation", field="invitation"
            ) from None


def _check_address(address: str, name: str) -> None:
    host, separator, port = address.rpartition(":")
    if not (host and separator and port.isdecimal() and int(port) <= 65_535):
        raise InvalidInput(Reason.FIELD_INVALID, "not host:port", field=name)
