from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from statefulset.cli.dev import folders, processes
from statefulset.cli.dev.errors import DevError


@pytest.fixture
def memory() -> Path:
    return folders.find_memory(folders.candidates(os.environ))


def mounts(tmp_path: Path, kind: str) -> str:
    """A mountinfo in which the file system of `tmp_path` is a `kind`."""
    device = tmp_path.stat().st_dev
    file = tmp_path / "mountinfo"
    number = f"{os.major(device)}:{os.minor(device)}"
    file.write_text(f"36 35 0:999 / /x rw shared:1 - ext4 /dev/x rw\n37 35 {number} / /y rw master:1 - {kind} y rw\n")
    return str(file)


def test_the_kernel_is_believed_about_the_kind(memory: Path) -> None:
    assert folders.file_system(memory) in folders.MEMORY
    assert folders.file_system(Path("/proc")) == "proc"


def test_the_first_place_that_is_memory_is_taken(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert folders.find_memory([missing, tmp_path], mounts(tmp_path, "tmpfs")) == tmp_path
    assert folders.find_memory([tmp_path], mounts(tmp_path, "ramfs")) == tmp_path


def test_without_memory_each_place_is_named_with_its_reason(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(DevError) as caught:
        folders.find_memory([missing, tmp_path], mounts(tmp_path, "ext4"))
    assert caught.value.code == "no_tmpfs"
    assert f"{missing}: no such file or directory" in caught.value.message
    assert f"{tmp_path}: is ext4, not tmpfs" in caught.value.message


def test_too_little_room_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "ROOM", 1 << 62)
    with pytest.raises(DevError, match=f"^{tmp_path} has only [0-9]+ MiB free, [0-9]+ are needed: make") as caught:
        folders.find_memory([tmp_path], mounts(tmp_path, "tmpfs"))
    assert caught.value.code == "no_room"
    assert caught.value.message.endswith("set SAFE_DEV_MEMORY to another tmpfs")


def test_who_chose_the_place_is_told_of_the_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DevError, match=r"set SAFE_DEV_MEMORY to one, or unset it$"):
        folders.find_memory([tmp_path], mounts(tmp_path, "ext4"), chosen=True)
    monkeypatch.setattr(folders, "ROOM", 1 << 62)
    with pytest.raises(DevError, match=r"set SAFE_DEV_MEMORY to another tmpfs, or unset it$"):
        folders.find_memory([tmp_path], mounts(tmp_path, "tmpfs"), chosen=True)


def test_a_check_beside_a_dev_fits_the_shm_of_a_container() -> None:
    logs = 4 * processes.LOG_MAX
    assert logs < folders.ROOM
    assert 2 * folders.ROOM + logs <= 64 << 20


def test_where_it_looks() -> None:
    assert folders.candidates({}) == [Path("/dev/shm")]
    assert folders.candidates({"XDG_RUNTIME_DIR": "/run/user/7"}) == [Path("/dev/shm"), Path("/run/user/7")]
    assert folders.candidates({"XDG_RUNTIME_DIR": "relative"}) == [Path("/dev/shm")]
    assert folders.candidates({"SAFE_DEV_MEMORY": "/m", "XDG_RUNTIME_DIR": "/r"}) == [Path("/m")]


def test_a_claim_is_exclusive_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "home"
    first = folders.claim(path)
    assert path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(DevError, match=f"is running \\(process {os.getpid()}\\)") as caught:
        folders.claim(path)
    assert caught.value.code == "running"
    (path / "deep" / "er").mkdir(parents=True)
    (path / "deep" / "er" / "file").write_text("x")
    (path / "link").symlink_to("/etc/passwd")
    first.release()
    first.release()
    assert not path.exists()
    folders.claim(path).release()


def test_what_a_killed_run_left_is_cleaned_data_folder_included(tmp_path: Path) -> None:
    path = tmp_path / "home"
    source = (
        "import sys, pathlib\n"
        "from statefulset.cli.dev import folders\n"
        "claim = folders.claim(pathlib.Path(sys.argv[1]))\n"
        "data = claim.data_folder()\n"
        "(data / 'wal').write_text('x')\n"
        "(claim.path / 'mounts').mkdir()\n"
        "print(data, flush=True)\n"
        "import os; os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", source, str(path)], capture_output=True, text=True, check=False)
    data = Path(done.stdout.strip())
    assert data.name.startswith(folders.DATA_PREFIX)
    assert data.exists()
    claim = folders.claim(path)
    assert not data.exists()
    assert sorted(entry.name for entry in path.iterdir()) == ["pid"]
    claim.release()


def test_only_data_folders_are_removed_whatever_the_list_says(tmp_path: Path) -> None:
    path, precious = tmp_path / "home", tmp_path / "precious"
    path.mkdir()
    precious.mkdir()
    (path / "data-folder").write_text(f"{precious}\n/\n\n")
    folders.claim(path).release()
    assert precious.exists()


def test_something_else_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DevError, match="in the way"):
        folders.claim(tmp_path / "file")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(DevError, match="in the way"):
        folders.claim(tmp_path / "link")


def test_sweep_takes_what_nobody_holds(tmp_path: Path) -> None:
    held = folders.claim(tmp_path / "check-1", unique=True)
    (tmp_path / "check-2").mkdir()
    (tmp_path / "other").mkdir()
    folders.sweep(tmp_path, "check-")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check-1", "other"]
    held.release()


def test_descriptors_are_raised_to_what_is_allowed_and_no_further() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 128), hard))
        folders.check_descriptors(64)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 4096)
        with pytest.raises(DevError, match="ulimit -n") as caught:
            folders.check_descriptors(1 << 30)
        assert caught.value.code == "too_few_files"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
