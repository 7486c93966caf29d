"""Answering inquiries: check, read, judge, sign, keep; only then does the answer leave.

For one token these steps run one after the other, so that of two inquiries about one borrower the
later one sees the earlier one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from counterfoil import answer_codec, dsse, exposure_codec, limits, wire
from counterfoil.answer import (
    PAYLOAD_TYPE,
    Answer,
    ExclusionReason,
    RecordUsed,
    records_commitment,
    records_opening,
)
from counterfoil.dsse import Envelope
from counterfoil.errors import InvalidInput, Reason
from counterfoil.inquiry import PAYLOAD_TYPE as INQUIRY_PAYLOAD_TYPE
from counterfoil.inquiry import Inquiry, inquiry_hash
from counterfoil.keys import PrivateKey
from counterfoil.membership import MemberState
from counterfoil.timestamps import micros, seconds

from .membership import Membership
from .risk.assess import assess
from .risk.policy import Policy
from .risk.profile import LenderRecord, PastInquiry, Profile
from .risk.standing import Judgement, LenderStanding, judge
from .store import values as v
from .store.base import Store

INQUIRIES_BACK_US = limits.MAX_EVENT_AGE_SECONDS * 1_000_000
"""How far back inquiries are read: as far as events, so that an act's earliest time is known."""


