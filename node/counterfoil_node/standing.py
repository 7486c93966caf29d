"""How a node stands: what `status` tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from counterfoil.timestamps import seconds

from .book import Book, Counts
from .certificate import life_of
from .folder import NodeFolder
from .store import outbox


@dataclass(frozen=True, slots=True)
class NodeStanding:
    """Book, outbox, link, freshness. Times are seconds."""

    lender: str
    network: str
    """Empty before enrolment."""
    gateway_reachable: bool
    counts: Counts
    acknowledged_sequence: int
    published_complete_as_of: int | None
    certificate_expire: int | None
    """None before enrolment."""


StandingOf = Callable[[], Awaitable[NodeStanding]]


async def standing_of(folder: NodeFolder, book: Book, reachable: bool) -> NodeStanding:
    """Reads it from the folder and the book."""
    head = await outbox.head(book.database)
    enrolled = folder.network_file.is_file()
    return NodeStanding(
        lender=book.settings.lender,
        network=folder.pinned().network.network if enrolled else "",
        gateway_reachable=reachable,
        counts=await book.counts(),
        acknowledged_sequence=head.sequence,
        published_complete_as_of=head.complete_as_of,
        certificate_expire=seconds(life_of(folder.tls.certificate)[1]) if enrolled else None,
    )
