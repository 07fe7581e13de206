"""Generations of files: what a reader, a crash and a full volume see."""

from __future__ import annotations

import errno
import os

import pytest

from sidecar import files as files_module
from sidecar import manifest as mf
from sidecar import tree as tree_module
from sidecar.actions import Place
from sidecar.files import Files, PlaceError, Rendered
from sidecar.wire import codes
from sidecar.wire.messages import Secret


def secret(name, version=1, **fields):
    return Secret(name, version, version, fields or {"value": b"v%d" % version})


def apply(files, *secrets, gone=(), complete=True, index=1):
    changes = {one.name: one for one in secrets} | dict.fromkeys(gone)
    return files.apply(Place(changes, index, complete, {}), "shop")


@pytest.fixture
def files(memory):
    made = Files(str(memory))
    made.recover()
    return made


def tree(root):
    """What an application sees: every file reachable through a name of the mount that is not hidden."""
    seen = {}
    for top in sorted(os.listdir(root)):
        if top.startswith("."):
            continue
        path = root / top
        for folder, _, names in os.walk(path):
            for name in names:
                seen[os.path.relpath(os.path.join(folder, name), root)] = (root / folder / name).read_bytes()
        if path.is_file():
            seen[top] = path.read_bytes()
    return seen


def test_layout_modes_and_links(files, memory):
    apply(files, secret("shop/db"), secret("shop/api", user=b"u", password=b"p"), secret("other/db", 2))
    assert tree(memory) == {"db": b"v1", "api/user": b"u", "api/password": b"p", "@other/db": b"v2"}
    assert os.readlink(memory / "db") == "..data/db" and os.readlink(memory / "@other") == "..data/@other"
    assert (memory / "db").stat().st_mode & 0o777 == 0o444
    assert (memory / "api").stat().st_mode & 0o777 == 0o755
    assert (memory / "..data").stat().st_mode & 0o777 == 0o755


def test_the_umask_has_no_say(files, memory):
    old = os.umask(0o077)
    try:
        apply(files, secret("shop/db"), secret("shop/api", k=b"x"))
    finally:
        os.umask(old)
    assert (memory / "db").stat().st_mode & 0o777 == 0o444
    assert (memory / "api").stat().st_mode & 0o777 == 0o755


def test_a_stricter_mode(memory):
    strict = Files(str(memory), 0o400)
    strict.recover()
    apply(strict, secret("shop/db"))
    assert (memory / "db").stat().st_mode & 0o777 == 0o400


def test_nothing_new_is_no_swap(files, memory):
    assert apply(files, secret("shop/db"))
    before = os.readlink(memory / "..data")
    assert not apply(files)
    assert not apply(files, secret("shop/db"))
    assert not apply(files, gone=["shop/never"])
    assert os.readlink(memory / "..data") == before


def test_an_empty_first_set_is_a_generation(files, memory):
    assert apply(files, complete=True)
    assert Files(str(memory)).recover().complete


def test_unchanged_secrets_are_the_same_file(files, memory):
    apply(files, secret("shop/db"), secret("shop/api"))
    before = (memory / "db").stat().st_ino
    apply(files, secret("shop/api", 2))
    assert (memory / "db").stat().st_ino == before and (memory / "api").read_bytes() == b"v2"


def test_a_link_that_is_not_allowed_becomes_a_copy(files, memory, monkeypatch):
    apply(files, secret("shop/db"))

    def forbidden(*_, **__):
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", forbidden)
    apply(files, secret("shop/api"))
    assert tree(memory) == {"db": b"v1", "api": b"v1"}


def test_plain_becomes_folder_and_back(files, memory):
    apply(files, secret("shop/db"))
    apply(files, secret("shop/db", 2, user=b"u", password=b"p"))
    assert tree(memory) == {"db/user": b"u", "db/password": b"p"}
    apply(files, secret("shop/db", 3))
    assert tree(memory) == {"db": b"v3"}


def test_removal(files, memory):
    apply(files, secret("shop/db"), secret("other/a"), secret("other/b"))
    apply(files, gone=["shop/db", "other/a"])
    assert tree(memory) == {"@other/b": b"v1"}
    apply(files, gone=["other/b"])
    assert tree(memory) == {} and not os.path.lexists(memory / "@other")


