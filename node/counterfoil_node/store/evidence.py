"""What was asked and what was answered, with what opens the commitments."""

from __future__ import annotations

from counterfoil.dsse import Envelope
from counterfoil.inquiry import inquiry_hash
from counterfoil.wire import envelope_from_bytes, envelope_to_bytes

from ..vault import Vault
from .database import Database, Transaction


async def put_inquiry(
    tx: Transaction,
    vault: Vault,
    envelope: Envelope,
    consent_salt: bytes,
    application_key: str,
    create_us: int,
) -> None:
    """Keeps a signed inquiry before it is sent."""
    digest = inquiry_hash(envelope.payload)
    sealed = vault.seal_record(envelope_to_bytes(envelope), f"inquiry/{digest.hex()}")
    await tx.run(
        "INSERT INTO inquiries VALUES (?, ?, ?, ?, ?)",
        (digest, sealed, consent_salt, application_key, create_us),
    )


async def put_answer(
    database: Database, envelope: Envelope, digest: bytes, application_key: str, received_us: int
) -> None:
    """Keeps a signed answer: the gateway's, or this node's own UNAVAILABLE."""
    async with database.write() as tx:
        await tx.run(
            "INSERT INTO answers (inquiry_hash, application_key, answer, received_us)"
            " VALUES (?, ?, ?, ?)",
            (digest, application_key, envelope_to_bytes(envelope), received_us),
        )


async def inquiry(database: Database, vault: Vault, digest: bytes) -> tuple[Envelope, bytes] | None:
    """A kept inquiry and its consent salt, by inquiry hash."""
    row = await database.row(
        "SELECT inquiry, consent_salt FROM inquiries WHERE inquiry_hash = ?", (digest,)
    )
    if row is None:
        return None
    opened = vault.open_record(row[0], f"inquiry/{digest.hex()}")
    return envelope_from_bytes(opened), row[1]


async def answers(database: Database, digest: bytes) -> list[Envelope]:
    """The answers kept for an inquiry, in order of arrival."""
    rows = await database.rows(
        "SELECT answer FROM answers WHERE inquiry_hash = ? ORDER BY answer_id", (digest,)
    )
    return [envelope_from_bytes(row[0]) for row in rows]
