"""How the node stands with its network at the moment; the desk and the background work share it."""

from __future__ import annotations

import structlog

from counterfoil import oprf
from counterfoil.errors import CounterfoilError, Reason, VerificationError
from counterfoil.keys import PublicKey

from .enrol import repin
from .folder import NodeFolder, Pinned
from .ports import MembershipGateway
from .tokens import TokenEpoch

log = structlog.get_logger()


class Link:
    """What is pinned, whether the gateway answers, and what publishing last came to."""

    def __init__(
        self, folder: NodeFolder, pinned: Pinned, gateway: MembershipGateway, own_secret: bytes
    ) -> None:
        self._folder = folder
        self._gateway = gateway
        self._own_secret = own_secret
        self.pinned = pinned
        self.answer_key = PublicKey.load(pinned.network.answer_key)
        self.reachable = False
        """Whether the last call to the gateway was answered."""
        self.publishing: Reason | None = None
        """Why publishing does not get on; None when it does."""

    @property
    def epoch(self) -> TokenEpoch | None:
        """The token epoch in force; None until the network has an evaluator."""
        network = self.pinned.network
        if not network.token_epoch:
            return None
        return TokenEpoch(network.token_epoch, network.token_public_key)

    def require_epoch(self) -> TokenEpoch:
        """The token epoch in force, or EVALUATOR_UNAVAILABLE."""
        epoch = self.epoch
        if epoch is None:
            raise CounterfoilError(
                Reason.EVALUATOR_UNAVAILABLE, "the network has no evaluator yet", retry_after=1.0
            )
        return epoch

    async def refresh(self, timeout: float) -> None:
        """Asks the gateway for the network's facts; pins what may change.

        Raises GATEWAY_UNREACHABLE, or NETWORK_MISMATCH for facts that contradict the pinned ones.
        """
        try:
            fresh = await self._gateway.network(timeout)
        except CounterfoilError as error:
            self.note(error)
            raise
        self.note(None)
        pinned = repin(self.pinned, fresh)
        if pinned != self.pinned:
            self._check_own_key(pinned)
            self._folder.pin(pinned)
            self.pinned = pinned
            log.info(
                "network_pinned",
                token_epoch=pinned.network.token_epoch,
                policy_version=pinned.network.policy_version,
            )

    def note(self, error: CounterfoilError | None) -> None:
        """Learns from a call whether the gateway answers; other errors may be our own."""
        if error is not None and error.reason is not Reason.GATEWAY_UNREACHABLE:
            return
        reachable = error is None
        if reachable != self.reachable:
            log.info("gateway_link", reachable=reachable)
        self.reachable = reachable

    def _check_own_key(self, pinned: Pinned) -> None:
        public = pinned.network.token_public_key
        if self._own_secret and public and oprf.public_key(self._own_secret) != public:
            raise VerificationError(
                Reason.NETWORK_MISMATCH,
                "the network's token key is not this evaluator's",
                field="token_public_key",
            )
