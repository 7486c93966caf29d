"""A lender's house: a book and a publisher before a gateway in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from counterfoil.exposure import InstalmentCycle, ProductKind, Role
from counterfoil.identifier import Identifier
from counterfoil.keys import PrivateKey
from counterfoil_node.book import Book
from counterfoil_node.events import LoanEvent
from counterfoil_node.loans import Standing
from counterfoil_node.outbox import Party, Publisher
from counterfoil_node.store.reports import Report, ReportedEvent, take_report

from .books import ZONE, new_book, open_book, resident_id
from .loan_rows import AS_OF_SECONDS
from .memory_gateway import GATEWAY, LENDER, NETWORK, MemoryGateway


def now() -> datetime:
    return datetime.fromtimestamp(AS_OF_SECONDS + 10**6, UTC)


def who(number: int) -> Identifier:
    return Identifier.parse("cn-resident-id", resident_id(number))


class House:
    """A lender with its book, a publisher and a gateway in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = PrivateKey.generate()
        self.gateway = MemoryGateway(self.key.public)
        self.book: Book
        self.publisher: Publisher
        self.clock = AS_OF_SECONDS
        self.owed: dict[int, int] = {}
        self.reports = 0

    async def begin(self) -> None:
        self.book = await new_book(self.folder)
        self._hire()

    async def crash(self) -> None:
        """`kill -9` and a new start: only what is on disk remains."""
        await self.book.close()
        self.book = await open_book(self.folder)
        self._hire()
        await self.publisher.reconcile()

    def _hire(self) -> None:
        party = Party(NETWORK, GATEWAY, LENDER, self.gateway.answer_key.public, lambda: self.key)
        self.publisher = Publisher(self.book, self.gateway, party, now, 1.0)

    def token(self, number: int) -> bytes:
        return number.to_bytes(32, "big")

    async def change(
        self, number: int, outstanding: int | None = None, *, complete: bool = True
    ) -> None:
        """A loan system reports a new standing."""
        self.clock += 1
        self.reports += 1
        self.owed[number] = self.reports if outstanding is None else outstanding
        event = LoanEvent(
            kind=None,
            time=self.clock,
            loan_id=f"L-{number}",
            application_id="",
            product_kind=ProductKind.CASH_LOAN,
            role=Role.SOLE,
            currency="CNY",
            amount_minor=100,
            time_zone=ZONE,
            standing=Standing(10**9, self.owed[number], InstalmentCycle.NONE),
        )
        report = Report(
            f"R-{self.reports}",
            b"",
            (ReportedEvent(event, who(number)),),
            self.clock if complete else None,
            1,
        )
        async with self.book.database.write() as tx:
            await take_report(tx, self.book.vault, report, self.book.random_bytes)

    async def seal(self, *, without: frozenset[int] = frozenset()) -> bool:
        tokens = {
            self.book.vault.lookup(who(number)): self.token(number)
            for number in self.owed
            if number not in without
        }
        return await self.publisher.seal_next(tokens, self.gateway.epoch)

    async def publish(self) -> None:
        """Until nothing is left."""
        while await self.seal() and await self.publisher.send() is not None:
            pass

    def check(self) -> None:
        """The gateway holds what the book says, and every batch once."""
        told = {
            int.from_bytes(token, "big"): record.facilities[0].outstanding_minor
            for token, record in self.gateway.view.items()
        }
        assert told == self.owed
        sequences = [statement.sequence for statement in self.gateway.statements]
        assert sequences == list(range(1, len(sequences) + 1))
