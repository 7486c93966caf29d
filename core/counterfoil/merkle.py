"""Merkle trees by RFC 6962 and RFC 9162: roots, inclusion proofs and consistency proofs.

A tree is given as the sequence of its leaf hashes (32 bytes each). Everything here is pure; the
verifying functions raise VerificationError(PROOF_INVALID) and nothing else, whatever they are fed.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from .errors import InvalidInput, Reason, VerificationError

HASH_BYTES = 32

MAX_TREE_SIZE = 2**63 - 1
"""Leaves: what a signed 64-bit integer of the stores and of the wire holds."""

EMPTY_ROOT = sha256(b"").digest()
"""Root of the tree without leaves (RFC 9162 section 2.1.1)."""


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data): the hash of one leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right): the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes in order (MTH of RFC 9162 section 2.1.1)."""
    return _subtree(leaf_hashes, 0, len(leaf_hashes))


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index`, deepest sibling first (RFC 9162 section 2.1.3.1).

    Raises InvalidInput if there is no such leaf.
    """
    size = len(leaf_hashes)
    if not 0 <= index < size:
        raise InvalidInput(Reason.FIELD_INVALID, "no leaf at this index", field="index")
    path = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            path.append(_subtree(leaf_hashes, split, end))
            end = split
        else:
            path.append(_subtree(leaf_hashes, start, split))
            start = split
    path.reverse()
    return path


def consistency_proof(leaf_hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Proof that the tree over the first `old_size` leaves is a prefix of the tree over all.

    Empty when the sizes are equal and when the old tree is empty (RFC 9162 section 2.1.4.1).
    Raises InvalidInput if the old tree is larger than this one.
    """
    size = len(leaf_hashes)
    if not 0 <= old_size <= size:
        raise InvalidInput(Reason.FIELD_INVALID, "no such older tree", field="old_size")
    if old_size in (0, size):
        return []
    path = []
    start, end = 0, size
    # The old root itself is left out while it is still the whole left edge: its reader has it.
    while old_size != end:
        split = start + _split(end - start)
        if old_size <= split:
            path.append(_subtree(leaf_hashes, split, end))
            end = split
        else:
            path.append(_subtree(leaf_hashes, start, split))
            start = split
    if start > 0:
        path.append(_subtree(leaf_hashes, start, end))
    path.reverse()
    return path


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Returns if the leaf hash `leaf` is at `index` of the tree with `size` leaves and `root`.

    By RFC 9162 section 2.1.3.2. Raises VerificationError(PROOF_INVALID).
    """
    if not 0 <= index < size <= MAX_TREE_SIZE:
        raise _invalid("an inclusion proof names a leaf outside its tree")
    _check_hashes(leaf, root, *proof)
    position, last = index, size - 1
    current = leaf
    for sibling in proof:
        if last == 0:
            raise _invalid("an inclusion proof is too long")
        if position & 1 or position == last:
            current = node_hash(sibling, current)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            current = node_hash(current, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise _invalid("an inclusion proof is too short")
    if current != root:
        raise _mismatch("an inclusion proof does not lead to the root", root, current)


def verify_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Returns if the tree (`old_size`, `old_root`) is a prefix of (`new_size`, `new_root`).

    By RFC 9162 section 2.1.4.2; the empty tree is a prefix of every tree, with an empty proof.
    Raises VerificationError(PROOF_INVALID).
    """
    if not 0 <= old_size <= new_size <= MAX_TREE_SIZE:
        raise _invalid("a consistency proof names sizes that do not grow")
    _check_hashes(old_root, new_root, *proof)
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise _mismatch("the empty tree has another root", EMPTY_ROOT, old_root)
    if old_size == new_size and old_root != new_root:
        raise _mismatch("one size has two roots", old_root, new_root)
    if old_size in (0, new_size):
        if proof:
            raise _invalid("a consistency proof is too long")
        return
    if not proof:
        raise _invalid("a consistency proof is too short")
    # A power of two is itself a subtree of the new tree: its root is not repeated in the proof.
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _invalid("a consistency proof is too long")
        if position & 1 or position == last:
            old = node_hash(sibling, old)
            new = node_hash(sibling, new)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise _invalid("a consistency proof is too short")
    if old != old_root:
        raise _mismatch("a consistency proof does not lead to the old root", old_root, old)
    if new != new_root:
        raise _mismatch("a consistency proof does not lead to the new root", new_root, new)


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (at least 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def _subtree(leaf_hashes: Sequence[bytes], start: int, end: int) -> bytes:
    """Root over leaves [start, end), level by level; an odd last node rises as it is."""
    if start == end:
        return EMPTY_ROOT
    level = list(leaf_hashes[start:end])
    while (count := len(level)) > 1:
        paired = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[0::2], level[1::2], strict=False)
        ]
        if count & 1:
            paired.append(level[-1])
        level = paired
    return level[0]


def _check_hashes(*hashes: bytes) -> None:
    if any(not isinstance(value, bytes) or len(value) != HASH_BYTES for value in hashes):
        raise _invalid(f"a hash is not {HASH_BYTES} bytes")


def _invalid(message: str) -> VerificationError:
    return VerificationError(Reason.PROOF_INVALID, message)


def _mismatch(message: str, expected: bytes, actual: bytes) -> VerificationError:
    return VerificationError(
        Reason.PROOF_INVALID, message, expected=expected.hex(), actual=actual.hex()
    )
