"""The values that cross the store's border. Frozen; no SQL, no protobuf.

Times ending in `_us` are microseconds since 1970-01-01T00:00:00Z, others are seconds. Envelopes
and receipts are serialised `counterfoil.v1.Envelope` bytes. Tokens and records stay out of reprs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from counterfoil.batch import BatchStatement
from counterfoil.exposure import InstitutionKind
from counterfoil.membership import MemberRole, MemberState


class EntryKind(StrEnum):
    """What an entry of the log is about."""

    BATCH = "batch"
    ENROLMENT = "enrolment"
    ROTATION = "rotation"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its position from 0, its kind and the exact envelope."""

    index: int
    kind: EntryKind
    envelope: bytes
    received_us: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a gateway is; written once by `init`."""

    network: str
    gateway: str
    answer_key: bytes
    created_us: int


# --- members -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the network knows it. `record_key` is the one in force; None: not enrolled."""

    lender: str
    institution_kind: InstitutionKind
    roles: frozenset[MemberRole]
    state: MemberState
    admitted_us: int
    suspended_us: int | None
    record_key: bytes | None
    certificate_expire_us: int | None


@dataclass(frozen=True, slots=True)
class TokenEpoch:
    """A token epoch: who evaluates in it, by which share generation and public key (32 bytes)."""

    epoch: int
    generation: int
    evaluator: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Registry:
    """All members by lender, and the token epoch in force, of one snapshot."""

    members: Mapping[str, Member]
    token_epoch: TokenEpoch | None


@dataclass(frozen=True, slots=True)
class Admission:
    """A member to admit, or an unused invitation to replace by a new one."""

    lender: str
    institution_kind: InstitutionKind
    roles: frozenset[MemberRole]
    token_hash: bytes
    expire_us: int
    admitted_us: int


@dataclass(frozen=True, slots=True)
class Invitation:
    """What is behind the hash of a one-time token.

    Once used, `statement_hash` tells for which statement, and `certificate_pem` what was issued.
    """

    lender: str
    expire_us: int
    statement_hash: bytes | None
    certificate_pem: str | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """A leaf certificate that the CA issued. `serial` is lower-case hexadecimal."""

    lender: str
    serial: str
    pem: str
    issued_us: int
    expire_us: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A verified enrolment, to be made true in one step.

    `evaluator_public_key` opens token epoch 1; None for members that evaluate nothing.
    """

    token_hash: bytes
    statement_hash: bytes
    envelope: bytes
    record_key: bytes
    evaluator_public_key: bytes | None
    certificate: Certificate
    received_us: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """A verified replacement of a record key."""

    lender: str
    old_key: bytes
    new_key: bytes
    envelope: bytes
    received_us: int


@dataclass(frozen=True, slots=True)
class LoggedPolicy:
    """A policy file as it was logged: `envelope` holds its exact bytes, signed by the gateway."""

    policy_hash: bytes
    version: str
    envelope: bytes
    received_us: int


# --- batches -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """Where a lender stands after its last accepted batch."""

    sequence: int
    statement_hash: bytes
    as_of: int
    complete_as_of: int | None


@dataclass(frozen=True, slots=True)
class NewRecord:
    """One verified record: its place in the batch is its place in the tuple."""

    token: bytes = field(repr=False)
    leaf: bytes
    effective: int
    record: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A verified batch. `record_key` is the key its signature was verified with: the store
    refuses when that key is no longer in force."""

    lender: str
    record_key: bytes
    envelope: bytes
    statement: BatchStatement
    statement_hash: bytes
    salts: bytes = field(repr=False)
    records: tuple[NewRecord, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The signed acknowledgement of one batch, and the time it names."""

    envelope: bytes
    received_us: int


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """An accepted batch without its records."""

    lender: str
    sequence: int
    entry_index: int
    statement_hash: bytes
    envelope: bytes
    receipt: bytes
    record_count: int
    received_us: int


@dataclass(frozen=True, slots=True)
class Openings:
    """The openings of a batch: a salt of 32 bytes and the exact bytes of each record."""

    salts: bytes = field(repr=False)
    records: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A validly signed statement under a number that other bytes have taken."""

    lender: str
    sequence: int
    statement_hash: bytes
    envelope: bytes
    received_us: int


# --- inquiries ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CurrentRecord:
    """One lender's current record about a borrower, and which leaf of which batch it is."""

    lender: str
    sequence: int
    leaf_index: int
    leaf: bytes
    record: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class EarlierInquiry:
    """A credit-seeking inquiry about a borrower that was answered before."""

    lender: str
    application_reference: bytes = field(repr=False)
    asked_us: int


@dataclass(frozen=True, slots=True)
class MemberStanding:
    """A member's state and how far its book is known, for the freshness rules.

    `last_as_of` is the as-of of its last batch, `complete_as_of` the last one declared.
    """

    lender: str
    state: MemberState
    suspended_us: int | None
    last_as_of: int | None
    complete_as_of: int | None


@dataclass(frozen=True, slots=True)
class TokenView:
    """Everything the store holds about one token, of one snapshot.

    `tree_size` is the number of entries that the snapshot reflects. `inquiries` holds the
    credit-seeking ones since the time asked for, oldest first. `standings` has every enrolled
    member.
    """

    tree_size: int
    records: tuple[CurrentRecord, ...]
    inquiries: tuple[EarlierInquiry, ...]
    standings: tuple[MemberStanding, ...]


@dataclass(frozen=True, slots=True)
class AnsweredInquiry:
    """An inquiry with its signed answer and the opening of the answer's records commitment."""

    inquiry_hash: bytes
    lender: str
    nonce: bytes
    token: bytes = field(repr=False)
    application_reference: bytes = field(repr=False)
    credit_seeking: bool
    asked_us: int
    received_us: int
    interval_number: int
    policy_hash: bytes
    commitment_salt: bytes = field(repr=False)
    records_used: bytes = field(repr=False)
    envelope: bytes = field(repr=False)
    answer: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a store holds, for `status`."""

    entries: int
    batches: int
    records: int
    inquiries: int
    conflicts: int
