"""The gRPC status of every reason, and whether a retry helps."""

from __future__ import annotations

from grpc import StatusCode

from counterfoil.errors import Reason

_BY_STATUS: dict[StatusCode, tuple[Reason, ...]] = {
    StatusCode.INVALID_ARGUMENT: (
        Reason.IDENTIFIER_INVALID,
        Reason.IDENTIFIER_CHECK_DIGIT,
        Reason.IDENTIFIER_SCHEME_UNKNOWN,
        Reason.SIGNATURE_INVALID,
        Reason.SIGNATURE_MISSING,
        Reason.PAYLOAD_TYPE_MISMATCH,
        Reason.KEY_INVALID,
        Reason.PROOF_INVALID,
        Reason.POINT_INVALID,
        Reason.MALFORMED,
        Reason.FIELD_MISSING,
        Reason.FIELD_INVALID,
        Reason.AMOUNT_NEGATIVE,
        Reason.AMOUNT_TOO_LARGE,
        Reason.CURRENCY_UNKNOWN,
        Reason.ENUM_UNKNOWN,
        Reason.TIME_ZONE_UNKNOWN,
        Reason.TEXT_INVALID,
        Reason.RECORD_VERSION_UNKNOWN,
        Reason.MESSAGE_TOO_LARGE,
        Reason.BATCH_TOO_LARGE,
        Reason.TOO_MANY_EVENTS,
        Reason.BATCH_ROOT_MISMATCH,
        Reason.BATCH_COUNT_MISMATCH,
        Reason.BATCH_DUPLICATE_TOKEN,
        Reason.NETWORK_MISMATCH,
        Reason.AUDIENCE_MISMATCH,
        Reason.CSR_INVALID,
        Reason.INQUIRY_LIFE_TOO_LONG,
        Reason.EVALUATION_SIZE,
        Reason.TAPE_INVALID,
        Reason.TAPE_DUPLICATE_ROW,
        Reason.LOAN_BORROWER_MISMATCH,
        Reason.DEADLINE_REQUIRED,
        Reason.POLICY_INVALID,
        Reason.CONFIG_INVALID,
    ),
    StatusCode.FAILED_PRECONDITION: (
        Reason.SEQUENCE_GAP,
        Reason.PREVIOUS_HASH_MISMATCH,
        Reason.AS_OF_BACKWARDS,
        Reason.CLOCK_SKEW,
        Reason.TOKEN_EPOCH_MISMATCH,
        Reason.INQUIRY_EXPIRED,
        Reason.EVALUATION_EXPIRED,
        Reason.TAPE_AS_OF_BACKWARDS,
        Reason.TAPE_CLOSURES_UNCONFIRMED,
        Reason.FILE_MISSING,
        Reason.ALREADY_RUNNING,
    ),
    StatusCode.ALREADY_EXISTS: (
        Reason.SEQUENCE_CONFLICT,
        Reason.KEY_IN_USE,
        Reason.INQUIRY_REPLAYED,
        Reason.EVALUATION_REPLAYED,
        Reason.REQUEST_ID_CONFLICT,
        Reason.ALREADY_EXISTS,
    ),
    StatusCode.NOT_FOUND: (Reason.LOAN_UNKNOWN,),
    StatusCode.PERMISSION_DENIED: (
        Reason.LENDER_SUSPENDED,
        Reason.LENDER_MISMATCH,
        Reason.ROLE_MISSING,
    ),
    StatusCode.UNAUTHENTICATED: (Reason.LENDER_UNKNOWN, Reason.ENROLMENT_TOKEN_INVALID),
    StatusCode.RESOURCE_EXHAUSTED: (Reason.QUOTA_EXCEEDED, Reason.OVERLOADED),
    StatusCode.UNAVAILABLE: (
        Reason.EVALUATOR_UNAVAILABLE,
        Reason.GATEWAY_UNREACHABLE,
        Reason.SHUTTING_DOWN,
    ),
    StatusCode.INTERNAL: (Reason.STORE_FAILED, Reason.INTERNAL),
}

STATUS_OF: dict[Reason, StatusCode] = {
    reason: status for status, reasons in _BY_STATUS.items() for reason in reasons
}
"""The gRPC status of each reason."""

TRANSIENT: frozenset[Reason] = frozenset(
    {
        Reason.EVALUATOR_UNAVAILABLE,
        Reason.GATEWAY_UNREACHABLE,
        Reason.OVERLOADED,
        Reason.QUOTA_EXCEEDED,
        Reason.SHUTTING_DOWN,
        Reason.STORE_FAILED,
        Reason.INTERNAL,
    }
)
"""Reasons that speak of the moment and not of the request: the same again may succeed."""
