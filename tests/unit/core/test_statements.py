"""Inquiries, answers, evaluation requests and membership statements: bytes and refusals."""

from __future__ import annotations

import dataclasses
import hashlib

import pytest

from counterfoil import answer_codec, dsse, inquiry, wire
from counterfoil.answer import (
    PAYLOAD_TYPE,
    AmountBand,
    Answer,
    AnswerStatus,
    Clearing,
    Coverage,
    Exclusion,
    ExclusionReason,
    Flag,
    FlagReason,
    Indicator,
    RecordUsed,
    Severity,
    records_commitment,
    records_opening,
)
from counterfoil.errors import InvalidInput, Reason, VerificationError
from counterfoil.evaluation import PADDED_SIZES, EvaluationRequest, padded_size, split_elements
from counterfoil.exposure import ProductKind
from counterfoil.inquiry import Inquiry, Purpose, consent_commitment, inquiry_hash
from counterfoil.keys import PrivateKey
from counterfoil.membership import EnrolmentStatement, Network, RecordKeyRotation
from counterfoil.v1 import envelope_pb2, inquiry_pb2

NOW = 1_790_000_000_000_000
KEY = PrivateKey.load(b"\x07" * 32)

INQUIRY = Inquiry(
    network="demo",
    audience="gateway",
    lender="harbour",
    token=b"\x01" * 32,
    token_epoch=1,
    nonce=b"\x02" * 16,
    create_time_us=NOW,
    expire_time_us=NOW + 60_000_000,
    purpose=Purpose.CREDIT_APPLICATION,
    consent_commitment=b"\x03" * 32,
    application_reference=b"\x04" * 16,
    product_kind=ProductKind.CASH_LOAN,
    amount_minor=500_000,
    currency="USD",
    time_zone="Asia/Shanghai",
)

