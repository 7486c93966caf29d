"""The VOPRF: RFC 9497's vectors to the last intermediate value, and every way a proof can lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil import group, oprf
from counterfoil.errors import InvalidInput, Reason, VerificationError

SUITE = json.loads(
    (Path(__file__).parents[2] / "vectors" / "rfc9497_ristretto255_sha512_voprf.json").read_text()
)
SECRET = bytes.fromhex(SUITE["skSm"])
PUBLIC = bytes.fromhex(SUITE["pkSm"])


def values(vector: dict[str, Any], name: str) -> list[bytes]:
    return [bytes.fromhex(value) for value in vector[name].split(",")]


def reason_of(call: Callable[..., object], *args: object) -> Reason:
    with pytest.raises(VerificationError) as caught:
        call(*args)
    return caught.value.reason


def evaluated_batch(count: int) -> tuple[list[bytes], list[bytes], bytes]:
    blinded = [oprf.blind(b"input %d" % index)[1] for index in range(count)]
    evaluated, proof = oprf.blind_evaluate(SECRET, blinded)
    return blinded, evaluated, proof


def test_the_vectors_are_of_this_suite_and_complete() -> None:
    assert (SUITE["identifier"], SUITE["mode"]) == ("ristretto255-SHA512", 1)
    assert [vector["Batch"] for vector in SUITE["vectors"]] == [1, 1, 2]


def test_the_key_pair_is_derived_as_in_the_rfc() -> None:
    seed, info = bytes.fromhex(SUITE["seed"]), bytes.fromhex(SUITE["keyInfo"])
    assert oprf.derive_key_pair(seed, info) == (SECRET, PUBLIC)
    assert oprf.public_key(SECRET) == PUBLIC


@pytest.mark.parametrize("vector", SUITE["vectors"])
def test_every_intermediate_value_is_that_of_the_rfc(vector: dict[str, Any]) -> None:
    inputs, scalars = values(vector, "Input"), values(vector, "Blind")
    blinded, elements = values(vector, "BlindedElement"), values(vector, "EvaluationElement")
    outputs = values(vector, "Output")
    proof, r = (bytes.fromhex(vector["Proof"][name]) for name in ("proof", "r"))

    pairs = [oprf.blind(*pair) for pair in zip(inputs, scalars, strict=True)]
    assert pairs == list(zip(scalars, blinded, strict=True))
    assert oprf.blind_evaluate(SECRET, blinded, r) == (elements, proof)
    oprf.verify_proof(PUBLIC, blinded, elements, proof)
    finalized = [oprf.finalize(*parts) for parts in zip(inputs, scalars, elements, strict=True)]
    assert finalized == outputs
    assert [oprf.evaluate(SECRET, input) for input in inputs] == outputs
    assert [oprf.token(output) for output in outputs] == [output[:32] for output in outputs]


# RFC 9380 appendix K.3 (expand_message_xmd, SHA-512).
XMD_DST = b"QUUX-V01-CS02-with-expander-SHA512-256"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", "6b9a7312411d92f921c6f68ca0b6380730a1a4d982c507211a90964c394179ba"),
        (b"abc", "0da749f12fbe5483eb066a5f595055679b976e93abe9be6f0f6318bce7aca8dc"),
    ],
)
def test_messages_are_expanded_as_in_rfc_9380(message: bytes, expected: str) -> None:
    assert oprf.expand_message_xmd(message, XMD_DST, 32).hex() == expected


def test_expansion_beyond_one_digest_has_the_length_asked_for() -> None:
    for length in (1, 64, 65, 128, 200):
        assert len(oprf.expand_message_xmd(b"m", XMD_DST, length)) == length


@pytest.mark.parametrize(
    ("dst", "length"), [(XMD_DST, 0), (XMD_DST, 255 * 64 + 1), (b"x" * 256, 64)]
)
def test_expansion_beyond_the_rfc_is_refused(dst: bytes, length: int) -> None:
    with pytest.raises(InvalidInput):
        oprf.expand_message_xmd(b"m", dst, length)


@given(st.binary(max_size=200))
@settings(max_examples=20, deadline=None)
def test_the_output_does_not_depend_on_the_blinding(input: bytes) -> None:
    scalar, blinded = oprf.blind(input)
    (evaluated,), proof = oprf.blind_evaluate(SECRET, [blinded])
    oprf.verify_proof(PUBLIC, [blinded], [evaluated], proof)
    assert oprf.finalize(input, scalar, evaluated) == oprf.evaluate(SECRET, input)


def test_blinding_is_fresh_each_time() -> None:
    assert oprf.blind(b"input") != oprf.blind(b"input")


def test_proofs_are_fresh_each_time() -> None:
    _, blinded = oprf.blind(b"input")
    assert oprf.blind_evaluate(SECRET, [blinded])[1] != oprf.blind_evaluate(SECRET, [blinded])[1]


def test_a_generated_key_pair_evaluates_and_proves() -> None:
    secret, public = oprf.generate_key_pair()
    assert oprf.public_key(secret) == public
    _, blinded = oprf.blind(b"input")
    evaluated, proof = oprf.blind_evaluate(secret, [blinded])
    oprf.verify_proof(public, [blinded], evaluated, proof)
    assert reason_of(oprf.verify_proof, PUBLIC, [blinded], evaluated, proof) is Reason.PROOF_INVALID


def test_an_evaluation_under_another_key_is_refused() -> None:
    blinded, _, _ = evaluated_batch(2)
    evaluated, proof = oprf.blind_evaluate(oprf.generate_key_pair()[0], blinded)
    assert reason_of(oprf.verify_proof, PUBLIC, blinded, evaluated, proof) is Reason.PROOF_INVALID


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_wrong_element_of_a_batch_is_refused(place: int) -> None:
    blinded, evaluated, proof = evaluated_batch(3)
    for batch in (blinded, evaluated):
        kept = batch[place]
        batch[place] = group.multiply(group.scalar_of(2), kept)
        assert (
            reason_of(oprf.verify_proof, PUBLIC, blinded, evaluated, proof) is Reason.PROOF_INVALID
        )
        batch[place] = kept
    oprf.verify_proof(PUBLIC, blinded, evaluated, proof)


def test_elements_that_changed_places_are_refused() -> None:
    blinded, evaluated, proof = evaluated_batch(2)
    assert (
        reason_of(oprf.verify_proof, PUBLIC, blinded, evaluated[::-1], proof)
        is Reason.PROOF_INVALID
    )
    assert (
        reason_of(oprf.verify_proof, PUBLIC, blinded[::-1], evaluated[::-1], proof)
        is Reason.PROOF_INVALID
    )


def test_a_proof_with_any_bit_changed_is_refused() -> None:
    blinded, evaluated, proof = evaluated_batch(1)
    for bit in range(0, 512, 5):
        changed = bytearray(proof)
        changed[bit // 8] ^= 1 << bit % 8
        assert (
            reason_of(oprf.verify_proof, PUBLIC, blinded, evaluated, bytes(changed))
            is Reason.PROOF_INVALID
        )


@pytest.mark.parametrize(
    "proof",
    [b"", bytes(63), bytes(65), bytes(64), b"\xff" * 64],
    ids=["empty", "short", "long", "zero", "not reduced"],
)
def test_a_malformed_proof_is_refused(proof: bytes) -> None:
    blinded, evaluated, _ = evaluated_batch(1)
    assert reason_of(oprf.verify_proof, PUBLIC, blinded, evaluated, proof) is Reason.PROOF_INVALID


def test_a_proof_has_one_form_only() -> None:
    blinded, evaluated, proof = evaluated_batch(1)
    s = int.from_bytes(proof[32:], "little") + group.ORDER
    shifted = proof[:32] + s.to_bytes(32, "little")
    assert reason_of(oprf.verify_proof, PUBLIC, blinded, evaluated, shifted) is Reason.PROOF_INVALID


def test_too_few_or_too_many_elements_are_refused() -> None:
    blinded, evaluated, proof = evaluated_batch(2)
    for before, after in ((blinded, evaluated[:1]), (blinded[:1], evaluated), ([], [])):
        assert reason_of(oprf.verify_proof, PUBLIC, before, after, proof) is Reason.PROOF_INVALID
    assert reason_of(oprf.blind_evaluate, SECRET, []) is Reason.PROOF_INVALID


@pytest.mark.parametrize("bad", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"short"])
def test_what_is_not_a_point_is_neither_evaluated_nor_verified(bad: bytes) -> None:
    blinded, evaluated, proof = evaluated_batch(2)
    scalar, _ = oprf.blind(b"input")
    invalid = Reason.POINT_INVALID
    assert reason_of(oprf.blind_evaluate, SECRET, [blinded[0], bad]) is invalid
    assert reason_of(oprf.verify_proof, PUBLIC, [bad, blinded[1]], evaluated, proof) is invalid
    assert reason_of(oprf.verify_proof, PUBLIC, blinded, [evaluated[0], bad], proof) is invalid
    assert reason_of(oprf.verify_proof, bad, blinded, evaluated, proof) is invalid
    assert reason_of(oprf.finalize, b"input", scalar, bad) is invalid


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, b"short"])
def test_a_bad_secret_or_blinding_scalar_is_refused(bad: bytes) -> None:
    _, blinded = oprf.blind(b"input")
    assert reason_of(oprf.public_key, bad) is Reason.KEY_INVALID
    assert reason_of(oprf.evaluate, bad, b"input") is Reason.KEY_INVALID
    assert reason_of(oprf.blind_evaluate, bad, [blinded]) is Reason.KEY_INVALID
    assert reason_of(oprf.blind, b"input", bad) is Reason.KEY_INVALID
    assert reason_of(oprf.finalize, b"input", bad, blinded) is Reason.KEY_INVALID


def test_inputs_and_seeds_out_of_bounds_are_refused() -> None:
    with pytest.raises(InvalidInput):
        oprf.blind(bytes(oprf.MAX_INPUT_BYTES + 1))
    with pytest.raises(InvalidInput):
        oprf.derive_key_pair(bytes(31), b"")
    with pytest.raises(InvalidInput):
        oprf.token(bytes(63))
