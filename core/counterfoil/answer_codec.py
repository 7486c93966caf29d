"""Answer bytes: `counterfoil.v1.Answer`, the payload that the gateway signs."""

from __future__ import annotations

from . import dsse
from .answer import (
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
    Severity,
)
from .dsse import Envelope
from .errors import Reason, VerificationError
from .fields import to_enum, to_number
from .inquiry import inquiry_hash
from .keys import PublicKey
from .timestamps import (
    micros_from_proto,
    micros_to_proto,
    seconds_from_proto,
    seconds_to_proto,
)
from .v1 import inquiry_pb2 as pb
from .wire import parse


def to_proto(answer: Answer) -> pb.Answer:
    """An answer as a message."""
    coverage = pb.Coverage(
        member_count=answer.coverage.member_count,
        fresh_percent=answer.coverage.fresh_percent,
        exclusions=[
            pb.Exclusion(reason=to_number(e.reason), lender_count=e.lender_count)
            for e in answer.coverage.exclusions
        ],
    )
    if answer.coverage.oldest_complete_week is not None:
        coverage.oldest_complete_week.CopyFrom(
            seconds_to_proto(answer.coverage.oldest_complete_week)
        )
    return pb.Answer(
        network=answer.network,
        issuer=answer.issuer,
        inquiry_hash=answer.inquiry_hash,
        assess_time=micros_to_proto(answer.assess_time_us),
        status=to_number(answer.status),
        policy_version=answer.policy_version,
        policy_hash=answer.policy_hash,
        tree_size=answer.tree_size,
        records_commitment=answer.records_commitment,
        interval_number=answer.interval_number,
        active_lenders=answer.active_lenders,
        joint_outstanding=[
            pb.AmountBand(
                currency=band.currency, low_minor=band.low_minor, high_minor=band.high_minor
            )
            for band in answer.joint_outstanding
        ],
        indicators=[
            pb.Indicator(code=i.code, value=i.value, unit=i.unit) for i in answer.indicators
        ],
        flags=[_flag_to_proto(flag) for flag in answer.flags],
        coverage=coverage,
        unavailable_reason=answer.unavailable_reason,
    )


def from_proto(message: pb.Answer) -> Answer:
    """An answer from a message; raises InvalidInput."""
    coverage = message.coverage
    return Answer(
        network=message.network,
        issuer=message.issuer,
        inquiry_hash=message.inquiry_hash,
        assess_time_us=micros_from_proto(message.assess_time, "assess_time"),
        status=to_enum(AnswerStatus, message.status, "status"),
        policy_version=message.policy_version,
        policy_hash=message.policy_hash,
        tree_size=message.tree_size,
        records_commitment=message.records_commitment,
        interval_number=message.interval_number,
        active_lenders=message.active_lenders,
        joint_outstanding=tuple(
            AmountBand(band.currency, band.low_minor, band.high_minor)
            for band in message.joint_outstanding
        ),
        indicators=tuple(Indicator(i.code, i.value, i.unit) for i in message.indicators),
        flags=tuple(_flag_from_proto(flag) for flag in message.flags),
        coverage=Coverage(
            member_count=coverage.member_count,
            fresh_percent=coverage.fresh_percent,
            oldest_complete_week=(
                seconds_from_proto(coverage.oldest_complete_week, "coverage.oldest_complete_week")
                if coverage.HasField("oldest_complete_week")
                else None
            ),
            exclusions=tuple(
                Exclusion(
                    to_enum(ExclusionReason, e.reason, "coverage.exclusions.reason"),
                    e.lender_count,
                )
                for e in coverage.exclusions
            ),
        ),
        unavailable_reason=message.unavailable_reason,
    )


def encode(answer: Answer) -> bytes:
    """The payload bytes to sign."""
    return to_proto(answer).SerializeToString(deterministic=True)


def decode(payload: bytes) -> Answer:
    """Reads a verified payload; raises InvalidInput."""
    return from_proto(parse(pb.Answer, payload))


def verify(
    envelope: Envelope, key: PublicKey, *, network: str, issuer: str, inquiry_payload: bytes
) -> Answer:
    """The answer of an envelope, checked to be `issuer`'s, by `key`, to exactly this inquiry.

    Raises VerificationError naming the binding that does not hold.
    """
    answer = decode(dsse.verify(envelope, PAYLOAD_TYPE, key))
    asked = inquiry_hash(inquiry_payload)
    for reason, field, expected, actual in (
        (Reason.NETWORK_MISMATCH, "network", network, answer.network),
        (Reason.AUDIENCE_MISMATCH, "issuer", issuer, answer.issuer),
        (Reason.PROOF_INVALID, "inquiry_hash", asked.hex(), answer.inquiry_hash.hex()),
    ):
        if expected != actual:
            raise VerificationError(
                reason,
                "the answer is bound to something else",
                expected=expected,
                actual=actual,
                field=field,
            )
    return answer


def _flag_to_proto(flag: Flag) -> pb.Flag:
    clearing = pb.FlagClearing(condition=flag.clearing.condition)
    if flag.clearing.clear_time is not None:
        clearing.clear_time.CopyFrom(seconds_to_proto(flag.clearing.clear_time))
    return pb.Flag(
        code=flag.code,
        severity=to_number(flag.severity),
        reasons=[
            pb.FlagReason(
                code=reason.code,
                indicator=reason.indicator,
                observed=reason.observed,
                threshold=reason.threshold,
                severity=to_number(reason.severity),
            )
            for reason in flag.reasons
        ],
        clearing=clearing,
    )


def _flag_from_proto(message: pb.Flag) -> Flag:
    clearing = message.clearing
    return Flag(
        code=message.code,
        severity=to_enum(Severity, message.severity, "flags.severity"),
        reasons=tuple(
            FlagReason(
                code=reason.code,
                indicator=reason.indicator,
                observed=reason.observed,
                threshold=reason.threshold,
                severity=to_enum(Severity, reason.severity, "flags.reasons.severity"),
            )
            for reason in message.reasons
        ),
        clearing=Clearing(
            condition=clearing.condition,
            clear_time=(
                seconds_from_proto(clearing.clear_time, "flags.clearing.clear_time")
                if clearing.HasField("clear_time")
                else None
            ),
        ),
    )
