"""DSSE envelopes: the specification's encoding, and what does not verify."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil import dsse
from counterfoil.dsse import Envelope, Signature
from counterfoil.errors import InvalidInput, Reason, VerificationError
from counterfoil.keys import PrivateKey, PublicKey

TYPE = "application/vnd.counterfoil.test.v1"
KEY = PrivateKey.load(bytes(range(32)))
OTHER = PrivateKey.load(bytes(range(1, 33)))


def reason_of(envelope: Envelope, payload_type: str, key: PublicKey) -> Reason:
    with pytest.raises(VerificationError) as caught:
        dsse.verify(envelope, payload_type, key)
    return caught.value.reason


def test_the_encoding_is_that_of_the_specification() -> None:
    assert (
        dsse.pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_count_bytes_and_the_payload_is_taken_as_it_is() -> None:
    assert dsse.pae("类", b"\x00 \xff") == b"DSSEv1 3 \xe7\xb1\xbb 3 \x00 \xff"
    assert dsse.pae("", b"") == b"DSSEv1 0  0 "


@given(
    st.tuples(st.text(max_size=20), st.binary(max_size=20)),
    st.tuples(st.text(max_size=20), st.binary(max_size=20)),
)
@settings(max_examples=100, deadline=None)
def test_two_statements_never_share_an_encoding(
    one: tuple[str, bytes], other: tuple[str, bytes]
) -> None:
    assert (dsse.pae(*one) == dsse.pae(*other)) == (one == other)


def test_a_signed_payload_comes_back_byte_for_byte() -> None:
    envelope = dsse.sign(TYPE, b"a payload", KEY)
    assert dsse.verify(envelope, TYPE, KEY.public) == b"a payload"


def test_each_of_several_keys_verifies() -> None:
    envelope = dsse.sign(TYPE, b"a payload", KEY, OTHER)
    assert [s.key_id for s in envelope.signatures] == [KEY.public.key_id, OTHER.public.key_id]
    assert dsse.verify(envelope, TYPE, KEY.public) == b"a payload"
    assert dsse.verify(envelope, TYPE, OTHER.public) == b"a payload"


def test_another_payload_type_is_refused_before_any_signature_is_tried() -> None:
    envelope = replace(dsse.sign(TYPE, b"a payload", KEY), signatures=())
    assert reason_of(envelope, TYPE + "x", KEY.public) is Reason.PAYLOAD_TYPE_MISMATCH


def test_a_relabelled_payload_does_not_verify() -> None:
    envelope = replace(dsse.sign(TYPE, b"a payload", KEY), payload_type=TYPE + "x")
    assert reason_of(envelope, TYPE + "x", KEY.public) is Reason.SIGNATURE_INVALID


def test_a_changed_payload_does_not_verify() -> None:
    envelope = replace(dsse.sign(TYPE, b"a payload", KEY), payload=b"A payload")
    assert reason_of(envelope, TYPE, KEY.public) is Reason.SIGNATURE_INVALID


def test_an_envelope_that_the_key_did_not_sign_says_so() -> None:
    assert reason_of(dsse.sign(TYPE, b"", OTHER), TYPE, KEY.public) is Reason.SIGNATURE_MISSING
    assert reason_of(Envelope(TYPE, b"", ()), TYPE, KEY.public) is Reason.SIGNATURE_MISSING


@pytest.mark.parametrize("hint", ["", OTHER.public.key_id, "no key at all"])
def test_a_key_id_is_only_a_hint(hint: str) -> None:
    envelope = dsse.sign(TYPE, b"a payload", KEY)
    mislabelled = replace(envelope, signatures=(Signature(hint, envelope.signatures[0].signature),))
    assert dsse.verify(mislabelled, TYPE, KEY.public) == b"a payload"


def test_a_key_id_alone_proves_nothing() -> None:
    stolen = dsse.sign(TYPE, b"a payload", OTHER).signatures[0].signature
    envelope = Envelope(TYPE, b"a payload", (Signature(KEY.public.key_id, stolen),))
    assert reason_of(envelope, TYPE, KEY.public) is Reason.SIGNATURE_INVALID


def test_a_bad_signature_beside_a_good_one_does_no_harm() -> None:
    envelope = dsse.sign(TYPE, b"a payload", KEY)
    decoy = Signature(KEY.public.key_id, b"short")
    assert (
        dsse.verify(replace(envelope, signatures=(decoy, *envelope.signatures)), TYPE, KEY.public)
        == b"a payload"
    )


def test_more_than_sixteen_signatures_are_refused() -> None:
    signature = dsse.sign(TYPE, b"", KEY).signatures[0]
    Envelope(TYPE, b"", (signature,) * 16)
    with pytest.raises(InvalidInput) as caught:
        Envelope(TYPE, b"", (signature,) * 17)
    assert caught.value.reason is Reason.FIELD_INVALID


def test_an_envelope_is_not_made_without_a_key() -> None:
    with pytest.raises(InvalidInput) as caught:
        dsse.sign(TYPE, b"")
    assert caught.value.reason is Reason.SIGNATURE_MISSING
