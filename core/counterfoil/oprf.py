"""The verifiable oblivious pseudorandom function of RFC 9497, ristretto255-SHA512, mode VOPRF.

A node blinds an identifier, an evaluator multiplies by its secret key and proves that it used the
key it is known by, and the node unblinds: neither learns what the other holds. The first 32 bytes
of the output are the borrower's token. Names follow the RFC; section numbers are the RFC's.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha512

from . import group
from .errors import InvalidInput, Reason, VerificationError

OUTPUT_BYTES = 64
TOKEN_BYTES = 32
PROOF_BYTES = 2 * group.SCALAR_BYTES
SEED_BYTES = 32

MAX_INPUT_BYTES = 2**16 - 1
"""Also of `info`: lengths are hashed as two bytes."""

MAX_BATCH_ELEMENTS = 2**16 - 1
"""Elements under one proof: indexes are hashed as two bytes."""

_MODE_VOPRF = 0x01
_CONTEXT = b"OPRFV1-" + bytes([_MODE_VOPRF]) + b"-ristretto255-SHA512"

_HASH_TO_GROUP_DST = b"HashToGroup-" + _CONTEXT
_HASH_TO_SCALAR_DST = b"HashToScalar-" + _CONTEXT
_DERIVE_KEY_PAIR_DST = b"DeriveKeyPair" + _CONTEXT
_SEED_DST = b"Seed-" + _CONTEXT

_GENERATOR = group.multiply_base(group.scalar_of(1))

_SHA512_BLOCK_BYTES = 128
_SHA512_DIGEST_BYTES = 64


def generate_key_pair() -> tuple[bytes, bytes]:
    """A random secret key and its public key, 32 bytes each."""
    secret = group.random_scalar()
    return secret, public_key(secret)


def derive_key_pair(seed: bytes, info: bytes) -> tuple[bytes, bytes]:
    """The secret and public key of a 32-byte seed and a public `info` (section 3.2.1)."""
    if len(seed) != SEED_BYTES:
        raise InvalidInput(Reason.KEY_INVALID, f"a seed is {SEED_BYTES} bytes", field="seed")
    # The RFC counts on after a zero scalar; one in 2^252 is refused instead, by hash_to_scalar.
    secret = hash_to_scalar(seed + _prefixed(info) + b"\x00", _DERIVE_KEY_PAIR_DST)
    return secret, public_key(secret)


def public_key(secret: bytes) -> bytes:
    """The public key of a secret key."""
    return group.multiply_base(secret)


def blind(input: bytes, blind_scalar: bytes | None = None) -> tuple[bytes, bytes]:
    """The blinding scalar (keep it, secret, until `finalize`) and the blinded element to send.

    A scalar is given only to repeat a known one, as tests do; used twice, it links its inputs.
    """
    scalar = group.random_scalar() if blind_scalar is None else blind_scalar
    return scalar, group.multiply(scalar, hash_to_group(input))


def blind_evaluate(
    secret: bytes, blinded: Sequence[bytes], r: bytes | None = None
) -> tuple[list[bytes], bytes]:
    """Evaluates blinded elements and proves in 64 bytes that all were by one key (section 3.3.2).

    Raises VerificationError(POINT_INVALID) if any element is not a point or is the identity.
    `r` is the proof's nonce, given only in tests: used twice, it reveals the secret key.
    """
    _check_batch(blinded)
    evaluated = [group.multiply(secret, element) for element in blinded]
    return evaluated, _prove(secret, blinded, evaluated, r)


def verify_proof(
    public_key: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes], proof: bytes
) -> None:
    """Returns if `evaluated` is `blinded` under the key of `public_key` (section 2.2.2).

    Raises VerificationError: POINT_INVALID for anything that is not a point, PROOF_INVALID else.
    """
    group.check_point(public_key, "public_key")
    _check_batch(blinded)
    if len(evaluated) != len(blinded):
        raise VerificationError(
            Reason.PROOF_INVALID,
            "not one evaluated element for each blinded one",
            expected=str(len(blinded)),
            actual=str(len(evaluated)),
        )
    if not isinstance(proof, bytes) or len(proof) != PROOF_BYTES:
        raise VerificationError(Reason.PROOF_INVALID, f"a proof is {PROOF_BYTES} bytes")
    weights = _weights(public_key, blinded, evaluated)
    m = _combine(weights, blinded)
    z = _combine(weights, evaluated)
    c, s = proof[: group.SCALAR_BYTES], proof[group.SCALAR_BYTES :]
    try:
        t2 = group.add(group.multiply_base(s), group.multiply(c, public_key))
        t3 = group.add(group.multiply(s, m), group.multiply(c, z))
    except VerificationError:
        # Scalars that are zero or not reduced, and sums that cancel out, come of no honest proof.
        raise VerificationError(Reason.PROOF_INVALID, "a proof is malformed") from None
    if not hmac.compare_digest(c, _challenge(public_key, m, z, t2, t3)):
        raise VerificationError(
            Reason.PROOF_INVALID, "an evaluation does not hold under its public key"
        )


def finalize(input: bytes, scalar: bytes, evaluated: bytes) -> bytes:
    """The 64-byte output for `input` from its evaluated element, unblinded (section 3.3.2).

    Verify the evaluation's proof first: this function cannot see a wrong key.
    """
    return _output(input, group.multiply(group.scalar_invert(scalar), evaluated))


def evaluate(secret: bytes, input: bytes) -> bytes:
    """The 64-byte output for `input`, computed by who holds the whole key."""
    return _output(input, group.multiply(secret, hash_to_group(input)))


def token(output: bytes) -> bytes:
    """The 32-byte token: the first half of an output."""
    if len(output) != OUTPUT_BYTES:
        raise InvalidInput(Reason.FIELD_INVALID, f"an output is {OUTPUT_BYTES} bytes")
    return output[:TOKEN_BYTES]


def hash_to_group(message: bytes) -> bytes:
    """The point of a message (section 4.1)."""
    _check_input(message)
    uniform = expand_message_xmd(message, _HASH_TO_GROUP_DST, group.UNIFORM_BYTES)
    return group.point_from_uniform(uniform)


def hash_to_scalar(message: bytes, dst: bytes = _HASH_TO_SCALAR_DST) -> bytes:
    """The scalar of a message (section 4.1)."""
    return group.scalar_from_uniform(expand_message_xmd(message, dst, group.UNIFORM_BYTES))


def expand_message_xmd(message: bytes, dst: bytes, length: int) -> bytes:
    """`length` uniform bytes from a message under a domain separation tag, by SHA-512.

    RFC 9380 section 5.3.1. The tag is at most 255 bytes, the length at most 255 digests.
    """
    blocks = -(-length // _SHA512_DIGEST_BYTES)
    if not 0 < blocks <= 255 or len(dst) > 255:
        raise InvalidInput(Reason.FIELD_INVALID, "expand_message_xmd cannot serve this length")
    suffix = dst + bytes([len(dst)])
    first = sha512(
        bytes(_SHA512_BLOCK_BYTES) + message + length.to_bytes(2, "big") + b"\x00" + suffix
    ).digest()
    block = sha512(first + b"\x01" + suffix).digest()
    uniform = block
    for counter in range(2, blocks + 1):
        mixed = bytes(a ^ b for a, b in zip(first, block, strict=True))
        block = sha512(mixed + bytes([counter]) + suffix).digest()
        uniform += block
    return uniform[:length]


def _prove(
    secret: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes], r: bytes | None
) -> bytes:
    """GenerateProof with ComputeCompositesFast (section 2.2.1): c || s."""
    public = public_key(secret)
    m = _combine(_weights(public, blinded, evaluated), blinded)
    z = group.multiply(secret, m)
    nonce = group.random_scalar() if r is None else r
    c = _challenge(public, m, z, group.multiply_base(nonce), group.multiply(nonce, m))
    return c + group.scalar_subtract(nonce, group.scalar_multiply(c, secret))


def _weights(public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes]) -> list[bytes]:
    """The random weights that fold a batch into one pair (ComputeComposites, section 2.2.1)."""
    seed = sha512(_prefixed(public) + _prefixed(_SEED_DST)).digest()
    return [
        hash_to_scalar(
            _prefixed(seed)
            + index.to_bytes(2, "big")
            + _prefixed(before)
            + _prefixed(after)
            + b"Composite"
        )
        for index, (before, after) in enumerate(zip(blinded, evaluated, strict=True))
    ]


def _combine(weights: Sequence[bytes], points: Sequence[bytes]) -> bytes:
    terms = [group.multiply(w, point) for w, point in zip(weights, points, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = group.add(total, term)
    return total


def _challenge(public: bytes, m: bytes, z: bytes, t2: bytes, t3: bytes) -> bytes:
    transcript = b"".join(_prefixed(point) for point in (public, m, z, t2, t3))
    return hash_to_scalar(transcript + b"Challenge")


def _output(input: bytes, unblinded: bytes) -> bytes:
    return sha512(_prefixed(input) + _prefixed(unblinded) + b"Finalize").digest()


def _prefixed(data: bytes) -> bytes:
    """The data after its length in two bytes."""
    _check_input(data)
    return len(data).to_bytes(2, "big") + data


def _check_input(data: bytes) -> None:
    if len(data) > MAX_INPUT_BYTES:
        raise InvalidInput(
            Reason.FIELD_INVALID, f"an input is at most {MAX_INPUT_BYTES} bytes", field="input"
        )


def _check_batch(blinded: Sequence[bytes]) -> None:
    if not 0 < len(blinded) <= MAX_BATCH_ELEMENTS:
        raise VerificationError(
            Reason.PROOF_INVALID,
            f"a proof is over 1 to {MAX_BATCH_ELEMENTS} elements",
            actual=str(len(blinded)),
        )
