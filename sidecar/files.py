"""Whole generations of files, swapped by one rename.

    <mount>/..g7/                 a generation: folder 0755, files 0444, ..manifest.json
    <mount>/..data -> ..g7        the one that counts; replaced by renaming ..data_tmp over it
    <mount>/db -> ..data/db       what the application opens, one link a secret (or an @namespace)

Why it exists: an application must never see half a file, or the password of one generation with the user name of
another. The layout is the kubelet's own, which programs that watch mounted secrets already know.
What it refuses to do: follow a link while writing, leave the mount, replace something it did not make, or give up the
old generation before the new one is whole. Only what was taken away is taken out of it, if there is no room for
another.

There is no fsync: on tmpfs it does nothing, since nothing outlives the pod; what must survive here is the death of
this process, and that keeps every completed system call. Two deliberate differences from the kubelet: new top-level
links are made before the swap (they dangle for a moment, which reads as "not there yet"), because that is the last
step that can run out of space and it must fail while the old set is still in force; and a generation is kept until
`sweep`, because a reader that has just resolved `..data` must still find what it pointed to.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sidecar import manifest as mf
from sidecar import rules, tree
from sidecar.actions import Place
from sidecar.manifest import Entry, Manifest
from sidecar.wire import codes, names
from sidecar.wire.messages import Secret

DATA: Final = "..data"
DATA_TMP: Final = "..data_tmp"
STATUS: Final = "..status.json"
STATUS_TMP: Final = "..status.json_tmp"
GENERATION: Final = re.compile(r"\.\.g([0-9]{1,18})")
MAX_KEPT: Final = 4
"""Superseded generations that may wait for sweep(); they share the files that did not change."""


class PlaceError(Exception):
    """The new generation is not in force; the old one is. `code` goes into the receipt.

    `damaged`: files of the current generation are missing, somebody else removed them; call recover().
    """

    def __init__(self, code: str, message: str, damaged: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.damaged = damaged


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered file of the next generation: `data`, or None for the one that is in force. `checksum`: what asked."""

    checksum: int
    data: bytes | None = field(default=None, repr=False)
    mode: int | None = None


def _same(one: Manifest, other: Manifest) -> bool:
    """Whether two generations hold the same."""
    held = (one.secrets, one.rendered, one.complete, one.store, one.former)
    return held == (other.secrets, other.rendered, other.complete, other.store, other.former)


