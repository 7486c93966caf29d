"""Batches: salted leaves, a Merkle root over them, and the statement that a lender signs.

Leaf = SHA-256(0x00 || salt || record), combined as RFC 6962 section 2.1 does; the statement
(protos/counterfoil/v1/batch.proto) is the payload of a DSSE envelope under the lender's record key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import dsse, limits, merkle
from .dsse import Envelope
from .errors import InvalidInput, Reason, VerificationError
from .fields import check_bytes, check_name, check_positive, check_time, check_time_us
from .keys import PrivateKey, PublicKey
from .timestamps import (
    micros_from_proto,
    micros_to_proto,
    seconds_from_proto,
    seconds_to_proto,
)
from .v1 import batch_pb2 as pb
from .wire import parse

PAYLOAD_TYPE = "application/vnd.counterfoil.batch-statement.v1+protobuf"
RECEIPT_PAYLOAD_TYPE = "application/vnd.counterfoil.batch-receipt.v1+protobuf"

HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class BatchStatement:
    """What a lender signs to publish records. Times are whole seconds."""

    network: str
    lender: str
    sequence: int
    previous_statement_hash: bytes
    """Empty for sequence 1."""
    record_count: int
    merkle_root: bytes
    token_epoch: int
    as_of: int
    complete_as_of: int | None = None

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.lender, "lender")
        check_positive(self.sequence, "sequence")
        if self.sequence == 1:
            if self.previous_statement_hash:
                raise InvalidInput(
                    Reason.FIELD_INVALID,
                    "the first batch has no previous statement",
                    field="previous_statement_hash",
                )
        else:
            check_bytes(self.previous_statement_hash, HASH_BYTES, "previous_statement_hash")
        if not 0 <= self.record_count <= limits.MAX_BATCH_RECORDS:
            raise InvalidInput(
                Reason.BATCH_TOO_LARGE,
                f"a batch has at most {limits.MAX_BATCH_RECORDS} records",
                field="record_count",
            )
        check_bytes(self.merkle_root, HASH_BYTES, "merkle_root")
        check_positive(self.token_epoch, "token_epoch")
        check_time(self.as_of, "as_of_time")
        if self.complete_as_of is not None:
            check_time(self.complete_as_of, "complete_as_of_time")
            if self.complete_as_of > self.as_of:
                raise InvalidInput(
                    Reason.FIELD_INVALID,
                    "complete as of a time later than the as-of",
                    field="complete_as_of_time",
                )

    def encode(self) -> bytes:
        """The payload bytes to sign."""
        message = pb.BatchStatement(
            network=self.network,
            lender=self.lender,
            sequence=self.sequence,
            previous_statement_hash=self.previous_statement_hash,
            record_count=self.record_count,
            merkle_root=self.merkle_root,
            token_epoch=self.token_epoch,
            as_of_time=seconds_to_proto(self.as_of),
        )
        if self.complete_as_of is not None:
            message.complete_as_of_time.CopyFrom(seconds_to_proto(self.complete_as_of))
        return message.SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, payload: bytes) -> BatchStatement:
        """Reads a verified payload; raises InvalidInput."""
        message = parse(pb.BatchStatement, payload)
        return cls(
            network=message.network,
            lender=message.lender,
            sequence=message.sequence,
            previous_statement_hash=message.previous_statement_hash,
            record_count=message.record_count,
            merkle_root=message.merkle_root,
            token_epoch=message.token_epoch,
            as_of=seconds_from_proto(message.as_of_time, "as_of_time"),
            complete_as_of=(
                seconds_from_proto(message.complete_as_of_time, "complete_as_of_time")
                if message.HasField("complete_as_of_time")
                else None
            ),
        )


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """A signed batch with its openings, as its lender sends it."""

    envelope: Envelope
    statement: BatchStatement
    salts: bytes = field(repr=False)
    """32 bytes a record, concatenated."""
    records: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenedBatch:
    """A batch whose signature, count and root hold."""

    statement: BatchStatement
    statement_hash: bytes
    leaves: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BatchReceipt:
    """What the gateway signs when it has accepted a batch."""

    network: str
    gateway: str
    lender: str
    sequence: int
    statement_hash: bytes
    record_count: int
    received_time_us: int
    entry_index: int

    def __post_init__(self) -> None:
        check_name(self.network, "network")
        check_name(self.gateway, "gateway")
        check_name(self.lender, "lender")
        check_positive(self.sequence, "sequence")
        check_bytes(self.statement_hash, HASH_BYTES, "statement_hash")
        check_time_us(self.received_time_us, "received_time")

    def encode(self) -> bytes:
        """The payload bytes to sign."""
        return pb.BatchReceipt(
            network=self.network,
            gateway=self.gateway,
            lender=self.lender,
            sequence=self.sequence,
            statement_hash=self.statement_hash,
            record_count=self.record_count,
            received_time=micros_to_proto(self.received_time_us),
            entry_index=self.entry_index,
        ).SerializeToString(deterministic=True)

    @classmethod
    def decode(cls, payload: bytes) -> BatchReceipt:
        """Reads a verified payload; raises InvalidInput."""
        message = parse(pb.BatchReceipt, payload)
        return cls(
            network=message.network,
            gateway=message.gateway,
            lender=message.lender,
            sequence=message.sequence,
            statement_hash=message.statement_hash,
            record_count=message.record_count,
            received_time_us=micros_from_proto(message.received_time, "received_time"),
            entry_index=message.entry_index,
        )


def statement_hash(payload: bytes) -> bytes:
    """SHA-256 of a statement's exact payload bytes: what the next statement chains to."""
    return hashlib.sha256(payload).digest()


