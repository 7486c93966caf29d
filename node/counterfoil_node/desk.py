"""The desk: what a lender's own systems ask of the node and report to it.

An assessment returns by the caller's deadline. When gateway or evaluator cannot be reached in
time, the reply is the node's own signed UNAVAILABLE, which says why. Inquiry, answer and what
opens their commitments are kept in the book.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from counterfoil import answer_codec, dsse
from counterfoil.answer import PAYLOAD_TYPE as ANSWER_TYPE
from counterfoil.answer import Answer, AnswerStatus
from counterfoil.dsse import Envelope
from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil.exposure import EventKind, ProductKind, Role
from counterfoil.identifier import Identifier
from counterfoil.inquiry import PAYLOAD_TYPE as INQUIRY_TYPE
from counterfoil.inquiry import Inquiry, Purpose, consent_commitment, inquiry_hash
from counterfoil.keys import PrivateKey
from counterfoil.limits import MAX_CLOCK_SKEW_SECONDS, REFERENCE_BYTES, SALT_BYTES
from counterfoil.timestamps import micros, seconds

from .book import Book
from .events import LoanEvent
from .link import Link
from .loans import check_text
from .ports import AssessingGateway
from .store import evidence
from .store.borrowers import ensure_borrower, ensure_reference
from .store.reports import Report, ReportedEvent, take_application, take_report
from .tokens import Tokens

INQUIRY_LIFE_SECONDS = 120
"""From an inquiry's create time to its expire time."""

MAX_CONSENT_BYTES = 8 * 1024 * 1024
"""Largest consent document."""

MAX_REPORTED_EVENTS = 10_000
"""Events in one report."""

UNAVAILABLE_REASONS = frozenset(
    {
        Reason.GATEWAY_UNREACHABLE,
        Reason.EVALUATOR_UNAVAILABLE,
        Reason.QUOTA_EXCEEDED,
        Reason.OVERLOADED,
        Reason.SHUTTING_DOWN,
        Reason.STORE_FAILED,
        Reason.INTERNAL,
    }
)
"""Why no answer can be had although the question was a good one."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ask:
    """A question about a borrower."""

    identifier: Identifier
    application_id: str
    """The lender's own number; required for credit-seeking purposes."""
    purpose: Purpose
    product_kind: ProductKind
    amount_minor: int
    currency: str
    time_zone: str
    consent_document: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.application_id or self.purpose.credit_seeking:
            check_text(self.application_id, "application_id")
        if len(self.consent_document) > MAX_CONSENT_BYTES:
            raise InvalidInput(
                Reason.MESSAGE_TOO_LARGE,
                f"at most {MAX_CONSENT_BYTES} bytes",
                field="consent_document",
            )


@dataclass(frozen=True, slots=True)
class Assessed:
    """An answer, verified, with the signed originals."""

    answer: Answer
    signed_answer: Envelope
    signed_inquiry: Envelope | None = field(repr=False)
    """Holds the token. None for an UNAVAILABLE without an inquiry."""
    own_exposure: bool


