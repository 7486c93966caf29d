"""Answers: the gateway's signed reply to an inquiry (protos/counterfoil/v1/inquiry.proto)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from .amounts import check_currency
from .errors import InvalidInput, Reason
from .fields import check_bytes, check_name, check_time_us
from .limits import SALT_BYTES

PAYLOAD_TYPE = "application/vnd.counterfoil.answer.v1+protobuf"


MAX_SUM_MINOR = 2**63 - 1
"""The largest joint amount, in minor units: what the wire holds."""


class AnswerStatus(IntEnum):
    """How far an answer reaches."""

    ASSESSED = 1
    NO_RECORD = 2
    NO_COVERAGE = 3
    STALE = 4
    FROZEN = 5
    UNAVAILABLE = 6


class Severity(IntEnum):
    """How grave a flag is."""

    INFO = 1
    WATCH = 2
    HIGH = 3
    CRITICAL = 4


class ExclusionReason(IntEnum):
    """Why records were left out of an answer, or are marked in it."""

    STALE_LENDER = 1
    SUSPENDED_LENDER = 2
    STALE_COUNTED = 3
    SUSPENDED_COUNTED = 4
    EVENTS_OMITTED = 5


@dataclass(frozen=True, slots=True)
class AmountBand:
    """At least `low_minor`, less than `high_minor`."""

    currency: str
    low_minor: int
    high_minor: int

    def __post_init__(self) -> None:
        check_currency(self.currency, "joint_outstanding.currency")
        # A sum over many lenders may exceed what one field of a record may hold.
        if not 0 <= self.low_minor < self.high_minor <= MAX_SUM_MINOR:
            raise InvalidInput(
                Reason.FIELD_INVALID, "not a band of amounts", field="joint_outstanding"
            )


@dataclass(frozen=True, slots=True)
class Indicator:
    """A counted fact over all members, the asker included."""

    code: str
    value: int
    unit: str


@dataclass(frozen=True, slots=True)
class FlagReason:
    """An indicator that met a threshold."""

    code: str
    indicator: str
    observed: int
    threshold: int
    severity: Severity


@dataclass(frozen=True, slots=True)
class Clearing:
    """What clears a flag, if nothing new happens."""

    condition: str
    clear_time: int | None = None
    """End of the week in which time alone clears it, seconds; None: it never does."""


@dataclass(frozen=True, slots=True)
class Flag:
    """A policy's judgement."""

    code: str
    severity: Severity
    reasons: tuple[FlagReason, ...]
    clearing: Clearing

    def __post_init__(self) -> None:
        if not self.reasons:
            raise InvalidInput(Reason.FIELD_MISSING, "a flag says why", field="flags.reasons")


@dataclass(frozen=True, slots=True)
class Exclusion:
    """How many lenders' records about the borrower were left out or marked, and why."""

    reason: ExclusionReason
    lender_count: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """What an answer rests on."""

    member_count: int
    fresh_percent: int
    """Rounded down to a multiple of 10."""
    oldest_complete_week: int | None
    """End of a week, seconds."""
    exclusions: tuple[Exclusion, ...] = ()


NOTHING = Coverage(0, 0, None)
"""The coverage of a node's own UNAVAILABLE."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply. Its bytes are made and read by `answer_codec`."""

    network: str
    issuer: str
    inquiry_hash: bytes
    """Empty only in an UNAVAILABLE for which no inquiry could be made."""
    assess_time_us: int
    status: AnswerStatus
    policy_version: str = ""
    policy_hash: bytes = b""
    tree_size: int = 0
    records_commitment: bytes = b""
    interval_number: int = 0
    active_lenders: int = 0
    joint_outstanding: tuple[AmountBand, ...] = ()
    indicators: tuple[Indicator, ...] = ()
    flags: tuple[Flag, ...] = ()
    coverage: Coverage = NOTHING
    unavailable_reason: str = ""

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.issuer, "issuer")
        check_time_us(self.assess_time_us, "assess_time")
        if self.status is AnswerStatus.UNAVAILABLE:
            if not self.unavailable_reason:
                raise InvalidInput(Reason.FIELD_MISSING, "says why", field="unavailable_reason")
            if self.inquiry_hash:
                check_bytes(self.inquiry_hash, 32, "inquiry_hash")
            return
        check_bytes(self.inquiry_hash, 32, "inquiry_hash")
        check_bytes(self.policy_hash, 32, "policy_hash")
        check_bytes(self.records_commitment, 32, "records_commitment")


@dataclass(frozen=True, slots=True)
class RecordUsed:
    """One record that an answer rests on."""

    lender: str
    sequence: int
    leaf_index: int
    leaf_hash: bytes


def records_opening(used: tuple[RecordUsed, ...]) -> bytes:
    """The list that a records commitment hides.

    For each record, in order of (lender, sequence, leaf index): the lender's name (one length
    byte, then ASCII), sequence (8 bytes), leaf index (4 bytes), both big-endian, and the leaf
    hash (32 bytes).
    """
    parts = []
    for record in sorted(used, key=lambda r: (r.lender, r.sequence, r.leaf_index)):
        name = check_name(record.lender, "lender").encode("ascii")
        parts += [
            bytes([len(name)]),
            name,
            record.sequence.to_bytes(8, "big"),
            record.leaf_index.to_bytes(4, "big"),
            check_bytes(record.leaf_hash, 32, "leaf_hash"),
        ]
    return b"".join(parts)


def records_commitment(salt: bytes, opening: bytes) -> bytes:
    """SHA-256(0x00 || 32 random bytes || opening)."""
    check_bytes(salt, SALT_BYTES, "salt")
    return hashlib.sha256(b"\x00" + salt + opening).digest()
