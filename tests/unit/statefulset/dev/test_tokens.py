from __future__ import annotations

from pathlib import Path

import pytest

from statefulset.cli.dev.tokens import TokenFiles, write


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_token_is_renewed_before_it_expires_and_not_sooner(tmp_path: Path) -> None:
    time, made = Time(), []

    def make(lifetime: float) -> str:
        made.append(lifetime)
        return f"token {len(made)}"

    files, path = TokenFiles(time), tmp_path / "token"
    files.add(path, 600, make)
    assert path.read_text() == "token 1"
    time.now += 479
    assert files.tick() == []
    time.now += 1
    assert files.tick() == [path]
    assert path.read_text() == "token 2"
    assert files.tick() == []
    assert made == [600, 600]


def test_after_a_long_sleep_one_token_is_made(tmp_path: Path) -> None:
    time = Time()
    files, path = TokenFiles(time), tmp_path / "token"
    files.add(path, 600, lambda _: str(time.now))
    time.now += 100_000
    assert files.tick() == [path]
    assert path.read_text() == "101000.0"
    assert files.tick() == []


def test_what_was_removed_is_left_alone(tmp_path: Path) -> None:
    time = Time()
    files, path = TokenFiles(time), tmp_path / "token"
    files.add(path, 10, lambda _: "x")
    files.remove(path)
    files.remove(path)
    path.unlink()
    time.now += 100
    assert files.tick() == []
    assert not path.exists()


def test_a_reader_has_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "token"
    write(path, "a" * 2000)
    with path.open() as open_before:
        write(path, "b")
        assert open_before.read() == "a" * 2000
    assert path.read_text() == "b"
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["token"]


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write(tmp_path / "gone" / "token", "x")