def leaf(salt: bytes, record: bytes) -> bytes:
    """The leaf hash of an opening: SHA-256(0x00 || salt || record)."""
    return hashlib.sha256(b"\x00" + salt + record).digest()


def leaves_of(salts: bytes, records: Sequence[bytes]) -> tuple[bytes, ...]:
    """The leaf hashes of a batch in order; BATCH_COUNT_MISMATCH unless every record has a salt."""
    size = limits.SALT_BYTES
    if len(salts) != size * len(records):
        raise VerificationError(
            Reason.BATCH_COUNT_MISMATCH,
            f"a salt of {size} bytes belongs to each record",
            expected=str(size * len(records)),
            actual=str(len(salts)),
            field="salts",
        )
    return tuple(
        leaf(salts[index * size : (index + 1) * size], record)
        for index, record in enumerate(records)
    )


def seal(
    *,
    network: str,
    lender: str,
    sequence: int,
    previous_statement_hash: bytes,
    token_epoch: int,
    as_of: int,
    complete_as_of: int | None,
    records: Sequence[bytes],
    key: PrivateKey,
    random_bytes: Callable[[int], bytes],
) -> SealedBatch:
    """Salts the records with fresh random bytes, commits to them and signs the statement."""
    salts = random_bytes(limits.SALT_BYTES * len(records))
    statement = BatchStatement(
        network=network,
        lender=lender,
        sequence=sequence,
        previous_statement_hash=previous_statement_hash,
        record_count=len(records),
        merkle_root=merkle.root(leaves_of(salts, records)),
        token_epoch=token_epoch,
        as_of=as_of,
        complete_as_of=complete_as_of,
    )
    envelope = dsse.sign(PAYLOAD_TYPE, statement.encode(), key)
    return SealedBatch(envelope, statement, salts, tuple(records))


def verify_statement(envelope: Envelope, key: PublicKey) -> BatchStatement:
    """The statement of an envelope signed by `key`."""
    return BatchStatement.decode(dsse.verify(envelope, PAYLOAD_TYPE, key))


def open_batch(
    envelope: Envelope, salts: bytes, records: Sequence[bytes], key: PublicKey
) -> OpenedBatch:
    """Verifies a batch against its lender's key: signature, then count, then root.

    Raises VerificationError (SIGNATURE_*, PAYLOAD_TYPE_MISMATCH, BATCH_COUNT_MISMATCH,
    BATCH_ROOT_MISMATCH) or InvalidInput when the statement breaks a rule of its form.
    """
    statement = verify_statement(envelope, key)
    return OpenedBatch(
        statement, statement_hash(envelope.payload), check_openings(statement, salts, records)
    )


def check_openings(
    statement: BatchStatement, salts: bytes, records: Sequence[bytes]
) -> tuple[bytes, ...]:
    """The leaf hashes, if these openings are the ones that a verified statement commits to.

    Raises VerificationError: BATCH_COUNT_MISMATCH, BATCH_ROOT_MISMATCH.
    """
    if len(records) != statement.record_count:
        raise VerificationError(
            Reason.BATCH_COUNT_MISMATCH,
            "the number of records is not the one signed",
            expected=str(statement.record_count),
            actual=str(len(records)),
            field="records",
        )
    leaves = leaves_of(salts, records)
    root = merkle.root(leaves)
    if root != statement.merkle_root:
        raise VerificationError(
            Reason.BATCH_ROOT_MISMATCH,
            "the openings do not give the signed root",
            expected=statement.merkle_root.hex(),
            actual=root.hex(),
            field="records",
        )
    return leaves