def test_a_superseded_generation_stays_until_it_is_swept(files, memory):
    apply(files, secret("shop/db"))
    old = (memory / "..data").resolve()
    apply(files, secret("shop/db", 2))
    assert (old / "db").read_bytes() == b"v1" and files.superseded == old.name
    files.sweep(old.name)
    assert not old.exists() and files.superseded == ""
    files.sweep(old.name)


def test_superseded_generations_are_bounded(files, memory):
    for version in range(1, 30):
        apply(files, secret("shop/db", version))
    assert len([name for name in os.listdir(memory) if name.startswith("..g")]) <= files_module.MAX_KEPT + 1
    files.sweep()
    assert len([name for name in os.listdir(memory) if name.startswith("..g")]) == 1


def test_a_new_process_understands_what_is_there(files, memory):
    files.apply(Place({"shop/db": secret("shop/db", 7)}, 42, True, {"shop/db": 7, "shop/old": 3}), "shop")
    found = Files(str(memory)).recover()
    assert (found.versions(), found.index, found.complete) == ({"shop/db": 7}, 42, True)
    assert found.floors == {"shop/db": 7, "shop/old": 3}
    assert b"v7" not in (memory / "..data" / "..manifest.json").read_bytes()


def test_leftovers_of_a_crash_are_removed_and_foreign_files_are_not(files, memory):
    apply(files, secret("shop/db"))
    (memory / "..g99").mkdir()
    (memory / "..g99" / "half").write_text("x")
    (memory / "..data_tmp").symlink_to("..g99")
    (memory / "..status.json_tmp").write_text("{")
    (memory / "late").symlink_to("..data/late")
    (memory / "readme").write_text("of somebody else")
    (memory / "link").symlink_to("/etc")
    again = Files(str(memory))
    again.recover()
    left = set(os.listdir(memory))
    assert left == {"..data", os.readlink(memory / "..data"), "db", "readme", "link"}
    apply(again, secret("shop/db", 2))
    assert int(os.readlink(memory / "..data").removeprefix("..g")) == 100


def test_a_lost_link_is_made_again(files, memory):
    apply(files, secret("shop/db"))
    (memory / "db").unlink()
    Files(str(memory)).recover()
    assert tree(memory) == {"db": b"v1"}


def test_a_lost_file_is_not_claimed_to_be_in_place(files, memory):
    apply(files, secret("shop/db"), secret("shop/api"))
    (memory / "..data" / "db").unlink()
    assert Files(str(memory)).recover().versions() == {"shop/api": 1}


def test_a_file_lost_while_running_is_noticed(files, memory):
    apply(files, secret("shop/db"), secret("shop/api"))
    (memory / "..data" / "db").unlink()
    with pytest.raises(PlaceError) as caught:
        apply(files, secret("shop/api", 2))
    assert caught.value.damaged
    assert files.recover().versions() == {"shop/api": 1}
    apply(files, secret("shop/api", 2), secret("shop/db"))
    assert tree(memory) == {"db": b"v1", "api": b"v2"}


@pytest.mark.parametrize("target", ["/", "nowhere", "..data_tmp", "../..", "/etc"])
def test_a_data_link_that_is_not_ours_is_not_followed(memory, target):
    (memory / "..data").symlink_to(target)
    files = Files(str(memory))
    assert files.recover().versions() == {}
    apply(files, secret("shop/db"))
    assert tree(memory) == {"db": b"v1"}


def test_a_generation_that_is_a_link_is_not_followed(memory, tmp_path):
    (tmp_path / "keep").write_text("x")
    (memory / "..g5").symlink_to(tmp_path)
    (memory / "..data").symlink_to("..g5")
    files = Files(str(memory))
    files.recover()
    apply(files, secret("shop/db"))
    files.sweep()
    assert (tmp_path / "keep").exists()


@pytest.mark.parametrize("name", ["shop/../x", "shop/..data", "../x", "shop/a/b", "/x", "shop/.x", "shop/x\0"])
def test_no_name_leaves_the_mount(files, memory, name):
    with pytest.raises(PlaceError):
        files.apply(Place({name: Secret(name, 1, 1, {"value": b"x"})}, 1, True, {}), "shop")
    with pytest.raises(PlaceError):
        files.apply(Place({"shop/db": Secret("shop/db", 1, 1, {"../x": b"x"})}, 1, True, {}), "shop")
    assert os.listdir(memory) == []


