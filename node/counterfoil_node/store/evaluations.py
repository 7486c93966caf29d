"""The evaluator's memory: which requests it has seen, and how many elements each lender had."""

from __future__ import annotations

from dataclasses import dataclass

from counterfoil.errors import CounterfoilError, Reason

from .database import Database

DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Quota:
    """How many elements may be evaluated in one UTC day."""

    lender_elements: int
    network_elements: int


class EvaluationLedger:
    """Charges each request once, durably, before it is evaluated."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self._database = database
        self._quota = quota

    async def charge(
        self, lender: str, nonce: bytes, expire_us: int, elements: int, now_us: int
    ) -> None:
        """EVALUATION_REPLAYED for a nonce seen before, QUOTA_EXCEEDED past a limit; else counts."""
        day, second = divmod(now_us // 1_000_000, DAY_SECONDS)
        async with self._database.write() as tx:
            await tx.run("DELETE FROM evaluation_nonces WHERE expire_us < ?", (now_us,))
            await tx.run("DELETE FROM evaluation_usage WHERE day < ?", (day - 31,))
            seen = await tx.row(
                "SELECT 1 FROM evaluation_nonces WHERE lender = ? AND nonce = ?", (lender, nonce)
            )
            if seen is not None:
                raise CounterfoilError(
                    Reason.EVALUATION_REPLAYED, "this request was evaluated before", field="nonce"
                )
            row = await tx.row(
                "SELECT coalesce(sum(element_count) FILTER (WHERE lender = ?), 0),"
                " coalesce(sum(element_count), 0) FROM evaluation_usage WHERE day = ?",
                (lender, day),
            )
            assert row is not None
            if (
                row[0] + elements > self._quota.lender_elements
                or row[1] + elements > self._quota.network_elements
            ):
                raise CounterfoilError(
                    Reason.QUOTA_EXCEEDED,
                    "the day's evaluations are used up",
                    retry_after=float(DAY_SECONDS - second),
                )
            await tx.run(
                "INSERT INTO evaluation_nonces VALUES (?, ?, ?)", (lender, nonce, expire_us)
            )
            await tx.run(
                "INSERT INTO evaluation_usage VALUES (?, ?, ?) ON CONFLICT (day, lender)"
                " DO UPDATE SET element_count = element_count + excluded.element_count",
                (day, lender, elements),
            )
