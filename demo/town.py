"""Building the town: one gateway, five lenders' nodes, each with its folder, keys and book."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from counterfoil_node.desk_client import DeskClient

from .market import LENDERS, Lender
from .processes import (
    GATEWAY,
    LONGEST_SOCKET_PATH,
    NODE,
    PATIENCE_SECONDS,
    Daemons,
    DemoFailed,
    free_ports,
    run,
)

NETWORK = "demo"


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything of a run lies."""

    root: Path

    def __post_init__(self) -> None:
        for folder in (self.tapes, self.nodes, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def tapes(self) -> Path:
        return self.root / "tapes"

    @property
    def nodes(self) -> Path:
        return self.root / "nodes"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def gateway(self) -> Path:
        return self.root / "gateway"

    def tape(self, lender: Lender) -> Path:
        """The lender's tape as imported."""
        return self.tapes / f"{lender.name}.csv"

    def node(self, lender: Lender) -> Path:
        """The folder of the lender's node."""
        return self.nodes / lender.name


@dataclass(frozen=True, slots=True)
class Desk:
    """How a lender's own loan system reaches its node."""

    lender: Lender
    target: str


def build(place: Place, daemons: Daemons, as_of: datetime) -> list[Desk]:
    """Starts the gateway, lets the lenders join, import their tapes and start their nodes."""
    grpc, enrol, web, *others = free_ports(3 + 2 * len(LENDERS))
    run(
        GATEWAY,
        *("init", "--dir", place.gateway, "--network", NETWORK),
        *("--grpc-listen", f"127.0.0.1:{grpc}"),
        *("--enrol-listen", f"127.0.0.1:{enrol}"),
        *("--web-listen", f"127.0.0.1:{web}"),
    )
    daemons.start("gateway", GATEWAY, "serve", "--dir", place.gateway)
    daemons.wait_ready("gateway", web)

    def join(lender: Lender, node_web: int) -> None:
        folder = place.node(lender)
        invitation = place.root / f"{lender.name}.invitation"
        run(
            GATEWAY,
            *("admit", "--dir", place.gateway, "--lender", lender.name, "--kind", lender.kind),
            *("--out", invitation),
            *(["--role", "evaluator"] if lender.evaluator else []),
        )
        run(
            NODE,
            *("init", "--dir", folder, "--lender", lender.name, "--kind", lender.kind),
            *("--time-zone", lender.time_zone, "--web-listen", f"127.0.0.1:{node_web}"),
            *(["--evaluator"] if lender.evaluator else []),
        )
        run(NODE, "enrol", "--dir", folder, "--invitation", invitation)
        invitation.unlink()
        run(
            NODE,
            *("import", place.tape(lender), "--dir", folder),
            *("--as-of", as_of.isoformat(), "--kind", "full"),
        )

    webs, desks = others[: len(LENDERS)], others[len(LENDERS) :]
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(join, LENDERS, webs):
            pass
    town = []
    for lender, port in zip(LENDERS, desks, strict=True):
        folder = place.node(lender)
        socket_path = folder / "desk.sock"
        settings = {}
        target = f"unix:{socket_path}"
        if len(str(socket_path)) > LONGEST_SOCKET_PATH:
            target = settings["COUNTERFOIL_NODE_DESK_LISTEN"] = f"127.0.0.1:{port}"
        daemons.start(lender.name, NODE, "run", "--dir", folder, **settings)
        town.append(Desk(lender, target))
    for lender, node_web in zip(LENDERS, webs, strict=True):
        daemons.wait_ready(lender.name, node_web)
    return town


async def wait_published(town: list[Desk], tell: Callable[[str], None]) -> None:
    """Waits until every book is at the gateway."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    waiting = {desk.lender.name: desk for desk in town}
    while waiting:
        if time.monotonic() > deadline:
            raise DemoFailed(f"not published in time: {', '.join(waiting)}")
        for name, desk in list(waiting.items()):
            async with DeskClient(desk.target) as client:
                standing = await client.status(10)
            tell(f"{name}: {standing.counts.pending_borrowers} records to publish")
            if standing.acknowledged_sequence and not (
                standing.counts.pending_borrowers or standing.counts.outbox_batches
            ):
                del waiting[name]
        await asyncio.sleep(0.2)
