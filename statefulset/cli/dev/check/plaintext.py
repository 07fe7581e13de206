"""Step g: no byte of a value outside memory, and a sidecar that stays small.

Why it exists: "encrypted at rest" is true if a search through everything that was written finds nothing.
What it refuses to do: believe a search that finds nothing anywhere: it must first find what it is shown.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from statefulset.cli.dev import folders
from statefulset.cli.dev.check.context import Context, Failed, Passed
from statefulset.cli.dev.check.refusals import values_in
from statefulset.cli.dev.programs import AUDIENCE
from statefulset.cli.errors import USAGE

SHORTEST: Final = 8
"""Bytes; anything shorter is found by chance."""
SLICE: Final = 48
SIDECAR_KIB: Final = 24 << 10
"""What a sidecar may have resident."""


def needles(value: bytes) -> set[bytes]:
    """What to search for: the bytes, hexadecimal, and base64 at each of its three alignments in both alphabets. Of a
    long value the beginning, the middle and the end."""
    if len(value) > 3 * SLICE:
        middle = len(value) // 2
        parts = (value[:SLICE], value[middle : middle + SLICE], value[-SLICE:])
        return {needle for part in parts for needle in needles(part)}
    out = {value, value.hex().encode(), value.hex().upper().encode()}
    for shift, skip in ((0, 0), (1, 2), (2, 3)):
        whole = (shift + len(value)) // 3 * 3 - shift  # up to here no character depends on what follows
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            out.add(encode(b"\0" * shift + value[:whole])[skip:])
    return out


def files_below(folders_: Iterable[Path]) -> Iterator[Path]:
    for folder in folders_:
        for base, _, names in os.walk(folder):
            yield from (path for name in names if (path := Path(base, name)).is_file() and not path.is_symlink())


def search(paths: Iterable[Path], wanted: set[bytes]) -> tuple[list[Path], int]:
    """The files that hold one of `wanted`, and how many bytes were searched."""
    found, searched = [], 0
    for path in paths:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # a segment that was just compacted away
        searched += len(data)
        if any(needle in data for needle in wanted):
            found.append(path)
    return found, searched


def nothing_at_rest(context: Context) -> Passed:
    """g: no value in any file that a node wrote, none in a log; a disk is refused; the sidecar is small."""
    wanted = {n for value in context.planted if len(value) >= SHORTEST for n in needles(value)}
    searched = _search(context, wanted)
    _disk_refused(context)
    resident = resident_kib(context.cluster.supervisor[context.web.process].pid)
    if not 0 < resident <= SIDECAR_KIB:
        raise Failed(f"a sidecar of at most {SIDECAR_KIB} KiB", f"{resident} KiB", [context.web.process])
    nodes = {name: resident_kib(context.cluster.node(name).pid) for name in context.cluster.names}
    count = sum(len(value) >= SHORTEST for value in context.planted)
    line = (
        f"{count} planted values: none in {searched / 1024:.0f} KiB of node data and logs (raw, hex, base64); a target "
        f"on disk is refused; the sidecar has {resident / 1024:.1f} MiB resident"
    )
    figures = {"planted": count, "searched_bytes": searched, "sidecar_kib": resident, "node_kib": nodes}
    return Passed(line, figures)


def _search(context: Context, wanted: set[bytes]) -> int:
    home = context.cluster.home
    control = home.logs / "control.log"
    control.write_bytes(b"x" + base64.b64encode(b"x" + context.planted[0]))
    if search([control], wanted)[0] != [control]:
        raise Failed("the search to find a value that was put there to be found", "it found nothing")
    control.unlink()
    data = [path for name in context.cluster.names for path in files_below([home.data / name])]
    for name in context.cluster.names:
        if not any(path.stat().st_size for path in files_below([home.data / name])):
            raise Failed(f"{name} to have written its log", "there is nothing in its folder", [name])
    found, searched = search([*data, *files_below([home.logs, home.identity, home.tokens, home.issuer])], wanted)
    if found:
        raise Failed("no value in any file of a node", f"found in {', '.join(map(str, found))}")
    printed = "".join(context.printed).encode("utf-8", "surrogateescape")
    if any(needle in printed for needle in wanted):
        raise Failed("no value in what `safe` prints", "one was printed")
    return searched


def _disk_refused(context: Context) -> None:
    """A sidecar whose target is not in memory writes nothing. Where all of this machine is memory, /proc is not."""
    cluster = context.cluster
    places = [cluster.home.data, Path(tempfile.gettempdir()), Path("/var/tmp"), Path.home()]  # noqa: S108
    disks = [place for place in places if place.is_dir() and folders.file_system(place) not in folders.MEMORY]
    target = (disks[0] if disks else Path("/proc")) / f"raftsafe-not-memory-{os.getpid()}"
    token = cluster.issuer.token("demo", "web", audience=AUDIENCE, pod="disk")
    done = cluster.init_sidecar("disk", token, target)
    written = values_in(target) if target.is_dir() else []
    if target.is_dir():
        for path in sorted(target.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        target.rmdir()
    if done.code != USAGE or "not in memory" not in done.err or written:
        seen = f"exit code {done.code}: {done.err.strip()}" + (f"; wrote {len(written)} files" if written else "")
        raise Failed(f"a sidecar to refuse {target}, which is no tmpfs, with code {USAGE}", seen)


def resident_kib(pid: int) -> int:
    """VmRSS; 0 if the kernel does not say."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return 0
