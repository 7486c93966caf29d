"""What the node needs of the gateway, in domain terms. `gateway_client` fills it over mTLS; a
simulation fills it in memory.

Every call raises CounterfoilError: the gateway's own reason, or GATEWAY_UNREACHABLE when no answer
came. Timeouts are in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from counterfoil.dsse import Envelope
from counterfoil.evaluation import PartialEvaluation
from counterfoil.membership import Member, Network


class PublishingGateway(Protocol):
    """Where batches go."""

    async def publish(
        self, statement: Envelope, salts: bytes, records: Sequence[bytes], timeout: float
    ) -> Envelope:
        """Publishes a batch; returns the signed receipt."""

    async def publishing_state(self, timeout: float) -> Envelope | None:
        """The signed receipt of this lender's last accepted batch; None before the first."""


class EvaluatingGateway(Protocol):
    """Where blinded identifiers go."""

    async def evaluate(self, request: Envelope, timeout: float) -> tuple[PartialEvaluation, ...]:
        """Has a signed EvaluationRequest evaluated."""


class AssessingGateway(Protocol):
    """Where inquiries go."""

    async def assess(self, inquiry: Envelope, timeout: float) -> Envelope:
        """Has a signed Inquiry answered; returns the signed answer."""


class MembershipGateway(Protocol):
    """Who tells about the network."""

    async def network(self, timeout: float) -> Network:
        """The network's public facts."""

    async def members(self, timeout: float) -> tuple[Member, ...]:
        """Every member."""
