"""From identifiers to tokens: cached ones from the book, others by the OPRF through the gateway's
relay.

The identifier is blinded here and unblinded here: neither gateway nor evaluator sees it, and
evaluations are checked against the pinned token public key before they are used. Whose
evaluations make a whole one is the `Combiner`'s business: one evaluator now, a threshold of them
later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from counterfoil import dsse, oprf
from counterfoil.errors import CounterfoilError, Reason, VerificationError
from counterfoil.evaluation import (
    PADDED_SIZES,
    PAYLOAD_TYPE,
    EvaluationRequest,
    PartialEvaluation,
    padded_size,
)
from counterfoil.identifier import Identifier
from counterfoil.keys import PrivateKey
from counterfoil.timestamps import micros

from .ports import EvaluatingGateway
from .store.tokens import TokenCache
from .vault import Vault

REQUEST_LIFE_SECONDS = 60
"""From an evaluation request's create time to its expire time."""

CLOCK_SLACK_SECONDS = 1
"""Requests are dated this much back, so that an evaluator with a slower clock takes them."""


@dataclass(frozen=True, slots=True)
class TokenEpoch:
    """The epoch in force and the public key that its evaluations must hold under."""

    number: int
    public_key: bytes


class Combiner(Protocol):
    """Makes whole evaluations of partial ones, or says why they do not hold."""

    @property
    def generation(self) -> int:
        """The generation of shares to ask for."""

    def combine(
        self, epoch: TokenEpoch, blinded: Sequence[bytes], partials: Sequence[PartialEvaluation]
    ) -> tuple[bytes, ...]:
        """The evaluated elements, in order. Raises VerificationError."""


class SingleEvaluator:
    """One evaluator holds the whole key: its evaluation is the whole one."""

    generation = 1

    def combine(
        self, epoch: TokenEpoch, blinded: Sequence[bytes], partials: Sequence[PartialEvaluation]
    ) -> tuple[bytes, ...]:
        """The first partial that holds under the epoch's public key."""
        failure = VerificationError(Reason.PROOF_INVALID, "no evaluator answered")
        for partial in partials:
            if partial.generation != self.generation:
                continue
            try:
                oprf.verify_proof(
                    epoch.public_key, blinded, partial.evaluated_elements, partial.proof
                )
            except VerificationError as error:
                failure = error
                continue
            return partial.evaluated_elements
        raise failure


@dataclass(slots=True)
class _Blinding:
    lookup: bytes
    input: bytes = field(repr=False)
    scalar: bytes = field(repr=False)
    element: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for evaluations, and with which key."""

    network: str
    lender: str
    record_key: Callable[[], PrivateKey]


class Tokens:
    """Identifiers to tokens in one epoch."""

    def __init__(
        self,
        cache: TokenCache,
        vault: Vault,
        gateway: EvaluatingGateway,
        asker: Asker,
        combiner: Combiner,
        now: Callable[[], datetime],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._cache = cache
        self._vault = vault
        self._gateway = gateway
        self._asker = asker
        self._combiner = combiner
        self._now = now
        self._random_bytes = random_bytes

    async def cached(self, lookups: Sequence[bytes], epoch: TokenEpoch) -> dict[bytes, bytes]:
        """The tokens known already, by look-up key."""
        return await self._cache.get(lookups, epoch.number)

    async def tokens(
        self, identifiers: Sequence[Identifier], epoch: TokenEpoch, timeout: float
    ) -> dict[bytes, bytes]:
        """The tokens of identifiers by look-up key; those not cached are evaluated.

        At most PADDED_SIZES[-1] may be missing. Raises GATEWAY_UNREACHABLE,
        EVALUATOR_UNAVAILABLE, QUOTA_EXCEEDED, VerificationError, and whatever the gateway says.
        """
        wanted = {self._vault.lookup(identifier): identifier for identifier in identifiers}
        found = await self._cache.get(list(wanted), epoch.number)
        missing = {lookup: who for lookup, who in wanted.items() if lookup not in found}
        if missing:
            evaluated = await self._evaluate(missing, epoch, timeout)
            await self._cache.put(evaluated, epoch.number)
            found |= evaluated
        return found

    async def _evaluate(
        self, missing: dict[bytes, Identifier], epoch: TokenEpoch, timeout: float
    ) -> dict[bytes, bytes]:
        blindings = await asyncio.to_thread(self._blind, missing)
        elements = tuple(blinding.element for blinding in blindings)
        created = micros(self._now()) - CLOCK_SLACK_SECONDS * 1_000_000
        request = EvaluationRequest(
            network=self._asker.network,
            lender=self._asker.lender,
            token_epoch=epoch.number,
            generation=self._combiner.generation,
            nonce=self._random_bytes(16),
            create_time_us=created,
            expire_time_us=created + REQUEST_LIFE_SECONDS * 1_000_000,
            blinded_elements=elements,
        )
        envelope = dsse.sign(PAYLOAD_TYPE, request.encode(), self._asker.record_key())
        partials = await self._gateway.evaluate(envelope, timeout)
        if not partials:
            raise CounterfoilError(Reason.EVALUATOR_UNAVAILABLE, "no evaluator answered")
        return await asyncio.to_thread(
            self._finish, epoch, blindings[: len(missing)], elements, partials
        )

    def _blind(self, missing: dict[bytes, Identifier]) -> list[_Blinding]:
        blindings = []
        for lookup, identifier in missing.items():
            scalar, element = oprf.blind(identifier.oprf_input())
            blindings.append(_Blinding(lookup, identifier.oprf_input(), scalar, element))
        while len(blindings) < padded_size(len(missing)):
            noise = self._random_bytes(32)
            scalar, element = oprf.blind(noise)
            blindings.append(_Blinding(b"", noise, scalar, element))
        return blindings

    def _finish(
        self,
        epoch: TokenEpoch,
        blindings: Sequence[_Blinding],
        elements: Sequence[bytes],
        partials: Sequence[PartialEvaluation],
    ) -> dict[bytes, bytes]:
        evaluated = self._combiner.combine(epoch, elements, partials)
        return {
            blinding.lookup: oprf.token(oprf.finalize(blinding.input, blinding.scalar, element))
            for blinding, element in zip(blindings, evaluated, strict=False)
        }


MAX_EVALUATED_AT_ONCE = PADDED_SIZES[-1]
"""Identifiers in one request."""
