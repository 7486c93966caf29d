"""What may not lie about in the clear in the book: identifiers, tokens, records.

Everything is encrypted by AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces and a context
that binds a ciphertext to its place; look-up is by HMAC-SHA-256. The keys are derived from the
32 bytes of `keys/book.key` by HKDF-SHA-256 (RFC 5869), one for each use.

Trusted for: keeping a copied database unreadable. Whoever also has `keys/book.key` reads it all.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from counterfoil.errors import InvalidInput, Reason, VerificationError
from counterfoil.identifier import Identifier

BOOK_KEY_BYTES = 32
LOOKUP_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16


def _derive(book_key: bytes, use: str) -> bytes:
    return HKDF(
        algorithm=SHA256(), length=32, salt=None, info=f"counterfoil/node/book/{use}/v1".encode()
    ).derive(book_key)


class Vault:
    """Seals and opens what the book keeps secret. Its repr shows no key."""

    def __init__(self, book_key: bytes, random_bytes: Callable[[int], bytes]) -> None:
        if len(book_key) != BOOK_KEY_BYTES:
            raise InvalidInput(
                Reason.KEY_INVALID, f"the book key is {BOOK_KEY_BYTES} bytes", field="book.key"
            )
        self._identifiers = AESGCM(_derive(book_key, "identifiers"))
        self._tokens = AESGCM(_derive(book_key, "tokens"))
        self._records = AESGCM(_derive(book_key, "records"))
        self._lookup_key = _derive(book_key, "lookup")
        self._content_key = _derive(book_key, "content")
        self._random_bytes = random_bytes

    def lookup(self, identifier: Identifier) -> bytes:
        """The key under which an identifier is found: 32 bytes, useless without the book key."""
        return hmac.digest(self._lookup_key, identifier.oprf_input(), "sha256")

    def content_mac(self, content: bytes) -> bytes:
        """32 bytes that recognise content which may hold identifiers, without being its hash."""
        return hmac.digest(self._content_key, content, "sha256")

    def seal_identifier(self, identifier: Identifier, lookup: bytes) -> bytes:
        """The ciphertext of an identifier for the row with this look-up key."""
        text = "\0".join((identifier.scheme, identifier.country, identifier.value))
        return self._seal(self._identifiers, text.encode(), lookup)

    def open_identifier(self, sealed: bytes, lookup: bytes) -> Identifier:
        """The identifier of a row; VerificationError when the row was tampered with."""
        scheme, country, value = self._open(self._identifiers, sealed, lookup).decode().split("\0")
        return Identifier.parse(scheme, value, country)

    def seal_token(self, token: bytes, lookup: bytes, token_epoch: int) -> bytes:
        """The ciphertext of a token for a row of the token cache."""
        return self._seal(self._tokens, token, _token_context(lookup, token_epoch))

    def open_token(self, sealed: bytes, lookup: bytes, token_epoch: int) -> bytes:
        """The token of a row of the cache."""
        return self._open(self._tokens, sealed, _token_context(lookup, token_epoch))

    def seal_record(self, content: bytes, context: str) -> bytes:
        """The ciphertext of bytes that hold tokens: records, inquiries."""
        return self._seal(self._records, content, context.encode())

    def open_record(self, sealed: bytes, context: str) -> bytes:
        """The bytes sealed under this context."""
        return self._open(self._records, sealed, context.encode())

    def _seal(self, cipher: AESGCM, content: bytes, context: bytes) -> bytes:
        nonce = self._random_bytes(_NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, content, context)

    def _open(self, cipher: AESGCM, sealed: bytes, context: bytes) -> bytes:
        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            raise VerificationError(Reason.MALFORMED, "a sealed value in the book is too short")
        try:
            return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        except InvalidTag:
            raise VerificationError(
                Reason.MALFORMED, "a sealed value in the book does not open with keys/book.key"
            ) from None

    def __repr__(self) -> str:
        return "Vault()"


def _token_context(lookup: bytes, token_epoch: int) -> bytes:
    return lookup + token_epoch.to_bytes(4, "big")
