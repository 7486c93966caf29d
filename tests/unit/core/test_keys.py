"""Ed25519 keys: RFC 8032's vectors, and every kind of key that must not load."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from pathlib import Path

import pytest
from nacl import bindings

from counterfoil.errors import Reason, VerificationError
from counterfoil.keys import PrivateKey, PublicKey

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc8032_ed25519.json").read_text())

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD_PRIME = 2**255 - 19

SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]

SIGN_BIT_ON_ZERO_X = [
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


def assert_key_refused(raw: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        PublicKey.load(raw)
    assert caught.value.reason is Reason.KEY_INVALID


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_signatures_are_those_of_rfc_8032(vector: dict[str, str]) -> None:
    key = PrivateKey.load(bytes.fromhex(vector["seed"]))
    message = bytes.fromhex(vector["message"])
    assert key.public.raw.hex() == vector["public_key"]
    assert key.sign(message).hex() == vector["signature"]
    PublicKey.load(key.public.raw).verify(message, bytes.fromhex(vector["signature"]))


@pytest.mark.parametrize("raw", SMALL_ORDER + SIGN_BIT_ON_ZERO_X)
def test_keys_of_small_order_are_refused(raw: str) -> None:
    assert_key_refused(bytes.fromhex(raw))


@pytest.mark.parametrize("torsion", SMALL_ORDER[1:])
def test_keys_of_mixed_order_are_refused(torsion: str) -> None:
    prime_order = PrivateKey.load(bytes(range(32))).public.raw
    assert_key_refused(bindings.crypto_core_ed25519_add(prime_order, bytes.fromhex(torsion)))


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("excess", range(19))
def test_keys_whose_y_is_not_reduced_are_refused(excess: int, sign: int) -> None:
    y = FIELD_PRIME + excess
    assert_key_refused((y | sign << 255).to_bytes(32, "little"))


def test_keys_off_the_curve_are_refused() -> None:
    assert_key_refused((2).to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_keys_of_a_wrong_length_are_refused(length: int) -> None:
    assert_key_refused(bytes(length))
    with pytest.raises(VerificationError) as caught:
        PrivateKey.load(bytes(length))
    assert caught.value.reason is Reason.KEY_INVALID


def test_a_key_id_is_the_first_sixteen_hex_digits_of_sha256() -> None:
    public = PrivateKey.generate().public
    assert public.key_id == hashlib.sha256(public.raw).hexdigest()[:16]


def test_generated_keys_differ_and_load_again_from_their_seed() -> None:
    first, second = PrivateKey.generate(), PrivateKey.generate()
    assert first != second
    assert PrivateKey.load(first.seed) == first
    assert len({first, second, PrivateKey.load(first.seed)}) == 2


def assert_signature_refused(key: PublicKey, message: bytes, signature: bytes) -> None:
    with pytest.raises(VerificationError) as caught:
        key.verify(message, signature)
    assert caught.value.reason is Reason.SIGNATURE_INVALID


def test_a_changed_message_or_signature_or_another_key_is_refused() -> None:
    key = PrivateKey.load(bytes(range(32)))
    signature = key.sign(b"a statement")
    assert_signature_refused(key.public, b"another statement", signature)
    assert_signature_refused(PrivateKey.generate().public, b"a statement", signature)
    for bit in range(0, 512, 7):
        changed = bytearray(signature)
        changed[bit // 8] ^= 1 << bit % 8
        assert_signature_refused(key.public, b"a statement", bytes(changed))


@pytest.mark.parametrize("length", [0, 63, 65, 128])
def test_signatures_of_a_wrong_length_are_refused(length: int) -> None:
    assert_signature_refused(PrivateKey.generate().public, b"", bytes(length))


def test_a_signature_cannot_be_shifted_into_its_message() -> None:
    key = PrivateKey.load(bytes(range(32)))
    signature = key.sign(b"abc")
    assert_signature_refused(key.public, b"bc", signature + b"a")


def test_a_signature_has_one_form_only() -> None:
    key = PrivateKey.load(bytes(range(32)))
    signature = key.sign(b"a statement")
    scalar = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    assert_signature_refused(
        key.public, b"a statement", signature[:32] + scalar.to_bytes(32, "little")
    )


def test_a_private_key_never_shows_its_seed() -> None:
    key = PrivateKey.generate()
    for text in (repr(key), str(key), f"{key}"):
        assert key.seed.hex() not in text
        assert repr(key.seed) not in text
        assert key.public.key_id in text


def test_a_private_key_is_neither_pickled_nor_copied() -> None:
    key = PrivateKey.generate()
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.copy(key)
