"""Settings: defaults, then a TOML file, then the environment, then flags; the later one wins.

A daemon describes its settings as a frozen dataclass whose sections are frozen dataclasses. Field
types are `str`, `int`, `float`, `bool`, `Path`, or `str | None`; each section checks its own values
in `__post_init__`. Unknown keys are refused: a typing error must not silently mean the default.
"""

from __future__ import annotations

import dataclasses
import os
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from counterfoil.errors import CounterfoilError, InvalidInput, Reason

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[T]):
    """Settings, and for each `section.name` where its value came from."""

    value: T
    origins: Mapping[str, str]


def load(
    kind: type[T],
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    prefix: str = "",
    flags: Mapping[str, object] | None = None,
) -> Loaded[T]:
    """Loads settings of `kind`.

    `file`: TOML, must exist if given (FILE_MISSING). `environment`: variables named
    `PREFIX_SECTION_NAME`. `flags`: by `section.name`; None means not given. Raises InvalidInput
    (CONFIG_INVALID) naming the field.
    """
    values: dict[str, dict[str, object]] = {}
    origins: dict[str, str] = {}
    known = _fields(kind)
    sources = [
        (_from_file(file), file.name if file else ""),
        (_from_environment(os.environ if environment is None else environment, prefix, known), ""),
        ({k: v for k, v in (flags or {}).items() if v is not None}, "flag"),
    ]
    for source, origin in sources:
        for path, raw in source.items():
            if path not in known:
                raise _invalid(path, "there is no such setting")
            section, _, name = path.rpartition(".")
            values.setdefault(section, {})[name] = _convert(path, raw, known[path])
            origins[path] = origin or f"{prefix}_{path.replace('.', '_').upper()}"
    return Loaded(_build(kind, values), {path: origins.get(path, "default") for path in known})


def show(loaded: Loaded[Any]) -> list[tuple[str, object, str]]:
    """Every setting as (`section.name`, value, origin), for `config show`."""
    rows: list[tuple[str, object, str]] = []
    for path, origin in loaded.origins.items():
        value: object = loaded.value
        for name in path.split("."):
            value = getattr(value, name)
        rows.append((path, value, origin))
    return rows


def check_port(value: int, field: str) -> None:
    """A TCP port, or 0 for any."""
    if not 0 <= value <= 65_535:
        raise _invalid(field, "not a port")


def check_range(value: float, low: float, high: float, field: str) -> None:
    """A number from `low` to `high`."""
    if not low <= value <= high:
        raise _invalid(field, f"not between {low} and {high}")


def split_address(address: str, field: str) -> tuple[str, int]:
    """`host:port` as its parts."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdecimal():
        raise _invalid(field, "not host:port")
    check_port(int(port), field)
    return host, int(port)


def _invalid(field: str, message: str) -> InvalidInput:
    return InvalidInput(Reason.CONFIG_INVALID, message, field=field)


def _fields(kind: type[Any], above: str = "") -> dict[str, Any]:
    """The type of every setting by its path."""
    found: dict[str, Any] = {}
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        path = f"{above}{field.name}"
        if dataclasses.is_dataclass(hints[field.name]):
            found |= _fields(hints[field.name], f"{path}.")
        else:
            found[path] = hints[field.name]
    return found


def _from_file(file: Path | None) -> dict[str, object]:
    if file is None:
        return {}
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CounterfoilError(
            Reason.FILE_MISSING, f"{file.name} is missing", field=file.name
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(file.name, f"not TOML: {error}") from None
    flat: dict[str, object] = {}

    def walk(above: str, node: Mapping[str, object]) -> None:
        for name, value in node.items():
            if isinstance(value, dict):
                walk(f"{above}{name}.", value)
            else:
                flat[f"{above}{name}"] = value

    walk("", tree)
    return flat


def _from_environment(
    environment: Mapping[str, str], prefix: str, known: Mapping[str, Any]
) -> dict[str, object]:
    names = {f"{prefix}_{path.replace('.', '_').upper()}": path for path in known}
    found: dict[str, object] = {}
    for variable, text in environment.items():
        if prefix and variable.startswith(f"{prefix}_"):
            if variable not in names:
                raise _invalid(variable, "there is no such setting")
            found[names[variable]] = text
    return found


def _convert(path: str, raw: object, hint: Any) -> object:
    """A raw value as its setting's type; text is read as that type, anything else must be it."""
    options = typing.get_args(hint) or (hint,)
    kind = next(option for option in options if option is not type(None))
    if kind is bool and isinstance(raw, str):
        if raw.lower() in ("true", "1", "yes", "on"):
            return True
        if raw.lower() in ("false", "0", "no", "off"):
            return False
        raise _invalid(path, "not true or false")
    if kind is Path and isinstance(raw, str | Path):
        return Path(raw)
    if kind in (int, float) and isinstance(raw, str):
        try:
            return kind(raw)
        except ValueError:
            raise _invalid(path, f"not of type {kind.__name__}") from None
    if kind is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if type(raw) is not kind:
        raise _invalid(path, f"not of type {kind.__name__}")
    return raw


def _build(kind: type[T], values: Mapping[str, Mapping[str, object]], above: str = "") -> T:
    hints = typing.get_type_hints(kind)
    arguments: dict[str, object] = dict(values.get(above, {}))
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            inner = f"{above}.{field.name}" if above else field.name
            arguments[field.name] = _build(typing.cast("type[Any]", hint), values, inner)
    missing = [
        field.name
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        if field.name not in arguments
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise _invalid(f"{above}.{missing[0]}".lstrip("."), "is required")
    return kind(**arguments)
