from __future__ import annotations

import concurrent.futures
import errno
import subprocess
import sys
from pathlib import Path

import pytest

from node.crypto.rootkey import RootKey, create_identity
from node.errors import Fatal


def test_wraps_for_one_purpose(root: RootKey) -> None:
    wrapped = root.wrap(b"k" * 32, b"purpose")
    assert root.unwrap(wrapped, b"purpose") == b"k" * 32
    with pytest.raises(Fatal, match="damaged"):
        root.unwrap(wrapped, b"another")
    assert root.wrap(b"k" * 32, b"purpose") != wrapped


def test_a_wrong_root_key_is_named_and_nothing_is_guessed(root: RootKey) -> None:
    other = RootKey(b"o" * 32)
    with pytest.raises(Fatal, match=f"root key {root.id}, the mounted one is {other.id}") as caught:
        other.unwrap(root.wrap(b"k" * 32, b""), b"")
    assert "restore the Secret" in caught.value.hint


def test_missing_or_short(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="cannot be read") as caught:
        RootKey.load(tmp_path)
    assert "restore the Secret" in caught.value.hint
    (tmp_path / "root.key").write_bytes(b"short")
    with pytest.raises(Fatal, match="5 bytes, not 32"):
        RootKey.load(tmp_path)


@pytest.mark.parametrize("size", [0, 3, 4, 16, 63, 65])
def test_a_wrapped_key_of_a_wrong_size_is_not_taken_for_another_root_keys(root: RootKey, size: int) -> None:
    with pytest.raises(Fatal, match=f"has {size} bytes, not 64"):
        root.unwrap((root.wrap(b"k" * 32, b"") + b"x")[:size], b"")


def test_the_id_is_stable_and_tells_nothing_of_the_key() -> None:
    assert RootKey(b"k" * 32).id == RootKey(b"k" * 32).id != RootKey(b"o" * 32).id
    assert len(RootKey(b"k" * 32).id) == 8 and RootKey(b"k" * 32).id not in (b"k" * 32).hex()


def test_no_key_in_a_repr() -> None:
    assert "kkk" not in repr(RootKey(b"k" * 32)) and b"k".hex() * 3 not in repr(RootKey(b"k" * 32))


def test_an_identity_is_made_once(identity: Path) -> None:
    before = {p.name: p.read_bytes() for p in identity.iterdir()}
    assert create_identity(identity, "c1") is False
    assert {p.name: p.read_bytes() for p in identity.iterdir()} == before
    assert all(p.stat().st_mode & 0o077 == 0 for p in [identity, *identity.iterdir()])


def test_of_many_at_once_one_makes_it(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: create_identity(folder, "c1"), range(8)))
    assert made.count(True) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["identity"]
    assert len(list(folder.iterdir())) == 6


def test_of_many_processes_at_once_one_makes_it_and_all_use_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "identity"
    code = (
        "import sys; from pathlib import Path; from node.crypto.rootkey import RootKey, create_identity\n"
        "made = create_identity(Path(sys.argv[1]), 'c1'); print(made, RootKey.load(Path(sys.argv[1])).id)"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    answers = [process.communicate()[0].split() for process in started]
    assert sorted(made for made, _ in answers) == ["False", "False", "False", "True"]
    assert {key for _, key in answers} == {RootKey.load(folder).id}
    assert [path.name for path in folder.parent.iterdir()] == ["identity"]


def test_what_is_left_of_an_identity_is_kept_and_never_completed(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    folder.mkdir()
    (folder / "peer-ca.crt").write_text("all that is left")
    assert create_identity(folder, "c1") is False
    assert [path.name for path in folder.iterdir()] == ["peer-ca.crt"]
    with pytest.raises(Fatal, match="cannot be read"):
        RootKey.load(folder)


def test_an_empty_folder_is_taken_and_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert create_identity(tmp_path / "empty", "c1") is True
    (tmp_path / "file").write_text("x")
    with pytest.raises(Fatal, match="cannot write the identity folder") as caught:
        create_identity(tmp_path / "file", "c1")
    assert "does not exist yet" in caught.value.hint
    assert (tmp_path / "file").read_text() == "x"


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Fatal, match="No space left"):
        create_identity(tmp_path / "identity", "c1")
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_and_a_long_cluster_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert create_identity(Path("identity/"), "c" * 200) is True
    assert create_identity(Path("identity"), "c" * 200) is False
    RootKey.load(tmp_path / "identity")
