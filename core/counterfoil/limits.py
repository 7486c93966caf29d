"""Every limit that all parties share, with its unit."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Largest gRPC message that a server takes or a client expects."""

MAX_BATCH_RECORDS = 10_000
"""Records in one batch."""

MAX_RECORD_BYTES = 65_535
"""Bytes of one record, tag included."""

MAX_STATEMENT_BYTES = 65_535
"""Bytes of one signed payload: what a log entry can hold."""

MAX_FACILITIES = 64
"""Open facilities in one record."""

MAX_HISTORIES = 8
"""Payment histories (currencies) in one record."""

MAX_HISTORY_MONTHS = 24
"""Months in one payment history."""

MAX_EVENTS = 200
"""Events in one record; older ones are omitted and counted."""

EVENT_MONTHS = 24
"""How far back events reach, in calendar months."""

MAX_EVENT_AGE_SECONDS = 750 * 86_400
"""No event may be older than this before the record's effective time: 24 months and some slack."""

MAX_CLOCK_SKEW_SECONDS = 120
"""How far ahead of the verifier's clock a signed time may be."""

MAX_INQUIRY_LIFE_SECONDS = 300
"""From an inquiry's (or evaluation request's) create time to its expire time."""

SALT_BYTES = 32
"""A salt of an opening or a commitment."""

TOKEN_BYTES = 32
"""A token."""

REFERENCE_BYTES = 16
"""An application reference or a nonce."""

MAX_NAME_CHARACTERS = 63
"""A network's, gateway's or lender's name."""
