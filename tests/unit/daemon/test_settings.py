"""Settings: later sources win, each value has an origin, and nothing unknown or untyped passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from counterfoil.errors import CounterfoilError, InvalidInput, Reason
from counterfoil_daemon.settings import (
    Loaded,
    check_port,
    check_range,
    load,
    show,
    split_address,
)


@dataclass(frozen=True, slots=True)
class Listen:
    port: int = 7443
    drain_seconds: float = 10.0
    reflection: bool = False

    def __post_init__(self) -> None:
        check_port(self.port, "listen.port")
        check_range(self.drain_seconds, 0, 600, "listen.drain_seconds")


@dataclass(frozen=True, slots=True)
class Store:
    path: Path = Path("gateway.db")
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    network: str
    listen: Listen = field(default_factory=Listen)
    store: Store = field(default_factory=Store)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text('network = "demo"\n[listen]\nport = 1000\ndrain_seconds = 3\n')
    return path


def loaded(
    file: Path | None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Loaded[Settings]:
    return load(Settings, file=file, environment=environment or {}, prefix="CF", flags=flags)


def refusal(path: Path, toml: str, environment: Mapping[str, str] | None = None) -> InvalidInput:
    path.write_text(toml)
    with pytest.raises(InvalidInput) as caught:
        loaded(path, environment)
    assert caught.value.reason is Reason.CONFIG_INVALID
    return caught.value


def test_what_no_source_names_keeps_its_default(file: Path) -> None:
    assert loaded(file).value.store == Store()


def test_a_file_beats_the_default(file: Path) -> None:
    assert loaded(file).value.listen == Listen(port=1000, drain_seconds=3.0)


def test_the_environment_beats_the_file(file: Path) -> None:
    assert loaded(file, {"CF_LISTEN_PORT": "2000"}).value.listen.port == 2000


def test_a_flag_beats_the_environment(file: Path) -> None:
    settings = loaded(file, {"CF_LISTEN_PORT": "2000"}, {"listen.port": 3000}).value
    assert settings.listen.port == 3000
    assert settings.listen.drain_seconds == 3.0


def test_a_flag_that_was_not_given_changes_nothing(file: Path) -> None:
    assert loaded(file, flags={"listen.port": None}).value.listen.port == 1000


def test_a_flag_for_a_setting_that_is_not_there_is_refused(file: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        loaded(file, flags={"listen.prot": 1})
    assert caught.value.field == "listen.prot"


def test_every_setting_is_shown_with_its_origin(file: Path) -> None:
    rows = show(
        loaded(file, {"CF_STORE_LABEL": "main"}, {"listen.reflection": True, "store.path": None})
    )
    assert {path: (value, origin) for path, value, origin in rows} == {
        "network": ("demo", "gateway.toml"),
        "listen.port": (1000, "gateway.toml"),
        "listen.drain_seconds": (3.0, "gateway.toml"),
        "listen.reflection": (True, "flag"),
        "store.path": (Path("gateway.db"), "default"),
        "store.label": ("main", "CF_STORE_LABEL"),
    }


@pytest.mark.parametrize(
    ("toml", "wrong"),
    [
        ('network = "x"\n[listen]\nprot = 1', "listen.prot"),
        ('network = "x"\n[lisen]\nport = 1', "lisen.port"),
        ('netwrok = "x"', "netwrok"),
        ('network = "x"\nlisten = 1', "listen"),
        ("[network.deep]\na = 1", "network.deep.a"),
    ],
)
def test_an_unknown_key_is_refused_by_name(tmp_path: Path, toml: str, wrong: str) -> None:
    assert refusal(tmp_path / "c.toml", toml).field == wrong


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("port = true", "listen.port"),
        ("port = 1.5", "listen.port"),
        ("port = [1]", "listen.port"),
        ('port = "many"', "listen.port"),
        ("reflection = 1", "listen.reflection"),
        ('reflection = "maybe"', "listen.reflection"),
        ("drain_seconds = true", "listen.drain_seconds"),
        ("drain_seconds = 1979-05-27", "listen.drain_seconds"),
    ],
)
def test_a_wrong_type_is_refused_by_name(tmp_path: Path, line: str, wrong: str) -> None:
    assert refusal(tmp_path / "c.toml", f'network = "x"\n[listen]\n{line}').field == wrong


@pytest.mark.parametrize(
    "line", ["port = 65536", "port = -1", "drain_seconds = 601", "drain_seconds = nan"]
)
def test_a_value_out_of_range_is_refused_by_name(tmp_path: Path, line: str) -> None:
    error = refusal(tmp_path / "c.toml", f'network = "x"\n[listen]\n{line}')
    assert error.field == f"listen.{line.split()[0]}"


def test_text_is_not_a_path_or_a_name_by_accident(tmp_path: Path) -> None:
    assert refusal(tmp_path / "c.toml", "network = 5").field == "network"
    assert refusal(tmp_path / "c.toml", 'network = "x"\n[store]\npath = 5').field == "store.path"


def test_a_required_setting_that_nobody_gives_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "c.toml", "").field == "network"


def test_a_missing_file_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(CounterfoilError) as caught:
        loaded(tmp_path / "none.toml")
    assert (caught.value.reason, caught.value.field) == (Reason.FILE_MISSING, "none.toml")


@pytest.mark.parametrize("data", [b"network = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_what_is_not_toml_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        loaded(path)
    assert (caught.value.reason, caught.value.field) == (Reason.CONFIG_INVALID, "c.toml")


def test_a_misspelt_variable_is_refused_and_foreign_ones_are_ignored(file: Path) -> None:
    assert loaded(file, {"PATH": "/bin", "CFX_LISTEN_PORT": "1"}).value.listen.port == 1000
    with pytest.raises(InvalidInput) as caught:
        loaded(file, {"CF_LISTEN_PROT": "1"})
    assert caught.value.field == "CF_LISTEN_PROT"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("ON", True), ("1", True), ("no", False), ("0", False)]
)
def test_switches_in_the_environment_read_as_people_write_them(
    file: Path, text: str, value: bool
) -> None:
    assert loaded(file, {"CF_LISTEN_REFLECTION": text}).value.listen.reflection is value


def test_the_environment_is_the_process_own_when_none_is_given(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CF_STORE_PATH", "elsewhere.db")
    settings = load(Settings, file=file, prefix="CF").value
    assert settings.store.path == Path("elsewhere.db")


def test_an_address_is_split_at_its_last_colon() -> None:
    assert split_address("127.0.0.1:7443", "listen") == ("127.0.0.1", 7443)
    assert split_address("localhost:0", "listen") == ("localhost", 0)


@pytest.mark.parametrize("address", ["", "host", ":1", "host:", "host:x", "host:65536", "host:-1"])
def test_what_is_not_an_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        split_address(address, "grpc_listen")
    assert (caught.value.reason, caught.value.field) == (Reason.CONFIG_INVALID, "grpc_listen")
