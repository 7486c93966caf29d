"""A gateway with two enrolled lenders."""

from __future__ import annotations

from dataclasses import dataclass

from .gateways import GatewayProcess, Lender


@dataclass
class Town:
    """A gateway and its lenders. `harbour` evaluates (its pseudonym key is nobody's)."""

    gateway: GatewayProcess
    harbour: Lender
    lotus: Lender