ANSWER = Answer(
    network="demo",
    issuer="gateway",
    inquiry_hash=inquiry_hash(INQUIRY.encode()),
    assess_time_us=NOW + 1,
    status=AnswerStatus.ASSESSED,
    policy_version="2026-11",
    policy_hash=b"\x05" * 32,
    tree_size=17,
    records_commitment=b"\x06" * 32,
    interval_number=3,
    active_lenders=2,
    joint_outstanding=(AmountBand("USD", 100, 200),),
    indicators=(Indicator("active_lenders", 2, "count"),),
    flags=(
        Flag(
            "MULTI_LENDER",
            Severity.INFO,
            (FlagReason("ACTIVE_LENDERS_AT_LEAST", "active_lenders", 2, 2, Severity.INFO),),
            Clearing("FEWER_ACTIVE_LENDERS"),
        ),
        Flag(
            "RAPID_PROBING",
            Severity.WATCH,
            (FlagReason("APPLICATIONS_7D_AT_LEAST", "applications_7d", 3, 3, Severity.WATCH),),
            Clearing("WINDOW_PASSES", NOW // 10**6 + 9),
        ),
    ),
    coverage=Coverage(5, 80, NOW // 10**6, (Exclusion(ExclusionReason.STALE_COUNTED, 1),)),
)


def test_inquiry_bytes_hold_all_fields() -> None:
    assert Inquiry.decode(INQUIRY.encode()) == INQUIRY
    assert "token=" not in repr(INQUIRY)


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"audience": "UPPER"}, Reason.FIELD_INVALID, "audience"),
        ({"token": b"1"}, Reason.FIELD_INVALID, "token"),
        ({"nonce": b""}, Reason.FIELD_MISSING, "nonce"),
        ({"expire_time_us": NOW}, Reason.FIELD_INVALID, "expire_time"),
        ({"expire_time_us": NOW + 300_000_001}, Reason.INQUIRY_LIFE_TOO_LONG, "expire_time"),
        ({"consent_commitment": b""}, Reason.FIELD_MISSING, "consent_commitment"),
        ({"application_reference": bytes(16)}, Reason.FIELD_INVALID, "application_reference"),
        ({"amount_minor": -1}, Reason.AMOUNT_NEGATIVE, "amount_minor"),
        ({"currency": "QQQ"}, Reason.CURRENCY_UNKNOWN, "currency"),
        ({"time_zone": "Nowhere/Land"}, Reason.TIME_ZONE_UNKNOWN, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, Reason.TIME_ZONE_UNKNOWN, "time_zone"),
    ],
)
def test_an_inquiry_checks_itself(changes: dict[str, object], reason: Reason, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        dataclasses.replace(INQUIRY, **changes)  # type: ignore[arg-type]
    assert (refused.value.reason, refused.value.field) == (reason, field)


def test_an_unknown_purpose_is_refused() -> None:
    message = inquiry_pb2.Inquiry.FromString(INQUIRY.encode())
    message.purpose = 42  # type: ignore[assignment]
    with pytest.raises(InvalidInput) as refused:
        Inquiry.decode(message.SerializeToString())
    assert refused.value.reason is Reason.ENUM_UNKNOWN


def test_only_applications_and_limit_increases_seek_credit() -> None:
    seeking = {purpose for purpose in Purpose if purpose.credit_seeking}
    assert seeking == {Purpose.CREDIT_APPLICATION, Purpose.LIMIT_INCREASE}


def test_a_consent_commitment_is_salted() -> None:
    salt = b"\x09" * 32
    assert consent_commitment(salt, b"form") == hashlib.sha256(b"\x00" + salt + b"form").digest()
    with pytest.raises(InvalidInput):
        consent_commitment(b"short", b"form")


def test_answer_bytes_hold_all_fields() -> None:
    assert answer_codec.decode(answer_codec.encode(ANSWER)) == ANSWER


def test_an_unavailable_says_why() -> None:
    bare = Answer("demo", "harbour", b"", NOW, AnswerStatus.UNAVAILABLE, unavailable_reason="X")
    assert answer_codec.decode(answer_codec.encode(bare)) == bare
    with pytest.raises(InvalidInput):
        dataclasses.replace(bare, unavailable_reason="")


def test_a_flag_without_a_reason_cannot_be_made() -> None:
    with pytest.raises(InvalidInput):
        Flag("MULTI_LENDER", Severity.INFO, (), Clearing("FEWER_ACTIVE_LENDERS"))


def test_an_answer_verifies_only_against_its_own_inquiry_network_and_issuer() -> None:
    envelope = dsse.sign(PAYLOAD_TYPE, answer_codec.encode(ANSWER), KEY)
    asked = INQUIRY.encode()

    def verify(**changes: object) -> Answer:
        fields = {"network": "demo", "issuer": "gateway", "inquiry_payload": asked} | changes
        return answer_codec.verify(envelope, KEY.public, **fields)  # type: ignore[arg-type]

    assert verify() == ANSWER
    for changes, field in (
        ({"network": "other"}, "network"),
        ({"issuer": "other"}, "issuer"),
        ({"inquiry_payload": asked + b" "}, "inquiry_hash"),
    ):
        with pytest.raises(VerificationError) as failed:
            verify(**changes)
        assert failed.value.field == field
        assert failed.value.expected != failed.value.actual


def test_a_records_commitment_does_not_depend_on_the_order_of_reading() -> None:
    used = (
        RecordUsed("harbour", 3, 1, b"\x01" * 32),
        RecordUsed("harbour", 2, 7, b"\x02" * 32),
        RecordUsed("atlas", 9, 0, b"\x03" * 32),
    )
    opening = records_opening(used)
    assert opening == records_opening(tuple(reversed(used)))
    assert opening.startswith(b"\x05atlas" + (9).to_bytes(8, "big"))
    salt = b"\x0a" * 32
    assert records_commitment(salt, opening) == hashlib.sha256(b"\0" + salt + opening).digest()


REQUEST = EvaluationRequest("demo", "harbour", 1, 1, b"\x02" * 16, NOW, NOW + 1, (b"\x01" * 32,))


def test_evaluation_request_bytes_hold_all_fields() -> None:
    assert EvaluationRequest.decode(REQUEST.encode()) == REQUEST


def test_evaluation_requests_come_in_padded_sizes_only() -> None:
    for count in (2, 15, 1025):
        with pytest.raises(InvalidInput) as refused:
            dataclasses.replace(REQUEST, blinded_elements=(b"\x01" * 32,) * count)
        assert refused.value.reason is Reason.EVALUATION_SIZE
    assert [padded_size(count) for count in (1, 2, 16, 17, 128, 129, 1024)] == [
        1,
        16,
        16,
        128,
        128,
        1024,
        1024,
    ]
    for count in (0, PADDED_SIZES[-1] + 1):
        with pytest.raises(InvalidInput):
            padded_size(count)
    with pytest.raises(InvalidInput):
        split_elements(b"\x01" * 33, "blinded_elements")


def test_membership_statements_hold_all_fields() -> None:
    enrolment = EnrolmentStatement("demo", "harbour", *(bytes([i]) * 32 for i in range(1, 5)))
    assert EnrolmentStatement.decode(enrolment.encode()) == enrolment
    rotation = RecordKeyRotation("demo", "harbour", b"\x01" * 32, b"\x02" * 32, NOW)
    assert RecordKeyRotation.decode(rotation.encode()) == rotation
    with pytest.raises(InvalidInput):
        RecordKeyRotation("demo", "harbour", b"\x01" * 32, b"\x01" * 32, NOW)


def test_a_pinned_network_survives_proto_and_json() -> None:
    network = Network("demo", "gateway", b"\x01" * 32, "PEM", 1, b"\x02" * 32, "v1", b"\x03" * 32)
    assert Network.from_proto(network.to_proto()) == network
    assert Network.from_json(network.to_json()) == network
    for text in ("", "{}", "[]", '{"network": 5}'):
        with pytest.raises(InvalidInput):
            Network.from_json(text)


def test_an_envelope_survives_the_wire_byte_for_byte() -> None:
    envelope = dsse.sign(inquiry.PAYLOAD_TYPE, INQUIRY.encode(), KEY)
    assert wire.envelope_from_proto(wire.envelope_to_proto(envelope)) == envelope
    assert wire.envelope_from_bytes(wire.envelope_to_bytes(envelope)) == envelope


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (envelope_pb2.Envelope(), Reason.FIELD_MISSING),
        (
            envelope_pb2.Envelope(payload_type="t", payload=bytes(65_536)),
            Reason.MESSAGE_TOO_LARGE,
        ),
        (
            envelope_pb2.Envelope(
                payload_type="t",
                payload=b"p",
                signatures=[envelope_pb2.EnvelopeSignature()] * 17,
            ),
            Reason.FIELD_INVALID,
        ),
    ],
)
def test_envelopes_out_of_bounds_are_refused(
    message: envelope_pb2.Envelope, reason: Reason
) -> None:
    with pytest.raises(InvalidInput) as refused:
        wire.envelope_from_proto(message)
    assert refused.value.reason is reason
