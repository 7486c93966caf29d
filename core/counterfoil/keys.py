"""Ed25519 keys (RFC 8032): every statement of the network is signed with one.

All checks are libsodium's, reached through PyNaCl, so that every party applies one rule. Accepting
a key that is not of prime order would let one signature verify under several keys or for several
messages, so such keys are refused when they are loaded, not when they are used.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from nacl import bindings
from nacl.exceptions import CryptoError

from .errors import Reason, VerificationError

PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64

KEY_ID_HEX_DIGITS = 16

_FIELD_PRIME = 2**255 - 19
_Y_MASK = 2**255 - 1


def key_id_of(raw: bytes) -> str:
    """The first 16 hex digits of SHA-256 over the 32 key bytes: a hint, never a proof."""
    return hashlib.sha256(raw).hexdigest()[:KEY_ID_HEX_DIGITS]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A verification key, known to be canonical and of prime order."""

    raw: bytes
    """32 bytes, RFC 8032 section 5.1.5."""
    key_id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        _check_public(self.raw)
        object.__setattr__(self, "key_id", key_id_of(self.raw))

    @classmethod
    def load(cls, raw: bytes) -> PublicKey:
        """A key from its 32 bytes.

        Raises VerificationError(KEY_INVALID) for a wrong length, a y not below the field prime,
        bytes off the curve, and points of small or mixed order.
        """
        return cls(raw)

    def verify(self, message: bytes, signature: bytes) -> None:
        """Returns if `signature` (64 bytes) is this key's over `message`.

        Raises VerificationError(SIGNATURE_INVALID) otherwise.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise VerificationError(
                Reason.SIGNATURE_INVALID,
                "a signature has the wrong length",
                expected=str(SIGNATURE_BYTES),
                actual=str(len(signature)),
            )
        try:
            bindings.crypto_sign_open(bytes(signature) + bytes(message), self.raw)
        except CryptoError:
            raise VerificationError(
                Reason.SIGNATURE_INVALID, f"a signature does not hold under key {self.key_id}"
            ) from None


class PrivateKey:
    """A signing key. Its seed is the secret: neither repr nor str shows it, and it is not pickled.

    Two private keys are equal when their public keys are.
    """

    __slots__ = ("_expanded", "public", "seed")

    public: PublicKey
    seed: bytes
    """32 bytes, RFC 8032 section 5.1.5. Write it only to a file that its owner alone can read."""

    def __init__(self, seed: bytes) -> None:
        if not isinstance(seed, bytes) or len(seed) != SEED_BYTES:
            raise VerificationError(
                Reason.KEY_INVALID, f"a private key's seed is {SEED_BYTES} bytes"
            )
        raw, self._expanded = bindings.crypto_sign_seed_keypair(seed)
        self.seed = seed
        self.public = PublicKey(raw)

    @classmethod
    def generate(cls) -> PrivateKey:
        """A new key from the operating system's randomness."""
        return cls(bindings.randombytes(SEED_BYTES))

    @classmethod
    def load(cls, seed: bytes) -> PrivateKey:
        """The key of a 32-byte seed; raises VerificationError(KEY_INVALID)."""
        return cls(seed)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature over `message`; the same message gives the same signature."""
        return bindings.crypto_sign(bytes(message), self._expanded)[:SIGNATURE_BYTES]

    def __eq__(self, other: object) -> bool:
        return self.public == other.public if isinstance(other, PrivateKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.public)

    def __repr__(self) -> str:
        return f"PrivateKey(key_id={self.public.key_id!r})"

    def __reduce__(self) -> str:
        raise TypeError("a private key is not pickled")


def _check_public(raw: bytes) -> None:
    if not isinstance(raw, bytes) or len(raw) != PUBLIC_KEY_BYTES:
        raise VerificationError(Reason.KEY_INVALID, f"a public key is {PUBLIC_KEY_BYTES} bytes")
    if int.from_bytes(raw, "little") & _Y_MASK >= _FIELD_PRIME:
        raise VerificationError(Reason.KEY_INVALID, "a public key is not canonically encoded")
    # libsodium: on the curve, not of small order, in the prime-order subgroup.
    if not bindings.crypto_core_ed25519_is_valid_point(raw):
        raise VerificationError(
            Reason.KEY_INVALID, "a public key is not a point of the prime-order group"
        )
