"""One error type that crosses RPC, and one that verification raises.

Every refusal carries a `Reason` that a program can read. On the wire it becomes exactly one
`google.rpc.ErrorInfo` (reason, domain ``counterfoil``). Messages never hold a raw identifier, a
token or a secret: they name fields and rules, not values.
"""

from __future__ import annotations

from enum import StrEnum

DOMAIN = "counterfoil"


class Reason(StrEnum):
    """Why something was refused. Names are stable: clients switch on them."""

    # Identifiers (node only; the value never appears)
    IDENTIFIER_INVALID = "IDENTIFIER_INVALID"
    IDENTIFIER_CHECK_DIGIT = "IDENTIFIER_CHECK_DIGIT"
    IDENTIFIER_SCHEME_UNKNOWN = "IDENTIFIER_SCHEME_UNKNOWN"

    # Cryptography
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    SIGNATURE_MISSING = "SIGNATURE_MISSING"
    PAYLOAD_TYPE_MISMATCH = "PAYLOAD_TYPE_MISMATCH"
    KEY_INVALID = "KEY_INVALID"
    PROOF_INVALID = "PROOF_INVALID"
    POINT_INVALID = "POINT_INVALID"

    # Shape of what was sent
    MALFORMED = "MALFORMED"
    FIELD_MISSING = "FIELD_MISSING"
    FIELD_INVALID = "FIELD_INVALID"
    AMOUNT_NEGATIVE = "AMOUNT_NEGATIVE"
    AMOUNT_TOO_LARGE = "AMOUNT_TOO_LARGE"
    CURRENCY_UNKNOWN = "CURRENCY_UNKNOWN"
    ENUM_UNKNOWN = "ENUM_UNKNOWN"
    TIME_ZONE_UNKNOWN = "TIME_ZONE_UNKNOWN"
    TEXT_INVALID = "TEXT_INVALID"
    RECORD_VERSION_UNKNOWN = "RECORD_VERSION_UNKNOWN"
    MESSAGE_TOO_LARGE = "MESSAGE_TOO_LARGE"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    TOO_MANY_EVENTS = "TOO_MANY_EVENTS"

    # Batches
    BATCH_ROOT_MISMATCH = "BATCH_ROOT_MISMATCH"
    BATCH_COUNT_MISMATCH = "BATCH_COUNT_MISMATCH"
    BATCH_DUPLICATE_TOKEN = "BATCH_DUPLICATE_TOKEN"
    SEQUENCE_GAP = "SEQUENCE_GAP"
    SEQUENCE_CONFLICT = "SEQUENCE_CONFLICT"
    PREVIOUS_HASH_MISMATCH = "PREVIOUS_HASH_MISMATCH"
    AS_OF_BACKWARDS = "AS_OF_BACKWARDS"
    CLOCK_SKEW = "CLOCK_SKEW"
    TOKEN_EPOCH_MISMATCH = "TOKEN_EPOCH_MISMATCH"

    # Members
    LENDER_UNKNOWN = "LENDER_UNKNOWN"
    LENDER_SUSPENDED = "LENDER_SUSPENDED"
    LENDER_MISMATCH = "LENDER_MISMATCH"
    NETWORK_MISMATCH = "NETWORK_MISMATCH"
    ENROLMENT_TOKEN_INVALID = "ENROLMENT_TOKEN_INVALID"
    CSR_INVALID = "CSR_INVALID"
    ROLE_MISSING = "ROLE_MISSING"
    KEY_IN_USE = "KEY_IN_USE"

    # Inquiries
    AUDIENCE_MISMATCH = "AUDIENCE_MISMATCH"
    INQUIRY_REPLAYED = "INQUIRY_REPLAYED"
    INQUIRY_EXPIRED = "INQUIRY_EXPIRED"
    INQUIRY_LIFE_TOO_LONG = "INQUIRY_LIFE_TOO_LONG"

    # Evaluations
    EVALUATOR_UNAVAILABLE = "EVALUATOR_UNAVAILABLE"
    EVALUATION_REPLAYED = "EVALUATION_REPLAYED"
    EVALUATION_EXPIRED = "EVALUATION_EXPIRED"
    EVALUATION_SIZE = "EVALUATION_SIZE"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"

    # Tapes and the book
    TAPE_INVALID = "TAPE_INVALID"
    TAPE_AS_OF_BACKWARDS = "TAPE_AS_OF_BACKWARDS"
    TAPE_CLOSURES_UNCONFIRMED = "TAPE_CLOSURES_UNCONFIRMED"
    TAPE_DUPLICATE_ROW = "TAPE_DUPLICATE_ROW"
    LOAN_UNKNOWN = "LOAN_UNKNOWN"
    LOAN_BORROWER_MISMATCH = "LOAN_BORROWER_MISMATCH"
    REQUEST_ID_CONFLICT = "REQUEST_ID_CONFLICT"

    # The service itself
    DEADLINE_REQUIRED = "DEADLINE_REQUIRED"
    GATEWAY_UNREACHABLE = "GATEWAY_UNREACHABLE"
    OVERLOADED = "OVERLOADED"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    POLICY_INVALID = "POLICY_INVALID"
    CONFIG_INVALID = "CONFIG_INVALID"
    FILE_MISSING = "FILE_MISSING"
    ALREADY_RUNNING = "ALREADY_RUNNING"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    STORE_FAILED = "STORE_FAILED"
    INTERNAL = "INTERNAL"


class CounterfoilError(Exception):
    """A refusal with a machine-readable reason.

    `field` names the offending field or setting (never its value); `retry_after` is in seconds
    and is set only where a retry helps.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after = retry_after


class InvalidInput(CounterfoilError):
    """What was given breaks a rule of its own form (not of the system's state)."""


class VerificationError(CounterfoilError):
    """A proof, signature, key or binding does not hold. Verification raises nothing else.

    `expected` and `actual` are printable (hex, numbers); they never carry secrets or tokens.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        expected: str = "",
        actual: str = "",
        field: str = "",
    ) -> None:
        super().__init__(reason, message, field=field)
        self.expected = expected
        self.actual = actual