class TokenLocks:
    """One lock for each token that is being worked on."""

    def __init__(self) -> None:
        self._locks: defaultdict[bytes, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._holders: defaultdict[bytes, int] = defaultdict(int)

    @asynccontextmanager
    async def hold(self, token: bytes) -> AsyncIterator[None]:
        """Waits for its turn with a token and keeps it until the end of the block."""
        self._holders[token] += 1
        try:
            async with self._locks[token]:
                yield
        finally:
            self._holders[token] -= 1
            if not self._holders[token]:
                del self._holders[token]
                del self._locks[token]


@dataclass(frozen=True, slots=True)
class Counted:
    """A token's view, judged: the profile, and exactly the records that it rests on."""

    profile: Profile
    used: tuple[RecordUsed, ...]


class Assessor:
    """Answers inquiries under one policy."""

    def __init__(
        self,
        *,
        identity: v.Identity,
        store: Store,
        membership: Membership,
        policy: Policy,
        answer_key: PrivateKey,
        now: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._identity = identity
        self._store = store
        self._membership = membership
        self._policy = policy
        self._answer_key = answer_key
        self._now = now
        self._random_bytes = random_bytes
        self._locks = TokenLocks()

    async def assess(self, peer: str, envelope: Envelope) -> Envelope:
        """The signed answer to an inquiry of the lender `peer`."""
        key = self._membership.record_key(peer)
        inquiry = Inquiry.decode(dsse.verify(envelope, INQUIRY_PAYLOAD_TYPE, key))
        self._check_binding(peer, inquiry)
        async with self._locks.hold(inquiry.token):
            return await self._answer(inquiry, envelope)

    def _check_binding(self, peer: str, inquiry: Inquiry) -> None:
        self._membership.check_binding(
            peer,
            network=inquiry.network,
            lender=inquiry.lender,
            token_epoch=inquiry.token_epoch,
        )
        if inquiry.audience != self._identity.gateway:
            raise InvalidInput(Reason.AUDIENCE_MISMATCH, "for another gateway", field="audience")
        now_us = micros(self._now())
        if inquiry.create_time_us > now_us + limits.MAX_CLOCK_SKEW_SECONDS * 1_000_000:
            raise InvalidInput(
                Reason.CLOCK_SKEW,
                f"more than {limits.MAX_CLOCK_SKEW_SECONDS} seconds ahead of the gateway",
                field="create_time",
            )
        if inquiry.expire_time_us <= now_us:
            raise InvalidInput(
                Reason.INQUIRY_EXPIRED, "the inquiry has lapsed", field="expire_time"
            )

    async def _answer(self, inquiry: Inquiry, envelope: Envelope) -> Envelope:
        now = self._now()
        now_us = micros(now)
        view = await self._store.view(inquiry.token, now_us - INQUIRIES_BACK_US)
        counted = count(view, inquiry, self._policy, now)
        assessment = assess(counted.profile, self._policy, now)
        salt = self._random_bytes(limits.SALT_BYTES)
        opening = records_opening(counted.used)
        interval = (now_us - self._identity.created_us) // (
            self._policy.interval_seconds * 1_000_000
        ) + 1
        asked = inquiry_hash(envelope.payload)
        answer = Answer(
            network=self._identity.network,
            issuer=self._identity.gateway,
            inquiry_hash=asked,
            assess_time_us=now_us,
            status=assessment.status,
            policy_version=self._policy.version,
            policy_hash=self._policy.hash,
            tree_size=view.tree_size,
            records_commitment=records_commitment(salt, opening),
            interval_number=interval,
            active_lenders=assessment.active_lenders,
            joint_outstanding=assessment.joint_outstanding,
            indicators=assessment.indicators,
            flags=assessment.flags,
            coverage=assessment.coverage,
        )
        signed = dsse.sign(PAYLOAD_TYPE, answer_codec.encode(answer), self._answer_key)
        await self._store.record_inquiry(
            v.AnsweredInquiry(
                inquiry_hash=asked,
                lender=inquiry.lender,
                nonce=inquiry.nonce,
                token=inquiry.token,
                application_reference=inquiry.application_reference,
                credit_seeking=inquiry.purpose.credit_seeking,
                asked_us=inquiry.create_time_us,
                received_us=now_us,
                interval_number=interval,
                policy_hash=self._policy.hash,
                commitment_salt=salt,
                records_used=opening,
                envelope=wire.envelope_to_bytes(envelope),
                answer=wire.envelope_to_bytes(signed),
            )
        )
        return signed


def count(view: v.TokenView, inquiry: Inquiry, policy: Policy, now: datetime) -> Counted:
    """Judges whose records count, and makes the profile of them. Pure."""
    judgements: dict[str, Judgement] = {}
    fresh = members = counted_lenders = 0
    for standing in view.standings:
        judgement = judge(_standing(standing), policy, now)
        judgements[standing.lender] = judgement
        counted_lenders += judgement.counted
        if standing.state is MemberState.ACTIVE:
            members += 1
            fresh += judgement.fresh
    completes = {standing.lender: standing.complete_as_of for standing in view.standings}
    records: list[LenderRecord] = []
    used: list[RecordUsed] = []
    left_out: dict[ExclusionReason, int] = {}
    oldest: int | None = None
    for current in view.records:
        judgement = judgements[current.lender]
        if not judgement.counted:
            if judgement.mark is not None:
                left_out[judgement.mark] = left_out.get(judgement.mark, 0) + 1
            continue
        marks = frozenset() if judgement.mark is None else frozenset({judgement.mark})
        records.append(LenderRecord(current.lender, exposure_codec.decode(current.record), marks))
        used.append(RecordUsed(current.lender, current.sequence, current.leaf_index, current.leaf))
        complete = completes[current.lender]
        if complete is not None and (oldest is None or complete < oldest):
            oldest = complete
    profile = Profile(
        asker=inquiry.lender,
        records=tuple(records),
        inquiries=tuple(
            PastInquiry(e.lender, e.application_reference, e.asked_us // 1_000_000, True)
            for e in view.inquiries
        ),
        present=PastInquiry(
            inquiry.lender,
            inquiry.application_reference,
            # What was signed a little ahead of our clock was asked now.
            min(inquiry.create_time_us // 1_000_000, seconds(now)),
            inquiry.purpose.credit_seeking,
        ),
        left_out=left_out,
        member_count=members,
        fresh_count=fresh,
        counted_lender_count=counted_lenders,
        oldest_complete_as_of=oldest,
    )
    return Counted(profile, tuple(used))


def _standing(standing: v.MemberStanding) -> LenderStanding:
    return LenderStanding(
        lender=standing.lender,
        state=standing.state,
        suspended_since=(
            None if standing.suspended_us is None else standing.suspended_us // 1_000_000
        ),
        last_as_of=standing.last_as_of,
        complete_as_of=standing.complete_as_of,
    )
