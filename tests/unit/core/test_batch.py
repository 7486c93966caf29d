"""Batches: what a signature over a root holds together, and what breaks it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil import batch, dsse
from counterfoil.batch import BatchReceipt, BatchStatement, SealedBatch
from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.keys import PrivateKey

KEY = PrivateKey.load(b"\x07" * 32)
NOON = 1_790_000_000


def counting_bytes(count: int) -> bytes:
    return bytes(i % 251 for i in range(count))


def seal(records: tuple[bytes, ...], key: PrivateKey = KEY) -> SealedBatch:
    return batch.seal(
        network="demo",
        lender="harbour",
        sequence=2,
        previous_statement_hash=b"\x01" * 32,
        token_epoch=1,
        as_of=NOON,
        complete_as_of=NOON - 5,
        records=records,
        key=key,
        random_bytes=counting_bytes,
    )


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20).map(tuple))
def test_a_sealed_batch_opens_to_its_statement(records: tuple[bytes, ...]) -> None:
    sealed = seal(records)
    opened = batch.open_batch(sealed.envelope, sealed.salts, sealed.records, KEY.public)
    assert opened.statement == sealed.statement
    assert opened.statement.record_count == len(records)
    assert opened.statement_hash == hashlib.sha256(sealed.envelope.payload).digest()
    assert len(opened.leaves) == len(records)


def test_a_leaf_is_sha256_of_zero_salt_and_record() -> None:
    salt = bytes(range(32))
    expected = hashlib.sha256(b"\x00" + salt + b"record").digest()
    assert batch.leaf(salt, b"record") == expected
    sealed = seal((b"record",))
    assert sealed.statement.merkle_root == batch.leaf(sealed.salts, b"record")


def test_a_batch_of_no_records_commits_to_the_empty_root() -> None:
    assert seal(()).statement.merkle_root == hashlib.sha256(b"").digest()


SEALED = seal((b"first", b"second", b"third"))


def with_flipped_salt() -> SealedBatch:
    salts = bytes([SEALED.salts[0] ^ 1]) + SEALED.salts[1:]
    return dataclasses.replace(SEALED, salts=salts)


def with_forged_signature() -> SealedBatch:
    signature = SEALED.envelope.signatures[0]
    forged = dataclasses.replace(signature, signature=bytes(64))
    envelope = dataclasses.replace(SEALED.envelope, signatures=(forged,))
    return dataclasses.replace(SEALED, envelope=envelope)


def with_another_type() -> SealedBatch:
    envelope = dsse.sign(batch.RECEIPT_PAYLOAD_TYPE, SEALED.envelope.payload, KEY)
    return dataclasses.replace(SEALED, envelope=envelope)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (
            lambda: dataclasses.replace(SEALED, records=(b"first", b"SECOND", b"third")),
            Reason.BATCH_ROOT_MISMATCH,
        ),
        (
            lambda: dataclasses.replace(SEALED, records=(b"second", b"first", b"third")),
            Reason.BATCH_ROOT_MISMATCH,
        ),
        (with_flipped_salt, Reason.BATCH_ROOT_MISMATCH),
        (
            lambda: dataclasses.replace(SEALED, records=SEALED.records[:2]),
            Reason.BATCH_COUNT_MISMATCH,
        ),
        (
            lambda: dataclasses.replace(SEALED, salts=SEALED.salts[:-1]),
            Reason.BATCH_COUNT_MISMATCH,
        ),
        (with_forged_signature, Reason.SIGNATURE_INVALID),
        (with_another_type, Reason.PAYLOAD_TYPE_MISMATCH),
        (lambda: seal(SEALED.records, PrivateKey.load(b"\x08" * 32)), Reason.SIGNATURE_MISSING),
    ],
)
def test_what_was_not_signed_does_not_open(make: Callable[[], SealedBatch], reason: Reason) -> None:
    sealed = make()
    with pytest.raises(CounterfoilError) as refused:
        batch.open_batch(sealed.envelope, sealed.salts, sealed.records, KEY.public)
    assert refused.value.reason is reason


def test_statement_bytes_hold_all_fields() -> None:
    statement = SEALED.statement
    assert BatchStatement.decode(statement.encode()) == statement
    without = dataclasses.replace(statement, complete_as_of=None)
    assert BatchStatement.decode(without.encode()) == without


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"network": "Demo"}, Reason.FIELD_INVALID, "network"),
        ({"lender": ""}, Reason.FIELD_MISSING, "lender"),
        ({"lender": "a" * 64}, Reason.FIELD_INVALID, "lender"),
        ({"sequence": 0}, Reason.FIELD_INVALID, "sequence"),
        ({"sequence": 1}, Reason.FIELD_INVALID, "previous_statement_hash"),
        ({"previous_statement_hash": b""}, Reason.FIELD_MISSING, "previous_statement_hash"),
        ({"record_count": 10_001}, Reason.BATCH_TOO_LARGE, "record_count"),
        ({"merkle_root": b"x"}, Reason.FIELD_INVALID, "merkle_root"),
        ({"token_epoch": 0}, Reason.FIELD_INVALID, "token_epoch"),
        ({"as_of": 0}, Reason.FIELD_INVALID, "as_of_time"),
        ({"complete_as_of": NOON + 1}, Reason.FIELD_INVALID, "complete_as_of_time"),
    ],
)
def test_a_statement_checks_itself(changes: dict[str, object], reason: Reason, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        dataclasses.replace(SEALED.statement, **changes)  # type: ignore[arg-type]
    assert refused.value.reason is reason
    assert refused.value.field == field


def test_receipt_bytes_hold_all_fields() -> None:
    receipt = BatchReceipt("demo", "gateway", "harbour", 7, b"\x02" * 32, 3, NOON * 10**6 + 1, 9)
    assert BatchReceipt.decode(receipt.encode()) == receipt


def test_bytes_that_are_no_statement_are_malformed() -> None:
    for decode in (BatchStatement.decode, BatchReceipt.decode):
        with pytest.raises(InvalidInput) as refused:
            decode(b"\xff\xff\xff")
        assert refused.value.reason is Reason.MALFORMED
