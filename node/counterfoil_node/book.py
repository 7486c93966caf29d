"""The book: the lender's loans, events and identifiers, and what is known of what was published.

It is one SQLite file beside the loan system. Several processes change it (`import`, the daemon);
only the daemon publishes from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from counterfoil.errors import CounterfoilError, Reason
from counterfoil.exposure import InstitutionKind, Role
from counterfoil.fields import check_name, check_zone
from counterfoil.identifier import Identifier

from .loans import Loan, LoanStatus, from_body
from .store import borrowers
from .store.database import Database
from .summarise import Holding
from .vault import Vault


@dataclass(frozen=True, slots=True)
class BookSettings:
    """Who keeps the book, and where its counter stands."""

    lender: str
    institution_kind: InstitutionKind
    time_zone: str

    def __post_init__(self) -> None:
        check_name(self.lender, "lender")
        check_zone(self.time_zone)


@dataclass(frozen=True, slots=True)
class Position:
    """What the book speaks of. Times are seconds; 0 and None: nothing yet."""

    as_of: int
    complete_as_of: int | None
    change: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is in the book."""

    loans: int
    borrowers: int
    pending_borrowers: int
    outbox_batches: int


class Book:
    """The open book."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        settings: BookSettings,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.database = database
        self.vault = vault
        self.settings = settings
        self.random_bytes = random_bytes

    @classmethod
    async def create(
        cls,
        path: Path,
        vault: Vault,
        settings: BookSettings,
        random_bytes: Callable[[int], bytes],
    ) -> Book:
        """Makes an empty book; ALREADY_EXISTS when there is one."""
        database = await Database.open(path, create=True)
        async with database.write() as tx:
            await tx.run(
                "INSERT INTO book (only, lender, institution_kind) VALUES (1, ?, ?)",
                (settings.lender, settings.institution_kind.value),
            )
        return cls(database, vault, settings, random_bytes)

    @classmethod
    async def open(
        cls,
        path: Path,
        vault: Vault,
        settings: BookSettings,
        random_bytes: Callable[[int], bytes],
    ) -> Book:
        """Opens the book; FILE_MISSING when it is not there, CONFIG_INVALID when it is another
        lender's."""
        database = await Database.open(path)
        row = await database.row("SELECT lender, institution_kind FROM book")
        if row != (settings.lender, settings.institution_kind.value):
            await database.close()
            raise CounterfoilError(
                Reason.CONFIG_INVALID,
                "the book was made for another lender or kind of institution",
                field="lender",
            )
        return cls(database, vault, settings, random_bytes)

    async def close(self) -> None:
        """Lets go of the file."""
        await self.database.close()

    async def position(self) -> Position:
        """What the book speaks of now."""
        row = await self.database.row("SELECT as_of, complete_as_of, change FROM book")
        assert row is not None
        return Position(*row)

    async def pending(self, limit: int) -> list[borrowers.PendingBorrower]:
        """Borrowers whose record is to be published again, longest waiting first."""
        return await borrowers.pending(self.database, limit)

    async def pending_with_token(
        self, token_epoch: int, limit: int
    ) -> list[borrowers.PendingBorrower]:
        """Those of them whose token is known."""
        return await borrowers.pending_with_token(self.database, token_epoch, limit)

    async def holdings(self, borrower_ids: Sequence[int]) -> dict[int, list[Holding]]:
        """The rows of some borrowers."""
        return await borrowers.holdings(self.database, borrower_ids)

    async def loans_of(self, identifier: Identifier) -> list[Loan]:
        """The rows of one borrower, by identifier."""
        rows = await self.database.rows(
            "SELECT l.body FROM loans l JOIN borrowers b USING (borrower_id)"
            " WHERE b.lookup = ? ORDER BY l.loan_id",
            (self.vault.lookup(identifier),),
        )
        return [from_body(body) for (body,) in rows]

    async def own_exposure(self, identifier: Identifier) -> bool:
        """Whether the borrower is debtor of an open loan of this lender."""
        return any(
            loan.status is LoanStatus.OPEN and loan.role is not Role.GUARANTOR
            for loan in await self.loans_of(identifier)
        )

    async def counts(self) -> Counts:
        """How much there is. Counts whole tables: for status, not for serving."""
        row = await self.database.row(
            "SELECT (SELECT count(*) FROM loans), (SELECT count(*) FROM borrowers),"
            " (SELECT count(*) FROM borrowers WHERE change > sealed_change),"
            " (SELECT count(*) FROM batches WHERE receipt IS NULL)"
        )
        assert row is not None
        return Counts(*row)