@dataclass(slots=True)
class _Progress:
    """How far an assessment got before its time was up."""

    deadline: float
    """When an answer leaves at the latest, by the event loop's clock."""
    own_exposure: bool = False
    inquiry: Envelope | None = None
    waiting_for: Reason = Reason.OVERLOADED
    """What is told when the time is up here; at first the book may be busy."""

    def remaining(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - asyncio.get_running_loop().time()


class Desk:
    """The lender's counter window."""

    def __init__(
        self,
        book: Book,
        tokens: Tokens,
        gateway: AssessingGateway,
        link: Link,
        record_key: Callable[[], PrivateKey],
        now: Callable[[], datetime],
        margin: float,
    ) -> None:
        self._book = book
        self._tokens = tokens
        self._gateway = gateway
        self._link = link
        self._record_key = record_key
        self._now = now
        self._margin = margin
        self._filing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Waits for answers that are still being filed."""
        await asyncio.gather(*self._filing, return_exceptions=True)

    async def assess(self, ask: Ask, timeout: float) -> Assessed:
        """Asks about a borrower; returns within `timeout` seconds.

        Raises InvalidInput for a bad question, what the gateway refuses for good reasons
        (LENDER_SUSPENDED, ...), and VerificationError for an answer or evaluation that does not
        hold.
        """
        progress = _Progress(asyncio.get_running_loop().time() + timeout - self._margin)
        try:
            async with asyncio.timeout_at(progress.deadline):
                return await self._ask(ask, progress)
        except TimeoutError:
            reason = progress.waiting_for
        except CounterfoilError as error:
            self._link.note(error)
            if error.reason not in UNAVAILABLE_REASONS:
                raise
            reason = error.reason
        return self._unavailable(ask, progress, reason)

    async def _ask(self, ask: Ask, progress: _Progress) -> Assessed:
        book = self._book
        progress.own_exposure = await book.own_exposure(ask.identifier)
        created = self._now()
        reference = await self._note_application(ask, seconds(created))
        progress.waiting_for = Reason.EVALUATOR_UNAVAILABLE
        epoch = self._link.require_epoch()
        found = await self._tokens.tokens([ask.identifier], epoch, progress.remaining())
        progress.waiting_for = Reason.OVERLOADED
        (token,) = found.values()
        consent_salt = book.random_bytes(SALT_BYTES)
        created_us = micros(self._now())
        network = self._link.pinned.network
        inquiry = Inquiry(
            network=network.network,
            audience=network.gateway,
            lender=book.settings.lender,
            token=token,
            token_epoch=epoch.number,
            nonce=book.random_bytes(REFERENCE_BYTES),
            create_time_us=created_us,
            expire_time_us=created_us + INQUIRY_LIFE_SECONDS * 1_000_000,
            purpose=ask.purpose,
            consent_commitment=consent_commitment(consent_salt, ask.consent_document),
            application_reference=reference,
            product_kind=ask.product_kind,
            amount_minor=ask.amount_minor,
            currency=ask.currency,
            time_zone=ask.time_zone,
        )
        envelope = dsse.sign(INQUIRY_TYPE, inquiry.encode(), self._record_key())
        async with book.database.write() as tx:
            await evidence.put_inquiry(
                tx, book.vault, envelope, consent_salt, ask.application_id, created_us
            )
        progress.inquiry = envelope
        progress.waiting_for = Reason.GATEWAY_UNREACHABLE
        signed = await self._gateway.assess(envelope, progress.remaining())
        self._link.note(None)
        answer = answer_codec.verify(
            signed,
            self._link.answer_key,
            network=network.network,
            issuer=network.gateway,
            inquiry_payload=envelope.payload,
        )
        await self._file(ask, signed, envelope)
        return Assessed(answer, signed, envelope, progress.own_exposure)

    async def _note_application(self, ask: Ask, now: int) -> bytes:
        """The reference of the application; when credit is sought, the application goes into the
        book as well."""
        book = self._book
        if not ask.application_id:
            return book.random_bytes(REFERENCE_BYTES)
        async with book.database.write() as tx:
            if ask.purpose.credit_seeking:
                event = LoanEvent(
                    kind=EventKind.APPLIED,
                    time=now,
                    loan_id=ask.application_id,
                    application_id=ask.application_id,
                    product_kind=ask.product_kind,
                    role=Role.SOLE,
                    currency=ask.currency,
                    amount_minor=ask.amount_minor,
                    time_zone=ask.time_zone,
                )
                await take_application(tx, book.vault, ask.identifier, event, book.random_bytes)
            borrower_id = await ensure_borrower(tx, book.vault, ask.identifier)
            return await ensure_reference(tx, borrower_id, ask.application_id, book.random_bytes)

    def _unavailable(self, ask: Ask, progress: _Progress, reason: Reason) -> Assessed:
        inquiry = progress.inquiry
        answer = Answer(
            network=self._link.pinned.network.network,
            issuer=self._book.settings.lender,
            inquiry_hash=b"" if inquiry is None else inquiry_hash(inquiry.payload),
            assess_time_us=micros(self._now()),
            status=AnswerStatus.UNAVAILABLE,
            unavailable_reason=reason.value,
        )
        signed = dsse.sign(ANSWER_TYPE, answer_codec.encode(answer), self._record_key())
        log.warning("assessment_unavailable", reason=reason.value)
        # Filed without waiting: a book that is slow just now must not cost the caller's deadline.
        task = asyncio.create_task(self._file_late(ask, signed, inquiry))
        self._filing.add(task)
        task.add_done_callback(self._filing.discard)
        return Assessed(answer, signed, inquiry, progress.own_exposure)

    async def _file_late(self, ask: Ask, signed: Envelope, inquiry: Envelope | None) -> None:
        try:
            await self._file(ask, signed, inquiry)
        except CounterfoilError as error:
            log.error("answer_not_kept", reason=error.reason.value)

    async def _file(self, ask: Ask, signed: Envelope, inquiry: Envelope | None) -> None:
        digest = b"" if inquiry is None else inquiry_hash(inquiry.payload)
        await evidence.put_answer(
            self._book.database, signed, digest, ask.application_id, micros(self._now())
        )

    async def report(
        self,
        request_id: str,
        content: bytes,
        events: tuple[ReportedEvent, ...],
        complete_as_of: int | None,
    ) -> int:
        """Takes loan events in, all or nothing, durably; returns how many.

        `content` is the request as sent: the same again has no further effect. Raises InvalidInput,
        LOAN_UNKNOWN, LOAN_BORROWER_MISMATCH, REQUEST_ID_CONFLICT, CLOCK_SKEW.
        """
        check_text(request_id, "request_id")
        if len(events) > MAX_REPORTED_EVENTS:
            raise InvalidInput(
                Reason.TOO_MANY_EVENTS, f"at most {MAX_REPORTED_EVENTS} events", field="events"
            )
        now = self._now()
        latest = seconds(now) + MAX_CLOCK_SKEW_SECONDS
        for item in events:
            if item.event.time > latest:
                raise InvalidInput(
                    Reason.CLOCK_SKEW, "a time that is yet to come", field="event_time"
                )
        if complete_as_of is not None and complete_as_of > latest:
            raise InvalidInput(
                Reason.CLOCK_SKEW, "a time that is yet to come", field="complete_as_of_time"
            )
        book = self._book
        report = Report(
            request_id, book.vault.content_mac(content), events, complete_as_of, micros(now)
        )
        async with book.database.write() as tx:
            return await take_report(tx, book.vault, report, book.random_bytes)
