"""Files: whole or not at all, never overwritten or made by accident, secrets for the owner only."""

from __future__ import annotations

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from counterfoil.errors import CounterfoilError, Reason
from counterfoil_daemon.files import durable_write, make_folder, read_secret, require_file


def refusal(action: Callable[[], object]) -> CounterfoilError:
    with pytest.raises(CounterfoilError) as caught:
        action()
    return caught.value


def test_a_file_is_written_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "answer.key"
    durable_write(path, b"seed")
    assert path.read_bytes() == b"seed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_another_mode_is_taken_when_asked_for(tmp_path: Path) -> None:
    durable_write(tmp_path / "ca.pem", b"public", mode=0o644)
    assert stat.S_IMODE((tmp_path / "ca.pem").stat().st_mode) == 0o644


def test_nothing_but_the_file_is_left_in_the_folder(tmp_path: Path) -> None:
    durable_write(tmp_path / "a", b"1")
    durable_write(tmp_path / "a", b"2", replace=True)
    refusal(lambda: durable_write(tmp_path / "a", b"3"))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "record.key"
    durable_write(path, b"first")
    error = refusal(lambda: durable_write(path, b"second"))
    assert (error.reason, error.field) == (Reason.ALREADY_EXISTS, "record.key")
    assert path.read_bytes() == b"first"


def test_a_replaced_file_holds_the_new_bytes(tmp_path: Path) -> None:
    path = tmp_path / "client.pem"
    durable_write(path, b"a long first version")
    durable_write(path, b"short", replace=True)
    assert path.read_bytes() == b"short"


def test_of_many_writers_one_wins_and_its_bytes_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "once"
    versions = [bytes([number]) * 100_000 for number in range(8)]

    def attempt(data: bytes) -> str:
        try:
            durable_write(path, data)
        except CounterfoilError as error:
            return error.reason
        return "won"

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, versions))
    assert sorted(results) == ["ALREADY_EXISTS"] * 7 + ["won"]
    assert path.read_bytes() == versions[results.index("won")]


def test_a_missing_file_is_named_and_not_made(tmp_path: Path) -> None:
    error = refusal(lambda: require_file(tmp_path / "gateway.db"))
    assert (error.reason, error.field) == (Reason.FILE_MISSING, "gateway.db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_does_not_pass_for_a_file(tmp_path: Path) -> None:
    assert refusal(lambda: require_file(tmp_path)).reason is Reason.FILE_MISSING


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o610])
def test_a_secret_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "book.key"
    durable_write(path, bytes(32))
    path.chmod(mode)
    error = refusal(lambda: read_secret(path, 32))
    assert (error.reason, error.field) == (Reason.CONFIG_INVALID, "book.key")


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_of_its_owner_is_read(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "book.key"
    durable_write(path, b"s" * 32)
    path.chmod(mode)
    assert read_secret(path, 32) == b"s" * 32
    assert read_secret(path) == b"s" * 32


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_of_the_wrong_size_is_refused_without_its_bytes(tmp_path: Path, size: int) -> None:
    path = tmp_path / "book.key"
    durable_write(path, b"s" * size)
    error = refusal(lambda: read_secret(path, 32))
    assert error.reason is Reason.CONFIG_INVALID
    assert "ss" not in error.message


def test_a_missing_secret_is_missing_and_not_invalid(tmp_path: Path) -> None:
    assert refusal(lambda: read_secret(tmp_path / "x", 32)).reason is Reason.FILE_MISSING


def test_a_folder_is_made_with_its_parents_once_and_again(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
