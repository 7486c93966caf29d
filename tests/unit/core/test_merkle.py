"""Merkle trees: the reference vectors, all small trees, and tampered proofs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil import merkle
from counterfoil.errors import InvalidInput, Reason, VerificationError

REFERENCE = json.loads((Path(__file__).parents[2] / "vectors" / "rfc6962_merkle.json").read_text())
REFERENCE_LEAVES = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in REFERENCE["leaves"]]
REFERENCE_ROOTS = [bytes.fromhex(root) for root in REFERENCE["roots"]]

EXHAUSTIVE_SIZE = 40
LEAVES = [merkle.leaf_hash(b"%d" % index) for index in range(EXHAUSTIVE_SIZE)]
FOREIGN = merkle.leaf_hash(b"foreign")


def recursive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 writes it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(
        b"\x01" + recursive_root(leaves[:split]) + recursive_root(leaves[split:])
    ).digest()


ROOTS = [recursive_root(LEAVES[:size]) for size in range(EXHAUSTIVE_SIZE + 1)]


def unhex(proof: list[str]) -> list[bytes]:
    return [bytes.fromhex(value) for value in proof]


def assert_inclusion_refused(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    with pytest.raises(VerificationError) as caught:
        merkle.verify_inclusion(leaf, index, size, proof, root)
    assert caught.value.reason is Reason.PROOF_INVALID


def assert_consistency_refused(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    with pytest.raises(VerificationError) as caught:
        merkle.verify_consistency(old_size, new_size, proof, old_root, new_root)
    assert caught.value.reason is Reason.PROOF_INVALID


def test_roots_are_those_of_the_reference() -> None:
    assert REFERENCE_ROOTS[0] == merkle.EMPTY_ROOT
    assert [merkle.root(REFERENCE_LEAVES[:size]) for size in range(9)] == REFERENCE_ROOTS


@pytest.mark.parametrize("case", REFERENCE["inclusion"])
def test_inclusion_proofs_are_those_of_the_reference(case: dict[str, Any]) -> None:
    index, size, proof = case["index"], case["size"], unhex(case["proof"])
    assert merkle.inclusion_proof(REFERENCE_LEAVES[:size], index) == proof
    merkle.verify_inclusion(REFERENCE_LEAVES[index], index, size, proof, REFERENCE_ROOTS[size])


@pytest.mark.parametrize("case", REFERENCE["consistency"])
def test_consistency_proofs_are_those_of_the_reference(case: dict[str, Any]) -> None:
    old, new, proof = case["old_size"], case["new_size"], unhex(case["proof"])
    assert merkle.consistency_proof(REFERENCE_LEAVES[:new], old) == proof
    merkle.verify_consistency(old, new, proof, REFERENCE_ROOTS[old], REFERENCE_ROOTS[new])


def test_leaves_and_nodes_have_their_own_prefixes() -> None:
    left, right = LEAVES[:2]
    assert merkle.leaf_hash(left + right) == hashlib.sha256(b"\x00" + left + right).digest()
    assert merkle.node_hash(left, right) == hashlib.sha256(b"\x01" + left + right).digest()


def test_every_small_tree_has_the_recursive_root() -> None:
    assert [merkle.root(LEAVES[:size]) for size in range(EXHAUSTIVE_SIZE + 1)] == ROOTS


def test_every_leaf_of_every_small_tree_is_proved() -> None:
    for size in range(1, EXHAUSTIVE_SIZE + 1):
        for index in range(size):
            proof = merkle.inclusion_proof(LEAVES[:size], index)
            merkle.verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])


def test_every_small_tree_is_proved_a_prefix_of_every_larger_one() -> None:
    for new in range(EXHAUSTIVE_SIZE + 1):
        for old in range(new + 1):
            proof = merkle.consistency_proof(LEAVES[:new], old)
            merkle.verify_consistency(old, new, proof, ROOTS[old], ROOTS[new])


def test_an_inclusion_proof_holds_for_nothing_else() -> None:
    for size in range(1, 18):
        for index in range(size):
            proof = merkle.inclusion_proof(LEAVES[:size], index)
            root = ROOTS[size]
            assert_inclusion_refused(FOREIGN, index, size, proof, root)
            assert_inclusion_refused(LEAVES[index], index, size, proof, FOREIGN)
            assert_inclusion_refused(LEAVES[index], index, size, [*proof, FOREIGN], root)
            assert_inclusion_refused(LEAVES[index], index, size, [FOREIGN, *proof], root)
            for place in range(len(proof)):
                changed = [*proof[:place], FOREIGN, *proof[place + 1 :]]
                assert_inclusion_refused(LEAVES[index], index, size, changed, root)
            if proof:
                assert_inclusion_refused(LEAVES[index], index, size, proof[:-1], root)
                assert_inclusion_refused(LEAVES[index], index, size, proof[1:], root)
            for other in range(size):
                if other != index:
                    assert_inclusion_refused(LEAVES[index], other, size, proof, root)


def test_a_consistency_proof_holds_for_nothing_else() -> None:
    for new in range(1, 18):
        for old in range(1, new):
            proof = merkle.consistency_proof(LEAVES[:new], old)
            assert_consistency_refused(old, new, proof, FOREIGN, ROOTS[new])
            assert_consistency_refused(old, new, proof, ROOTS[old], FOREIGN)
            assert_consistency_refused(old, new, [*proof, FOREIGN], ROOTS[old], ROOTS[new])
            assert_consistency_refused(old, new, proof[:-1], ROOTS[old], ROOTS[new])
            assert_consistency_refused(old, new, [], ROOTS[old], ROOTS[new])
            for place in range(len(proof)):
                changed = [*proof[:place], FOREIGN, *proof[place + 1 :]]
                assert_consistency_refused(old, new, changed, ROOTS[old], ROOTS[new])


def test_a_rewritten_history_is_refused() -> None:
    rewritten = [FOREIGN, *LEAVES[1:]]
    for new in range(2, 18):
        for old in range(1, new):
            proof = merkle.consistency_proof(rewritten[:new], old)
            assert_consistency_refused(old, new, proof, ROOTS[old], merkle.root(rewritten[:new]))


def test_trees_of_one_size_are_consistent_only_when_they_are_one_tree() -> None:
    merkle.verify_consistency(5, 5, [], ROOTS[5], ROOTS[5])
    assert_consistency_refused(5, 5, [], ROOTS[5], FOREIGN)
    assert_consistency_refused(5, 5, [FOREIGN], ROOTS[5], ROOTS[5])


def test_the_empty_tree_is_a_prefix_of_every_tree() -> None:
    merkle.verify_consistency(0, 0, [], merkle.EMPTY_ROOT, merkle.EMPTY_ROOT)
    merkle.verify_consistency(0, 7, [], merkle.EMPTY_ROOT, ROOTS[7])
    assert_consistency_refused(0, 7, [], FOREIGN, ROOTS[7])
    assert_consistency_refused(0, 7, [FOREIGN], merkle.EMPTY_ROOT, ROOTS[7])
    assert_consistency_refused(0, 0, [], merkle.EMPTY_ROOT, FOREIGN)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, -1), (0, 2**63)])
def test_leaves_outside_the_tree_are_not_proved(index: int, size: int) -> None:
    assert_inclusion_refused(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (1, 2**63)])
def test_trees_that_shrink_are_not_consistent(old: int, new: int) -> None:
    assert_consistency_refused(old, new, [FOREIGN], LEAVES[0], LEAVES[1])


@pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33), "a" * 32, None])
def test_what_is_not_a_hash_is_refused(bad: Any) -> None:
    proof = merkle.inclusion_proof(LEAVES[:4], 0)
    assert_inclusion_refused(bad, 0, 4, proof, ROOTS[4])
    assert_inclusion_refused(LEAVES[0], 0, 4, [bad, *proof[1:]], ROOTS[4])
    assert_inclusion_refused(LEAVES[0], 0, 4, proof, bad)
    assert_consistency_refused(2, 4, [bad], ROOTS[2], ROOTS[4])


def test_a_long_proof_costs_no_more_than_the_tree_is_deep() -> None:
    assert_inclusion_refused(LEAVES[0], 0, 4, [FOREIGN] * 1000, ROOTS[4])
    assert_consistency_refused(2, 4, [FOREIGN] * 1000, ROOTS[2], ROOTS[4])


@pytest.mark.parametrize("index", [-1, 3])
def test_no_proof_is_made_of_a_leaf_that_is_not_there(index: int) -> None:
    with pytest.raises(InvalidInput):
        merkle.inclusion_proof(LEAVES[:3], index)


@pytest.mark.parametrize("old_size", [-1, 4])
def test_no_proof_is_made_of_a_tree_that_was_not(old_size: int) -> None:
    with pytest.raises(InvalidInput):
        merkle.consistency_proof(LEAVES[:3], old_size)


def test_a_mismatch_tells_both_roots() -> None:
    with pytest.raises(VerificationError) as caught:
        merkle.verify_inclusion(LEAVES[0], 0, 1, [], FOREIGN)
    assert (caught.value.expected, caught.value.actual) == (FOREIGN.hex(), LEAVES[0].hex())


@given(data=st.lists(st.binary(max_size=40), min_size=1, max_size=300), choice=st.data())
@settings(max_examples=60, deadline=None)
def test_any_tree_proves_its_leaves_and_its_prefixes(
    data: list[bytes], choice: st.DataObject
) -> None:
    leaves = [merkle.leaf_hash(item) for item in data]
    root = merkle.root(leaves)
    assert root == recursive_root(leaves)
    index = choice.draw(st.integers(0, len(leaves) - 1))
    merkle.verify_inclusion(
        leaves[index], index, len(leaves), merkle.inclusion_proof(leaves, index), root
    )
    old = choice.draw(st.integers(0, len(leaves)))
    merkle.verify_consistency(
        old, len(leaves), merkle.consistency_proof(leaves, old), merkle.root(leaves[:old]), root
    )
