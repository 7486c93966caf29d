"""The narrow protocol behind which databases hide.

Every implementation keeps these invariants, and one conformance suite checks them on each:

* A write is durable when its call returns, and is all or nothing. What a call refuses
  (`CounterfoilError`) has no effect at all.
* Entries are contiguous from 0; sequence numbers are contiguous from 1 for each lender; a record
  key, a one-time token, an inquiry and a (lender, nonce) pair count once in the whole network.
* A read sees every write that was acknowledged before it began. `view` is one snapshot.
* Membership is judged again inside the write, so that nothing is accepted from a member that was
  suspended, or under a key that was replaced, while the statement was being verified.
* A failure of the database itself is STORE_FAILED. After one on the write side the store refuses
  everything: whether the last write is durable is then unknown, and the process must stop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from counterfoil.membership import MemberState

from . import values as v


class Store(Protocol):
    """What the gateway needs of a database."""

    async def close(self) -> None:
        """Finishes the writes under way and lets go of the database."""

    async def check_writable(self) -> None:
        """Raises STORE_FAILED when a write could not be made now. Writes nothing."""

    async def change_mark(self) -> int:
        """A number that differs from an earlier one when anyone wrote in between."""

    async def identity(self) -> v.Identity:
        """Who this gateway is."""

    async def counts(self) -> v.Counts:
        """How much there is. Slow on a large store: for `status`, not for serving."""

    async def entries(self, first: int, count: int) -> tuple[v.Entry, ...]:
        """Up to `count` entries from index `first`, in order."""

    # Members

    async def registry(self) -> v.Registry:
        """Every member and the token epoch in force."""

    async def admit(self, admission: v.Admission) -> None:
        """Admits a member, or replaces the invitation of one not yet enrolled.

        ALREADY_EXISTS: it is enrolled, or was admitted as something else, or the network has its
        evaluator already.
        """

    async def set_state(
        self, lender: str, state: MemberState, reason: str, changed_us: int
    ) -> None:
        """Suspends or reinstates an enrolled member; the same state again changes nothing.

        LENDER_UNKNOWN: there is no such member, or it is not enrolled.
        """

    async def invitation(self, token_hash: bytes) -> v.Invitation | None:
        """What is behind a one-time token's hash."""

    async def enrol(self, enrolment: v.Enrolment) -> None:
        """Uses up the one-time token, registers key and certificate, makes the member active.

        ENROLMENT_TOKEN_INVALID: the token is unknown or used. KEY_IN_USE: the record key is known
        already, or the token epoch has its evaluator.
        """

    async def rotate(self, rotation: v.Rotation) -> None:
        """Puts a new record key in force from the entry that this makes.

        KEY_IN_USE, LENDER_UNKNOWN, LENDER_SUSPENDED; SIGNATURE_INVALID when the old key is not
        the one in force.
        """

    async def add_certificate(self, certificate: v.Certificate) -> None:
        """Keeps a renewed certificate. LENDER_UNKNOWN, LENDER_SUSPENDED."""

    async def log_policy(self, policy: v.LoggedPolicy) -> bool:
        """Logs a policy file unless it is logged already. Returns whether it was new."""

    # Batches

    async def head(self, lender: str) -> v.Head | None:
        """Where a lender stands; None before its first batch."""

    async def batch(self, lender: str, sequence: int) -> v.StoredBatch | None:
        """An accepted batch."""

    async def openings(self, lender: str, sequence: int) -> v.Openings | None:
        """The openings of an accepted batch."""

    async def accept_batch(
        self, batch: v.NewBatch, seal: Callable[[int], v.Receipt]
    ) -> v.StoredBatch:
        """Takes a batch in: entry, openings, records and receipt in one step.

        `seal` is called inside it with the entry's index, so that the receipt is as durable as
        what it promises. SEQUENCE_GAP, SEQUENCE_CONFLICT, PREVIOUS_HASH_MISMATCH when it does not
        follow the lender's head; LENDER_UNKNOWN, LENDER_SUSPENDED; SIGNATURE_INVALID when the key
        is no longer in force.
        """

    async def keep_conflict(self, conflict: v.Conflict, most: int) -> bool:
        """Keeps evidence, at most `most` statements for one number. Returns whether it is kept."""

    async def conflicts(self, lender: str) -> tuple[v.Conflict, ...]:
        """The evidence kept against a lender, by sequence number."""

    # Inquiries

    async def view(self, token: bytes, inquiries_since_us: int) -> v.TokenView:
        """Everything about one token, with the credit-seeking inquiries since a time."""

    async def record_inquiry(self, answered: v.AnsweredInquiry) -> None:
        """Keeps an inquiry and its answer.

        INQUIRY_REPLAYED: the inquiry, or its lender's nonce, is known. LENDER_UNKNOWN,
        LENDER_SUSPENDED.
        """

    async def answered(self, inquiry_hash: bytes) -> v.AnsweredInquiry | None:
        """A kept inquiry, for those who recompute an answer."""
