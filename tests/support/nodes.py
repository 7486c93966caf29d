"""Real nodes as processes, and what a lender's loan system tells them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from counterfoil.exposure import EventKind, InstalmentCycle, ProductKind, Role
from counterfoil.fields import to_number
from counterfoil.timestamps import seconds_to_proto
from counterfoil.v1 import desk_service_pb2, exposure_pb2

from .gateways import GatewayProcess
from .processes import Daemon, command, free_port

MODULE = "counterfoil_node"

QUICK = {
    "COUNTERFOIL_NODE_PUBLISHING_POLL_SECONDS": "0.02",
    "COUNTERFOIL_NODE_PUBLISHING_RETRY_SECONDS": "0.05",
    "COUNTERFOIL_NODE_PUBLISHING_MAX_RETRY_SECONDS": "0.2",
}
"""Publishes at once and retries soon, so that tests need not wait."""


class NodeProcess(Daemon):
    """A node in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        lender: str,
        kind: str = "bank",
        *,
        evaluator: bool = False,
        settings: Mapping[str, str] = QUICK,
    ) -> None:
        self.folder = folder
        self.lender = lender
        self.kind = kind
        self.evaluator = evaluator
        super().__init__(
            MODULE,
            ["run", "--dir", folder],
            folder.parent / f"{lender}.log",
            free_port(),
            settings,
        )

    @property
    def desk(self) -> str:
        """The desk as a gRPC target."""
        return f"unix:{self.folder / 'desk.sock'}"

    def join(self, gateway: GatewayProcess) -> None:
        """Makes the folder, is admitted and enrols."""
        command(
            MODULE,
            *("init", "--dir", self.folder, "--lender", self.lender, "--kind", self.kind),
            *("--web-listen", f"127.0.0.1:{self.web}"),
            *(["--evaluator"] if self.evaluator else []),
        )
        invitation = gateway.admit(self.lender, self.kind, evaluator=self.evaluator)
        command(MODULE, "enrol", "--dir", self.folder, "--invitation", invitation)

    def status(self) -> dict[str, int]:
        """What `status --json` says."""
        report: dict[str, int] = json.loads(
            command(MODULE, "status", "--dir", self.folder, "--json").stdout
        )
        return report


def opened_loan(loan_id: str, passport: str, **changes: object) -> desk_service_pb2.LoanEvent:
    """A cash loan of 1,000.00 USD, opened just now to the holder of a German passport."""
    standing = exposure_pb2.Facility(
        product_kind=to_number(ProductKind.CASH_LOAN),
        role=to_number(Role.SOLE),
        currency="USD",
        limit_minor=100_000,
        outstanding_minor=100_000,
        instalment_cycle=to_number(InstalmentCycle.NONE),
    )
    fields: dict[str, object] = {
        "kind": to_number(EventKind.OPENED),
        "event_time": seconds_to_proto(int(time.time())),
        "loan_id": loan_id,
        "application_id": f"A-{loan_id}",
        "identifier": desk_service_pb2.RawIdentifier(
            scheme="passport", value=passport, country="DE"
        ),
        "amount_minor": 100_000,
        "currency": "USD",
        "product_kind": to_number(ProductKind.CASH_LOAN),
        "standing": standing,
    }
    return desk_service_pb2.LoanEvent(**(fields | changes))  # type: ignore[arg-type]