def test_what_is_in_the_way_is_not_replaced(files, memory):
    apply(files, secret("shop/api"))
    (memory / "db").write_text("of somebody else")
    with pytest.raises(PlaceError, match="in the way"):
        apply(files, secret("shop/api", 2), secret("shop/db"), secret("shop/aaa"))
    assert (memory / "db").read_text() == "of somebody else"
    assert (memory / "api").read_bytes() == b"v1"
    assert not os.path.lexists(memory / "aaa"), "nothing of the failed generation is left"


def calls(monkeypatch, through):
    """Whose calls the files are made by."""
    for module in (files_module, tree_module):
        monkeypatch.setattr(module, "os", through)


class Faulty:
    """The system's calls, of which the `at`th that changes something fails with `number`."""

    CALLS = ("open", "write", "mkdir", "symlink", "link", "rename", "chmod", "fchmod")

    def __init__(self, at, number, names=CALLS):
        self.left, self.number, self.names = at, number, names

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in self.names:
            return real

        def call(*arguments, **named):
            self.left -= 1
            if self.left == 0:
                raise OSError(self.number, os.strerror(self.number))
            return real(*arguments, **named)

        return call


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.ENOSPC, codes.NO_SPACE), (errno.EDQUOT, codes.NO_SPACE), (errno.EIO, codes.WRITE_FAILED)],
)
def test_whichever_call_fails_the_old_set_is_kept_and_the_rest_is_cleaned(files, memory, monkeypatch, number, code):
    apply(files, secret("shop/db"), secret("shop/api", k=b"1"))
    before = tree(memory)
    listing = set(os.listdir(memory))
    failures = 0
    for at in range(1, 60):
        calls(monkeypatch, Faulty(at, number))
        try:
            swapped = apply(files, secret("shop/db", 2), secret("shop/new", k=b"2"), secret("other/x"))
        except PlaceError as error:
            failures += 1
            assert error.code == code and not error.damaged
            assert tree(memory) == before and set(os.listdir(memory)) == listing
            assert files.manifest.versions() == {"shop/db": 1, "shop/api": 1}
        else:
            assert swapped
            break
        finally:
            calls(monkeypatch, os)
    assert failures > 15
    assert tree(memory) == {"db": b"v2", "api/k": b"1", "new/k": b"2", "@other/x": b"v1"}


def test_a_full_volume_is_swept_before_giving_up(files, memory, monkeypatch):
    for version in (1, 2, 3):
        apply(files, secret("shop/db", version))
    calls(monkeypatch, Faulty(3, errno.ENOSPC))
    assert apply(files, secret("shop/db", 4))
    calls(monkeypatch, os)
    assert tree(memory) == {"db": b"v4"}


class Full:
    """The system's calls on a volume with `room` pages left, and room for names. What is removed makes room."""

    def __init__(self, room=0):
        self.room = room

    def __getattr__(self, name):
        return getattr(os, name)

    def write(self, descriptor, data):
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= 1
        return os.write(descriptor, data)

    def unlink(self, path):
        found = os.lstat(path)
        os.unlink(path)
        self.room += found.st_nlink == 1 and found.st_size > 0 and not os.path.islink(path)


