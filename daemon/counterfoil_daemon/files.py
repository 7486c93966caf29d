"""Files that must not be lost, made in silence, or read by others."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from counterfoil.errors import CounterfoilError, Reason


def make_folder(path: Path) -> None:
    """Makes a folder that only its owner enters (0700), with its parents."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def durable_write(path: Path, data: bytes, *, mode: int = 0o600, replace: bool = False) -> None:
    """Writes a whole file or nothing, and returns when the disk has it.

    Raises ALREADY_EXISTS if the file is there and `replace` is not set.
    """
    if not replace and path.exists():
        raise CounterfoilError(
            Reason.ALREADY_EXISTS, f"{path.name} exists already", field=str(path.name)
        )
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            # A link, unlike a rename, fails if somebody was faster.
            os.link(temporary, path)
            temporary.unlink()
    except FileExistsError:
        raise CounterfoilError(
            Reason.ALREADY_EXISTS, f"{path.name} exists already", field=str(path.name)
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def require_file(path: Path) -> Path:
    """The path, if a file is there; else FILE_MISSING: a start never makes files in silence."""
    if not path.is_file():
        raise CounterfoilError(
            Reason.FILE_MISSING, f"{path.name} is missing in {path.parent.name}", field=path.name
        )
    return path


def read_secret(path: Path, size: int | None = None) -> bytes:
    """The bytes of a secret file; refused when group or others can read it or its size is off."""
    require_file(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise CounterfoilError(
            Reason.CONFIG_INVALID,
            f"{path.name} is open to others; make it 0600",
            field=path.name,
        )
    data = path.read_bytes()
    if size is not None and len(data) != size:
        raise CounterfoilError(
            Reason.CONFIG_INVALID, f"{path.name} is not {size} bytes", field=path.name
        )
    return data