class Files:
    """The mount of one pod. Not for two writers: hold volume.lock() first. Call recover() before anything else."""

    def __init__(self, root: str, file_mode: int = 0o444, file_group: int | None = None) -> None:
        self._root = root
        self._mode = file_mode
        self._group = file_group
        self._current = ""  # name of the generation in force
        self._last = 0  # highest generation number seen
        self._kept: list[str] = []  # superseded, not swept yet
        self.manifest = Manifest()
        self.changed = False  # whether the last swap changed what an application reads
        self.owed = False  # whether the application has still to be told of a change

    def recover(self) -> Manifest:
        """Understand what an earlier run left, and clean up after a crash at any point of it.

        Secrets whose files are not all there are left out, so that they are fetched again. Raises OSError if the
        mount cannot be read.
        """
        self._current = self._find_current()
        found = mf.load(self._path(self._current)) if self._current else None
        for entry in list(os.scandir(self._root)):
            match = GENERATION.fullmatch(entry.name)
            if match and entry.is_dir(follow_symlinks=False):
                self._last = max(self._last, int(match[1]))
                if entry.name != self._current:
                    tree.remove(entry.path)
            elif entry.name in (DATA_TMP, STATUS_TMP) or self._dangles(entry.name):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
        self._kept.clear()
        found = found or Manifest()
        whole = {
            name: entry
            for name, entry in found.secrets.items()
            if all(self._is_file(path) for _, path in entry.files())
        }
        rendered = {path: checksum for path, checksum in found.rendered.items() if self._is_file(path)}
        former = found.former & whole.keys()
        self.manifest = Manifest(found.index, found.complete, whole, found.floors, rendered, found.store, former)
        self.owed = bool(self._current) and self._is_file(mf.OWED)
        with contextlib.suppress(OSError, PlaceError):
            for _ in self._link_up(mf.tops(whole.values(), rendered), []):
                pass
        return self.manifest

    def apply(self, place: Place, own: str, rendered: Mapping[str, Rendered] | None = None, tell: bool = False) -> bool:
        """The next generation: what is in place, with the changes of `place` (None removes), and exactly these rendered
        files. True if a swap was needed.

        `own`: the pod's namespace, whose secrets lie at the top. `tell`: the application has to be told of a change;
        `owed` until settled(), also for the next process. Raises PlaceError; then nothing has changed.
        """
        for attempt in (1, 2):
            try:
                before = self._current
                for _ in self.steps(place, own, rendered, tell):
                    pass
                return self._current != before
            except PlaceError as error:
                if error.code != codes.NO_SPACE or not self._kept or attempt == 2:
                    raise
                self.sweep()
        raise AssertionError("the second attempt returns or raises")

    def remove(self, place: Place, own: str, rendered: Mapping[str, Rendered], tell: bool = False) -> bool:
        """apply() for removals alone, which do not wait for room. If there is none for a next generation they are taken
        out of the one in force, and at worst so are the rendered files that would have to be made anew.

        Raises PlaceError, but not for want of space.
        """
        anew = {path for path, each in rendered.items() if each.data is not None}
        stages: list[Set[str]] = [anew, self.manifest.rendered.keys() - rendered.keys()]
        taken = False
        while True:
            try:
                swapped = self.apply(place, own, rendered, tell)
            except PlaceError as error:
                if error.code != codes.NO_SPACE:
                    raise
                if not stages:
                    return True
            else:
                self.changed = self.changed or taken
                return swapped or taken
            self._take_out(place.changes, stages.pop(), tell)
            taken = self.changed = True

    def read(self, name: str) -> dict[str, bytes]:
        """The fields of a secret in force. Raises PlaceError."""
        found = {}
        for item, path in self.manifest.secrets[name].files():
            try:
                with open(f"{self._path(self._current)}/{path}", "rb") as file:
                    found[item] = file.read()
            except OSError as error:
                gone = error.errno == errno.ENOENT
                raise PlaceError(codes.WRITE_FAILED, f"{path} cannot be read: {error.strerror}", gone) from None
        return found

    def settled(self) -> None:
        """The application was told."""
        self.owed = False
        with contextlib.suppress(OSError):
            os.unlink(f"{self._path(self._current)}/{mf.OWED}")

    @property
    def superseded(self) -> str:
        """The generation that the last swap put out of force, "" once it is swept."""
        return self._kept[-1] if self._kept else ""

    def sweep(self, only: str = "") -> bool:
        """Remove one superseded generation, or all. A second after a swap no path walk begun before it is left. False
        if something of it cannot be removed."""
        swept = [name for name in self._kept if only in ("", name)]
        self._kept = [name for name in self._kept if name not in swept]
        left = [name for name in swept if not tree.remove(self._path(name))]
        return not left

    def write_status(self, status: Mapping[str, Any]) -> None:
        """Replace the status file; on a full volume in the room of the old one, since none is better than one that is
        not true any more. Raises OSError."""
        temporary, data = self._path(STATUS_TMP), json.dumps(status).encode("ascii") + b"\n"
        tree.discard(temporary)
        try:
            tree.write(temporary, data, 0o444)
        except OSError as error:
            if error.errno not in tree.FULL:
                raise
            tree.discard(temporary)
            tree.discard(self._path(STATUS))
            tree.write(temporary, data, 0o444)
        os.rename(temporary, self._path(STATUS))

    # -- one step a system call that matters: a crash after any of them leaves a whole generation in force -----------

    def steps(
        self, place: Place, own: str, rendered: Mapping[str, Rendered] | None = None, tell: bool = False
    ) -> Iterator[None]:
        """apply(), pausing after each change to the file system. Abandoning it is what a crash is."""
        rendered, changes, store = rendered or {}, place.changes, place.store
        try:
            target = self._target(changes, own, rendered)
        except ValueError:
            raise PlaceError(codes.WRITE_FAILED, "a secret or a field has a name that is no file name") from None
        sums = {path: each.checksum for path, each in rendered.items()}
        following = Manifest(
            place.index, place.complete, target, dict(place.floors), sums, store, place.former & target.keys()
        )
        # Another store counts from 1 again: what it says is new, whatever the version.
        another = self.manifest.former if store == self.manifest.store else self.manifest.secrets.keys()
        new = any(each.data is not None for each in rendered.values())
        new = new or any(changes[name] for name in changes.keys() & another)
        if self._current and not new and _same(following, self.manifest):
            return
        before = self.manifest
        changed = new or (before.secrets, before.rendered) != (following.secrets, following.rendered)
        owed = tell and (changed or self.owed)
        self._last += 1
        generation, made = f"..g{self._last}", [DATA_TMP]
        try:
            yield from self._build(generation, following, changes, rendered)
            if owed:
                tree.write(f"{self._path(generation)}/{mf.OWED}", b"", 0o444)
                yield
            yield from self._link_up(mf.tops(target.values(), rendered), made)
            os.symlink(generation, self._path(DATA_TMP))
            yield
            os.rename(self._path(DATA_TMP), self._path(DATA))
        except (OSError, PlaceError) as error:
            self._undo(generation, made)
            raise self._explain(error) from None
        # From here on the new generation is in force, and nothing may raise.
        if self._current:
            self._kept.append(self._current)
        self._current, self.manifest, self.changed, self.owed = generation, following, changed, owed
        yield
        yield from self._tidy(mf.tops(target.values(), rendered))

    def _target(self, changes: Mapping[str, Secret | None], own: str, rendered: Iterable[str]) -> dict[str, Entry]:
        """What the next generation holds. Raises ValueError for a name that may not become a path."""
        target = {name: Entry(e.version, mf.layout(name, own), e.fields) for name, e in self.manifest.secrets.items()}
        for name, secret in changes.items():
            if secret is None:
                target.pop(name, None)
                continue
            fields = tuple(sorted(secret.fields))
            if secret.name != name or not fields or not all(map(names.is_field, fields)):
                raise ValueError("not the fields of this secret")
            target[name] = Entry(secret.version, mf.layout(name, own), fields)
        for path in rendered:
            if not rules.is_path(path):
                raise ValueError("not a path below the mount")
        for name, entry in target.items():
            if any(mf.collide(path, mine) for path in rendered for _, mine in entry.files()):
                target[name] = replace(entry, path=f"{mf.RAW}/{entry.path}")
        return target

    def _build(
        self,
        generation: str,
        following: Manifest,
        changes: Mapping[str, Secret | None],
        rendered: Mapping[str, Rendered],
    ) -> Iterator[None]:
        base = self._path(generation)
        tree.folder(base, self._group)
        yield
        folders: set[str] = set()
        for name, entry in following.secrets.items():
            old = self.manifest.secrets.get(name)
            for item, path in entry.files():
                yield from self._parents(base, path, folders)
                secret = changes.get(name)
                if secret is None:
                    assert old is not None
                    self._carry_over(dict(old.files())[item], f"{base}/{path}")
                else:
                    tree.write(f"{base}/{path}", secret.fields[item], self._mode, self._group)
                yield
        for path, each in rendered.items():
            yield from self._parents(base, path, folders)
            if each.data is None:
                self._carry_over(path, f"{base}/{path}")
            else:
                tree.write(f"{base}/{path}", each.data, self._mode if each.mode is None else each.mode, self._group)
            yield
        tree.write(f"{base}/{mf.FILE}", mf.encode(following), 0o444)
        yield

    def _parents(self, base: str, path: str, made: set[str]) -> Iterator[None]:
        """The folders that `path` needs below `base`, those not in `made`."""
        parent = ""
        for part in path.split("/")[:-1]:
            parent = f"{parent}/{part}"
            if parent not in made:
                tree.folder(base + parent, self._group)
                made.add(parent)
                yield

    def _carry_over(self, path: str, new: str) -> None:
        try:
            tree.carry(f"{self._path(self._current)}/{path}", new, self._group)
        except FileNotFoundError:
            raise PlaceError(codes.WRITE_FAILED, f"{path} was removed by somebody else", damaged=True) from None

    def _link_up(self, tops: set[str], made: list[str]) -> Iterator[None]:
        """The top-level links that are not there yet; each made is added to `made`."""
        for top in sorted(tops):
            path = self._path(top)
            try:
                os.symlink(f"{DATA}/{top}", path)
            except FileExistsError:
                if not self._ours(top):
                    raise PlaceError(codes.WRITE_FAILED, f"{path} is in the way, and not of our making") from None
                continue
            made.append(top)
            yield

    def _take_out(self, gone: Iterable[str], paths: Set[str], tell: bool) -> None:
        """These secrets and rendered files, out of the generation in force. One by one, but nobody is to read them any
        more. The manifest there still names them: recover() believes only in what is there. Raises PlaceError."""
        self.sweep()
        base, secrets = self._path(self._current), dict(self.manifest.secrets)
        entries = [secrets.pop(name) for name in gone if name in secrets]
        try:
            for path in (*(path for entry in entries for _, path in entry.files()), *paths):
                tree.discard(f"{base}/{path}")
        except OSError as error:
            raise self._explain(error) from None
        for entry in entries:
            with contextlib.suppress(OSError):
                os.rmdir(f"{base}/{entry.path}")
        rendered = {path: each for path, each in self.manifest.rendered.items() if path not in paths}
        former = self.manifest.former & secrets.keys()
        self.manifest = replace(self.manifest, secrets=secrets, rendered=rendered, former=former)
        if tell and not self.owed:
            self.owed = True
            with contextlib.suppress(OSError):
                tree.write(f"{base}/{mf.OWED}", b"", 0o444)
        for _ in self._tidy(mf.tops(secrets.values(), rendered)):
            pass

    def _tidy(self, tops: set[str]) -> Iterator[None]:
        """Links to what is no longer there, and generations nobody can still be reading."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self._root):
                if name not in tops and self._ours(name):
                    os.unlink(self._path(name))
                    yield
        while len(self._kept) > MAX_KEPT:
            tree.remove(self._path(self._kept.pop(0)))
            yield

    def _undo(self, generation: str, made: list[str]) -> None:
        for name in made:
            with contextlib.suppress(OSError):
                os.unlink(self._path(name))
        tree.remove(self._path(generation))

    def _explain(self, error: OSError | PlaceError) -> PlaceError:
        if isinstance(error, PlaceError):
            return error
        if error.errno in tree.FULL:
            return PlaceError(codes.NO_SPACE, f"{self._root} is full ({error.strerror}); the files there are kept")
        return PlaceError(codes.WRITE_FAILED, f"{self._root} cannot be written: {error.strerror}")

    # -- looking -----------------------------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _find_current(self) -> str:
        with contextlib.suppress(OSError):
            name = os.readlink(self._path(DATA))
            if GENERATION.fullmatch(name) and not os.path.islink(self._path(name)):
                return name if os.path.isdir(self._path(name)) else ""
        return ""

    def _ours(self, name: str) -> bool:
        try:
            return os.readlink(self._path(name)) == f"{DATA}/{name}"
        except OSError:
            return False

    def _dangles(self, name: str) -> bool:
        return self._ours(name) and not os.path.lexists(f"{self._path(DATA)}/{name}")

    def _is_file(self, path: str) -> bool:
        """Whether the generation in force has it."""
        whole = f"{self._path(self._current)}/{path}"
        return os.path.isfile(whole) and not os.path.islink(whole)
