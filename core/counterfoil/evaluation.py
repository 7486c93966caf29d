"""A node's signed request for OPRF evaluations (protos/counterfoil/v1/evaluation.proto)."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import limits
from .errors import InvalidInput, Reason
from .fields import check_bytes, check_name, check_positive
from .inquiry import check_life
from .timestamps import micros_from_proto, micros_to_proto
from .v1 import evaluation_pb2 as pb
from .wire import parse

PAYLOAD_TYPE = "application/vnd.counterfoil.evaluation-request.v1+protobuf"

PADDED_SIZES = (1, 16, 128, 1024)
"""Requests are padded to one of these, so that their size tells little.

An evaluator cannot tell padding from blinded identifiers, so it charges the quota for all.
"""

ELEMENT_BYTES = 32


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """Blinded elements to evaluate, padded. Times are microseconds."""

    network: str
    lender: str
    token_epoch: int
    generation: int
    nonce: bytes
    create_time_us: int
    expire_time_us: int
    blinded_elements: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.lender, "lender")
        check_positive(self.token_epoch, "token_epoch")
        check_positive(self.generation, "generation")
        check_bytes(self.nonce, limits.REFERENCE_BYTES, "nonce")
        check_life(self.create_time_us, self.expire_time_us, Reason.EVALUATION_EXPIRED)
        if len(self.blinded_elements) not in PADDED_SIZES:
            raise InvalidInput(
                Reason.EVALUATION_SIZE,
                f"requests hold {', '.join(map(str, PADDED_SIZES))} elements",
                field="blinded_elements",
            )
        for element in self.blinded_elements:
            check_bytes(element, ELEMENT_BYTES, "blinded_elements")

    def encode(self) -> bytes:
        """The payload bytes to sign."""
        return pb.EvaluationRequest(
            network=self.network,
            lender=self.lender,
            token_epoch=self.token_epoch,
            generation=self.generation,
            nonce=self.nonce,
            create_time=micros_to_proto(self.create_time_us),
            expire_time=micros_to_proto(self.expire_time_us),
            blinded_elements=b"".join(self.blinded_elements),
        ).SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, payload: bytes) -> EvaluationRequest:
        """Reads a verified payload; raises InvalidInput."""
        message = parse(pb.EvaluationRequest, payload)
        return cls(
            network=message.network,
            lender=message.lender,
            token_epoch=message.token_epoch,
            generation=message.generation,
            nonce=message.nonce,
            create_time_us=micros_from_proto(message.create_time, "create_time"),
            expire_time_us=micros_from_proto(message.expire_time, "expire_time"),
            blinded_elements=split_elements(message.blinded_elements, "blinded_elements"),
        )


@dataclass(frozen=True, slots=True)
class PartialEvaluation:
    """One evaluator's share of a result. Nothing is verified by making one: see `oprf`."""

    evaluator: str
    generation: int
    evaluated_elements: tuple[bytes, ...] = field(repr=False)
    proof: bytes = field(repr=False)
    """Batch DLEQ proof of RFC 9497: c || s, 64 bytes."""

    def __post_init__(self) -> None:
        check_name(self.evaluator, "evaluator")
        check_positive(self.generation, "generation")
        check_bytes(self.proof, 64, "proof")

    def to_proto(self) -> pb.PartialEvaluation:
        """As a message."""
        return pb.PartialEvaluation(
            evaluator=f"lenders/{self.evaluator}",
            generation=self.generation,
            evaluated_elements=b"".join(self.evaluated_elements),
            proof=self.proof,
        )

    @classmethod
    def from_proto(cls, message: pb.PartialEvaluation) -> PartialEvaluation:
        """From a message; raises InvalidInput."""
        collection, _, evaluator = message.evaluator.partition("/")
        if collection != "lenders":
            raise InvalidInput(Reason.FIELD_INVALID, "not lenders/{lender}", field="evaluator")
        return cls(
            evaluator=evaluator,
            generation=message.generation,
            evaluated_elements=split_elements(message.evaluated_elements, "evaluated_elements"),
            proof=message.proof,
        )


def padded_size(count: int) -> int:
    """The smallest padded size that holds `count` elements; EVALUATION_SIZE past the largest."""
    for size in PADDED_SIZES:
        if 0 < count <= size:
            return size
    raise InvalidInput(
        Reason.EVALUATION_SIZE, f"1 to {PADDED_SIZES[-1]} elements", field="blinded_elements"
    )


def split_elements(data: bytes, field_name: str) -> tuple[bytes, ...]:
    """Concatenated elements of 32 bytes each."""
    if not data or len(data) % ELEMENT_BYTES:
        raise InvalidInput(
            Reason.EVALUATION_SIZE, f"not elements of {ELEMENT_BYTES} bytes", field=field_name
        )
    return tuple(
        data[start : start + ELEMENT_BYTES] for start in range(0, len(data), ELEMENT_BYTES)
    )
