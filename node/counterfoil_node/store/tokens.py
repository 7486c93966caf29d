"""The token cache: identifier (by look-up key) to token, sealed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..vault import Vault
from .database import Database

TOKENS_CHUNK = 500
"""Tokens read by one query."""


class TokenCache:
    """Tokens evaluated before."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    async def get(self, lookups: Sequence[bytes], token_epoch: int) -> dict[bytes, bytes]:
        """The tokens known, by look-up key."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(lookups), TOKENS_CHUNK):
            chunk = lookups[start : start + TOKENS_CHUNK]
            rows = await self._database.rows(
                "SELECT lookup, token FROM tokens WHERE token_epoch = ?"
                f" AND lookup IN ({','.join('?' * len(chunk))})",
                (token_epoch, *chunk),
            )
            for lookup, sealed in rows:
                found[lookup] = self._vault.open_token(sealed, lookup, token_epoch)
        return found

    async def put(self, tokens: Mapping[bytes, bytes], token_epoch: int) -> None:
        """Keeps tokens by look-up key."""
        rows = [
            (lookup, token_epoch, self._vault.seal_token(token, lookup, token_epoch))
            for lookup, token in tokens.items()
        ]
        async with self._database.write() as tx:
            await tx.run_many("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?)", rows)
