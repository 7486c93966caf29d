"""The checked ristretto255 group: what rbcl would let pass is refused here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import rbcl

from counterfoil import group
from counterfoil.errors import Reason, VerificationError

IDENTITY = bytes(32)
GENERATOR = group.multiply_base(group.scalar_of(1))

# RFC 9496 appendix A.1: small multiples of the generator.
MULTIPLES = {
    1: "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    2: "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    3: "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
}

# RFC 9496 appendix A.2: one of each kind of invalid encoding.
INVALID_ENCODINGS = {
    "field element not reduced": "00" + "ff" * 31,
    "field element at its prime": "ed" + "ff" * 30 + "7f",
    "negative field element": "01" + "00" * 31,
    "negative field element, larger": "01" + "ff" * 30 + "7f",
    "non-square x squared": "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "negative x times y": "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
    "s minus one, so y zero": "ec" + "ff" * 30 + "7f",
}

NOT_POINTS = [
    pytest.param(IDENTITY, id="identity"),
    pytest.param(b"", id="empty"),
    pytest.param(GENERATOR[:31], id="short"),
    pytest.param(GENERATOR + b"\x00", id="long"),
    pytest.param(GENERATOR.hex(), id="text"),
    *(pytest.param(bytes.fromhex(raw), id=name) for name, raw in INVALID_ENCODINGS.items()),
]

NOT_SCALARS = [
    pytest.param(bytes(32), id="zero"),
    pytest.param(group.ORDER.to_bytes(32, "little"), id="order"),
    pytest.param((group.ORDER + 1).to_bytes(32, "little"), id="not reduced"),
    pytest.param(b"\xff" * 32, id="largest"),
    pytest.param(b"\x01", id="short"),
    pytest.param(b"\x01" + bytes(32), id="long"),
    pytest.param("1" * 32, id="text"),
]


def reason_of(call: Callable[..., object], *args: object) -> Reason:
    with pytest.raises(VerificationError) as caught:
        call(*args)
    return caught.value.reason


@pytest.mark.parametrize(("factor", "expected"), MULTIPLES.items())
def test_multiples_of_the_generator_are_those_of_rfc_9496(factor: int, expected: str) -> None:
    assert group.multiply_base(group.scalar_of(factor)).hex() == expected
    assert group.multiply(group.scalar_of(factor), GENERATOR).hex() == expected


@pytest.mark.parametrize("raw", NOT_POINTS)
def test_what_is_not_a_point_is_refused_everywhere(raw: bytes) -> None:
    assert reason_of(group.check_point, raw) is Reason.POINT_INVALID
    assert reason_of(group.multiply, group.scalar_of(7), raw) is Reason.POINT_INVALID
    for operation in (group.add, group.subtract):
        assert reason_of(operation, raw, GENERATOR) is Reason.POINT_INVALID
        assert reason_of(operation, GENERATOR, raw) is Reason.POINT_INVALID


@pytest.mark.parametrize("raw", NOT_SCALARS)
def test_what_is_not_a_scalar_is_refused_everywhere(raw: bytes) -> None:
    one = group.scalar_of(1)
    assert reason_of(group.check_scalar, raw) is Reason.KEY_INVALID
    assert reason_of(group.multiply, raw, GENERATOR) is Reason.KEY_INVALID
    assert reason_of(group.multiply_base, raw) is Reason.KEY_INVALID
    assert reason_of(group.scalar_invert, raw) is Reason.KEY_INVALID
    for operation in (group.scalar_add, group.scalar_subtract, group.scalar_multiply):
        assert reason_of(operation, raw, one) is Reason.KEY_INVALID
        assert reason_of(operation, one, raw) is Reason.KEY_INVALID


def test_a_refused_scalar_is_not_told() -> None:
    with pytest.raises(VerificationError) as caught:
        group.check_scalar(b"\xfe" * 32)
    assert "fe" * 4 not in repr(caught.value)
    assert (caught.value.expected, caught.value.actual) == ("", "")


def test_the_binding_alone_would_have_let_these_pass() -> None:
    # Should a later rbcl refuse them itself, the checks here can be thought over again.
    invalid = bytes.fromhex(INVALID_ENCODINGS["negative field element"])
    assert rbcl.crypto_core_ristretto255_is_valid_point(IDENTITY)
    assert rbcl.crypto_core_ristretto255_add(GENERATOR, invalid) == bytes(32)


def test_sums_that_cancel_out_are_refused() -> None:
    negative = group.multiply_base(group.scalar_of(-1))
    assert reason_of(group.add, GENERATOR, negative) is Reason.POINT_INVALID
    assert reason_of(group.subtract, GENERATOR, GENERATOR) is Reason.POINT_INVALID


def test_points_add_as_their_scalars_do() -> None:
    a, b = group.random_scalar(), group.random_scalar()
    left, right = group.multiply_base(a), group.multiply_base(b)
    assert group.add(left, right) == group.multiply_base(group.scalar_add(a, b))
    assert group.subtract(left, right) == group.multiply_base(group.scalar_subtract(a, b))
    assert group.multiply(a, right) == group.multiply_base(group.scalar_multiply(a, b))
    assert group.multiply(group.scalar_invert(a), left) == GENERATOR


def test_scalars_agree_with_integers() -> None:
    assert group.scalar_add(group.scalar_of(3), group.scalar_of(4)) == group.scalar_of(7)
    assert group.scalar_subtract(group.scalar_of(3), group.scalar_of(4)) == group.scalar_of(-1)
    assert group.scalar_multiply(group.scalar_of(3), group.scalar_of(4)) == group.scalar_of(12)
    assert group.scalar_of(group.ORDER + 5) == group.scalar_of(5)
    assert reason_of(group.scalar_of, group.ORDER) is Reason.KEY_INVALID


def test_uniform_bytes_become_points_and_scalars() -> None:
    uniform = bytes(range(64))
    assert group.check_point(group.point_from_uniform(uniform))
    expected = int.from_bytes(uniform, "little") % group.ORDER
    assert group.scalar_from_uniform(uniform) == expected.to_bytes(32, "little")
    assert reason_of(group.point_from_uniform, bytes(63)) is Reason.POINT_INVALID
    assert reason_of(group.scalar_from_uniform, bytes(65)) is Reason.POINT_INVALID


def test_importing_leaves_nothing_of_its_own_in_the_temporary_folder(tmp_path: Path) -> None:
    foreign = tmp_path / "tmpanother.so"
    foreign.write_bytes(b"another process's library")
    code = "from counterfoil import group; print(len(group.multiply_base(group.random_scalar())))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"TMPDIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "32"
    assert list(tmp_path.iterdir()) == [foreign]
