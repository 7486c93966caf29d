"""The ristretto255 group (RFC 9496): libsodium's operations through rbcl, with the checks added.

Left to itself, rbcl takes the identity for a valid point and lets `add` answer zeros when an
operand is not a point at all. Nothing here takes or returns the identity: in every protocol of
this network it can only come from a mistake or an attack.

A point is its 32 canonical bytes; a scalar is 32 bytes, little-endian, below the group's order.
"""

from __future__ import annotations

import contextlib
import os
import sys

import rbcl

from .errors import Reason, VerificationError

POINT_BYTES = 32
SCALAR_BYTES = 32
UNIFORM_BYTES = 64
"""Uniformly random bytes that a point or a scalar is derived from."""

ORDER = 2**252 + 27742317777372353535851937790883648493
"""The number of points."""

_IDENTITY = bytes(POINT_BYTES)
"""Also what libsodium leaves behind when it refuses an operand."""


def _remove_unpacked_library() -> None:
    """Removes the file that rbcl unpacked libsodium into when this process imported it.

    rbcl writes 2.8 MB to the temporary folder at each import, loads it and leaves it there. Once
    it is loaded the file is not needed. The name is the one that this process's rbcl recorded, so
    no other process's file is touched; systems that refuse to delete a loaded library keep theirs.
    """
    path = getattr(sys.modules.get("rbcl._sodium"), "lib_path", None)
    if isinstance(path, str):
        with contextlib.suppress(OSError):
            os.unlink(path)


_remove_unpacked_library()


def check_point(raw: bytes, field: str = "") -> bytes:
    """`raw`, if it is the canonical encoding of a point other than the identity.

    Raises VerificationError(POINT_INVALID).
    """
    if not isinstance(raw, bytes) or len(raw) != POINT_BYTES:
        raise _point_invalid(f"a point is {POINT_BYTES} bytes", field)
    if raw == _IDENTITY:
        raise _point_invalid("the identity is not accepted as a point", field)
    if not rbcl.crypto_core_ristretto255_is_valid_point(raw):
        raise _point_invalid("not the encoding of a point", field)
    return raw


def check_scalar(raw: bytes, field: str = "") -> bytes:
    """`raw`, if it is a scalar other than zero in canonical form.

    Raises VerificationError(KEY_INVALID); the message never holds the scalar.
    """
    if (
        not isinstance(raw, bytes)
        or len(raw) != SCALAR_BYTES
        or not 0 < int.from_bytes(raw, "little") < ORDER
    ):
        raise VerificationError(
            Reason.KEY_INVALID,
            f"a scalar is {SCALAR_BYTES} bytes, not zero and below the group's order",
            field=field,
        )
    return raw


def multiply(scalar: bytes, point: bytes) -> bytes:
    """`scalar` times `point`; both are checked."""
    check_scalar(scalar)
    if not isinstance(point, bytes) or len(point) != POINT_BYTES:
        raise _point_invalid(f"a point is {POINT_BYTES} bytes")
    try:
        # Decodes the point and refuses the identity as a result, so also as the operand: the
        # order is prime and the scalar is not zero.
        product: bytes = rbcl.crypto_scalarmult_ristretto255(scalar, point)
    except RuntimeError:
        raise _point_invalid("not the encoding of a point, or the identity") from None
    return product


def multiply_base(scalar: bytes) -> bytes:
    """`scalar` times the group's generator; the scalar is checked."""
    product: bytes = rbcl.crypto_scalarmult_ristretto255_base(check_scalar(scalar))
    return product


def add(left: bytes, right: bytes) -> bytes:
    """The sum of two points, which is not the identity; raises VerificationError(POINT_INVALID)."""
    _check_operands(left, right)
    return _check_result(rbcl.crypto_core_ristretto255_add(left, right))


def subtract(left: bytes, right: bytes) -> bytes:
    """`left` minus `right`, which is not the identity; raises VerificationError(POINT_INVALID)."""
    _check_operands(left, right)
    return _check_result(rbcl.crypto_core_ristretto255_sub(left, right))


def point_from_uniform(uniform: bytes) -> bytes:
    """The point that 64 uniform bytes map to: RFC 9496's one-way map."""
    _check_uniform(uniform)
    return _check_result(rbcl.crypto_core_ristretto255_from_hash(uniform))


def scalar_from_uniform(uniform: bytes) -> bytes:
    """64 uniform bytes, little-endian, modulo the order. Zero has no chance, and is refused."""
    _check_uniform(uniform)
    return check_scalar(rbcl.crypto_core_ristretto255_scalar_reduce(uniform))


def random_scalar() -> bytes:
    """A scalar from the operating system's randomness, never zero."""
    return check_scalar(rbcl.crypto_core_ristretto255_scalar_random())


def scalar_of(number: int) -> bytes:
    """An integer modulo the order, as a scalar; zero is refused."""
    return check_scalar((number % ORDER).to_bytes(SCALAR_BYTES, "little"))


def scalar_add(left: bytes, right: bytes) -> bytes:
    """The sum of two scalars; zero is refused."""
    check_scalar(left)
    check_scalar(right)
    return check_scalar(rbcl.crypto_core_ristretto255_scalar_add(left, right))


def scalar_subtract(left: bytes, right: bytes) -> bytes:
    """`left` minus `right`; zero is refused."""
    check_scalar(left)
    check_scalar(right)
    return check_scalar(rbcl.crypto_core_ristretto255_scalar_sub(left, right))


def scalar_multiply(left: bytes, right: bytes) -> bytes:
    """The product of two scalars."""
    check_scalar(left)
    check_scalar(right)
    return check_scalar(rbcl.crypto_core_ristretto255_scalar_mul(left, right))


def scalar_invert(scalar: bytes) -> bytes:
    """The scalar whose product with `scalar` is one."""
    inverse: bytes = rbcl.crypto_core_ristretto255_scalar_invert(check_scalar(scalar))
    return inverse


def _check_operands(left: bytes, right: bytes) -> None:
    # Undecodable operands show in the result (zeros); the identity as an operand would not.
    for point in (left, right):
        if not isinstance(point, bytes) or len(point) != POINT_BYTES or point == _IDENTITY:
            raise _point_invalid("an operand is no point, or the identity")


def _check_result(point: bytes) -> bytes:
    if point == _IDENTITY:
        raise _point_invalid("an operand is no point, or the result is the identity")
    return point


def _check_uniform(uniform: bytes) -> None:
    if not isinstance(uniform, bytes) or len(uniform) != UNIFORM_BYTES:
        raise _point_invalid(f"uniform input is {UNIFORM_BYTES} bytes")


def _point_invalid(message: str, field: str = "") -> VerificationError:
    return VerificationError(Reason.POINT_INVALID, message, field=field)
