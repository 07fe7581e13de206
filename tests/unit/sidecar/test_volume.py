"""The mount: memory or nothing, and one writer."""

from __future__ import annotations

import os

import pytest

from sidecar import volume
from sidecar.settings import SettingsError


def test_memory_is_told_from_disk(memory):
    assert volume.file_system(str(memory)) == "tmpfs"
    assert volume.file_system("/proc") == "proc"


def test_the_device_number_decides(memory, tmp_path):
    device = os.stat(memory).st_dev
    line = f"36 35 {os.major(device)}:{os.minor(device)} / /other\\040place rw,noatime master:1 - ramfs none rw\n"
    mounts = tmp_path / "mountinfo"
    mounts.write_text("broken line\n36 35 0:9999 / /x rw - ext4 none rw\n" + line)
    assert volume.file_system(str(memory), str(mounts)) == "ramfs"
    mounts.write_text("")
    assert volume.file_system(str(memory), str(mounts)) == ""


def test_a_folder_in_memory_is_made(memory):
    volume.prepare(str(memory / "a" / "b"), allow_disk=False)
    assert (memory / "a" / "b").is_dir()


def test_a_disk_is_refused_and_left_alone():
    with pytest.raises(SettingsError, match="not in memory"):
        volume.prepare("/proc/raftsafe-test", allow_disk=False)


def test_a_disk_is_taken_when_told_so(tmp_path):
    volume.prepare(str(tmp_path / "x"), allow_disk=True)
    assert (tmp_path / "x").is_dir()


def test_a_file_is_no_folder(memory):
    (memory / "f").write_text("")
    for path in (memory / "f", memory / "f" / "g"):
        with pytest.raises(SettingsError):
            volume.prepare(str(path), allow_disk=True)


def test_a_group_is_tried_and_nothing_is_left(memory):
    (memory / "..status.json_tmp").write_text("of a process that was killed")
    volume.check_group(str(memory), os.getgid())
    assert list(memory.iterdir()) == []


def test_a_group_that_cannot_be_set_is_said(memory, monkeypatch):
    def refuse(descriptor, owner, group):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.raises(SettingsError, match=r"SAFE_FILE_GROUP 4242 .*Operation not permitted.*supplementalGroups"):
        volume.check_group(str(memory), 4242)
    assert list(memory.iterdir()) == []


def test_generations_of_another_user_are_refused(memory, monkeypatch):
    (memory / "..g7").mkdir()
    (memory / "..g8").symlink_to("/etc")
    (memory / "theirs").mkdir()
    volume.check_owner(str(memory))
    asked = []
    monkeypatch.setattr(os, "access", lambda path, _: asked.append(path))
    with pytest.raises(SettingsError, match=rf"written by user {os.getuid()}, .*runAsUser"):
        volume.check_owner(str(memory))
    assert asked == [str(memory / "..g7")]


def test_one_writer(memory):
    held = volume.lock(str(memory))
    with pytest.raises(SettingsError, match="another"):
        volume.lock(str(memory))
    os.close(held)
    os.close(volume.lock(str(memory)))
    assert list(memory.iterdir()) == []
