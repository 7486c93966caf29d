"""The vault: nothing it keeps is readable, or movable, without the book's key."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from counterfoil.errors import CounterfoilError, Reason, VerificationError
from counterfoil.identifier import Identifier
from counterfoil_node.importing import ImportOrder, import_tape
from counterfoil_node.server import utc_now
from counterfoil_node.store.tokens import TokenCache
from counterfoil_node.tape import TapeKind
from counterfoil_node.vault import Vault
from support.books import BOOK_KEY, new_book, resident_id
from support.loan_rows import AS_OF_SECONDS, open_row, write_tape

WHO = Identifier.parse("cn-resident-id", resident_id(7))
OTHER = Identifier.parse("cn-resident-id", resident_id(8))


@pytest.fixture
def vault() -> Vault:
    return Vault(BOOK_KEY, os.urandom)


def test_identifiers_open_where_they_were_sealed(vault: Vault) -> None:
    for identifier in (
        WHO,
        Identifier.parse("passport", "p 1234567", "DE"),
        Identifier.parse("cn-uscc", "91350100M000100Y43"),
    ):
        lookup = vault.lookup(identifier)
        assert vault.open_identifier(vault.seal_identifier(identifier, lookup), lookup) == (
            identifier
        )


def test_a_ciphertext_does_not_open_in_another_row(vault: Vault) -> None:
    sealed = vault.seal_identifier(WHO, vault.lookup(WHO))
    with pytest.raises(VerificationError):
        vault.open_identifier(sealed, vault.lookup(OTHER))
    token = vault.seal_token(bytes(32), vault.lookup(WHO), 1)
    with pytest.raises(VerificationError):
        vault.open_token(token, vault.lookup(WHO), 2)
    with pytest.raises(VerificationError):
        vault.open_record(vault.seal_record(b"x", "batch/1"), "batch/2")


def test_an_altered_or_cut_ciphertext_does_not_open(vault: Vault) -> None:
    sealed = bytearray(vault.seal_record(b"something", "here"))
    sealed[-1] ^= 1
    for broken in (bytes(sealed), sealed[:20], b""):
        with pytest.raises(VerificationError):
            vault.open_record(bytes(broken), "here")


def test_another_key_finds_and_opens_nothing(vault: Vault) -> None:
    other = Vault(bytes(32), os.urandom)
    assert other.lookup(WHO) != vault.lookup(WHO)
    with pytest.raises(VerificationError):
        other.open_record(vault.seal_record(b"x", "here"), "here")


def test_equal_contents_give_different_ciphertexts(vault: Vault) -> None:
    assert vault.seal_record(b"x", "here") != vault.seal_record(b"x", "here")


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(CounterfoilError) as refused:
        Vault(b"short", os.urandom)
    assert refused.value.reason is Reason.KEY_INVALID


def test_the_vault_shows_no_key(vault: Vault) -> None:
    assert BOOK_KEY.hex() not in repr(vault) + str(vars(vault))


async def test_the_book_on_disk_holds_no_identifier_and_no_token(tmp_path: Path) -> None:
    book = await new_book(tmp_path)
    tape = write_tape(tmp_path / "tape.csv", [open_row(7), open_row(8)])
    order = ImportOrder(tape, AS_OF_SECONDS, TapeKind.FULL)
    await import_tape(book, order, utc_now)
    token = os.urandom(32)
    await TokenCache(book.database, book.vault).put({book.vault.lookup(WHO): token}, 1)
    await book.close()
    planted = [WHO.value.encode(), WHO.oprf_input(), OTHER.value.encode(), token]
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("node.db*"))
    assert not [index for index, content in enumerate(planted) if content in stored]
    # The search does find what is there.
    with closing(sqlite3.connect(tmp_path / "node.db")) as database, database:
        database.execute("INSERT INTO reports VALUES (?, x'00', 0, 0)", (WHO.value,))
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("node.db*"))
    assert WHO.value.encode() in stored