@pytest.mark.parametrize("lost", [0, 2, 9])
def test_what_is_taken_away_goes_though_the_volume_is_full_to_the_last_page(files, memory, monkeypatch, lost):
    """`lost`: pages that somebody else takes as soon as they are free."""
    before = {
        "db.env": Rendered(1, b"DB=v1\n"),
        "all.env": Rendered(2, b"API=v1\nDB=v1\n"),
        "api.env": Rendered(3, b"A"),
    }
    changes = {one.name: one for one in (secret("shop/db"), secret("shop/api"), secret("other/x", user=b"u"))}
    floors = dict.fromkeys(changes, 1)
    files.apply(Place(changes, 1, True, floors), "shop", before)
    after = {"all.env": Rendered(2, b"API=v1\n"), "api.env": Rendered(3)}
    calls(monkeypatch, Full(-lost))
    removals = Place({"shop/db": None, "other/x": None}, 1, True, floors, partial=True)
    with pytest.raises(PlaceError):
        files.apply(removals, "shop", after)
    assert tree(memory)["db"] == b"v1", "as any other change"
    assert files.remove(removals, "shop", after, tell=True)
    assert files.changed and files.owed
    left = {"api": b"v1", "api.env": b"A", **({} if lost == 9 else {"all.env": b"API=v1\n"})}
    assert tree(memory) == left
    files.sweep()
    everything = [path.read_bytes() for path in memory.rglob("*") if path.is_file() and path.name != mf.FILE]
    assert not any(b"DB" in data or data == b"u" for data in everything), "in no generation"
    calls(monkeypatch, os)
    again = Files(str(memory))
    assert again.recover().versions() == {"shop/api": 1} == files.manifest.versions() and again.owed
    assert again.manifest.floors == floors and again.manifest.rendered.keys() == files.manifest.rendered.keys()
    assert again.apply(Place({}, 2, True, floors), "shop", {**after, "all.env": Rendered(2, b"API=v1\n")})
    assert tree(memory) == {**left, "all.env": b"API=v1\n"}, "whole again when there is room"


def test_what_the_application_has_to_be_told_outlives_the_process(files, memory):
    def place(version, told=True, index=1):
        changes = {"shop/db": secret("shop/db", version)}
        return files.apply(Place(changes, index, True, {}), "shop", tell=told)

    place(1, told=False)
    assert not files.owed
    place(2)
    assert files.owed
    files = Files(str(memory))
    files.recover()
    assert files.owed, "known after a restart"
    files.apply(Place({}, 2, False, {}), "shop", tell=True)
    assert files.owed, "also if a generation follows that changes nothing to read"
    files.settled()
    again = Files(str(memory))
    again.recover()
    assert not files.owed and not again.owed
    again.settled()
    assert not again.apply(Place({}, 3, False, {}), "shop", tell=True) and not again.owed


def test_a_generation_that_cannot_be_removed_is_said(files, memory, monkeypatch):
    apply(files, secret("shop/db"))
    apply(files, secret("shop/db", 2))
    monkeypatch.setattr(tree_module, "os", Faulty(1, errno.EACCES, ("rmdir",)))
    assert not files.sweep()


def test_the_status_file_takes_the_room_of_the_old_one_if_there_is_no_other(files, memory, monkeypatch):
    files.write_status({"a": 1})
    calls(monkeypatch, Full())
    files.write_status({"a": 2})
    assert (memory / "..status.json").read_text() == '{"a": 2}\n'
    calls(monkeypatch, Full(-1))
    with pytest.raises(OSError, match="No space"):
        files.write_status({"a": 3})
    assert not (memory / "..status.json").exists(), "none is better than one that is not true"


def test_the_status_file_is_replaced_whole(files, memory):
    files.write_status({"a": 1})
    files.write_status({"a": 2})
    assert (memory / "..status.json").read_text() == '{"a": 2}\n'
    assert os.listdir(memory) == ["..status.json"]


def test_another_stores_value_is_written_also_if_its_version_is_in_place(files, memory):
    one, two = secret("shop/db"), Secret("shop/db", 1, 1, {"value": b"another"})
    assert files.apply(Place({"shop/db": one, "shop/api": secret("shop/api")}, 5, True, {}, store="one"), "shop")
    assert files.apply(Place({"shop/db": two}, 1, True, {}, False, "two", frozenset({"shop/api"})), "shop")
    assert files.changed and tree(memory) == {"db": b"another", "api": b"v1"}
    again = Files(str(memory))
    found = again.recover()
    assert (found.store, found.former, found.index) == ("two", {"shop/api"}, 1)
    own = Place({"shop/api": secret("shop/api", 1, value=b"its own")}, 2, True, {}, store="two")
    assert again.apply(own, "shop")
    assert again.changed and tree(memory) == {"db": b"another", "api": b"its own"} and not again.manifest.former
    assert not again.apply(Place({"shop/api": secret("shop/api")}, 2, True, {}, store="two"), "shop")
