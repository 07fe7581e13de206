"""Whether an audit log is whole: the chains in it, followed line by line.

Why it exists: node.chain links each line to the one before, and this is the other end of it: what is missing, changed,
made up or put elsewhere is found. Lines of several nodes and starts may be mixed, with each other and with other lines,
as `kubectl logs` prints them.
In a file each start names the last line before it, so a start that was taken out as a whole is found too.
What it refuses to do: call a log genuine without the key. Without it, it says only that nothing was lost on the way.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

LINK: Final = re.compile(
    r'(\{"event": .*, "chain": "([^"]+)", "seq": (\d{1,18}), "prev": "([0-9a-f]*)"), "mac": "([0-9a-f]+)"\}\s*$'
)
"""One audit line at the end of a line of text; the node writes its members in this order, the links last."""
DIGITS: Final = 32


class BrokenError(Exception):
    """The first break: `line` counts from 1, `why` is a sentence."""

    def __init__(self, line: int, chain: str, why: str) -> None:
        super().__init__(f"line {line}: chain {chain}: {why}")


class _BreakError(Exception):
    """Why, in a sentence."""


@dataclass(frozen=True)
class _Begin:
    """Of a chain: where it stands, whether it was written to a file, and the line that was the last one there."""

    line: int
    file: bool
    after: tuple[str, int, str] | None


@dataclass
class _Chain:
    hashes: list[str] = field(default_factory=list)
    """Of its lines, from `first` on."""
    first: int = 0
    key: bytes | None = None
    ended: bool = False
    begin: _Begin | None = None


@dataclass
class Found:
    """What is in a log without a break. `open`: chains without an end, of a node that still runs or was killed; where
    neither is so, somebody cut them off. `left_out`: lines the nodes say they had no room for. `other`: no audit lines.
    `begun_before`: chains whose beginning is not here. `linked`: starts whose line before is here; `unlinked`: those
    that name none, as on standard output and in a new file, or one that was rotated away."""

    lines: int = 0
    chains: int = 0
    open: int = 0
    left_out: int = 0
    repeated: int = 0
    other: int = 0
    begun_before: int = 0
    linked: int = 0
    unlinked: int = 0


def follow(lines: Iterable[str], keys: Sequence[bytes] = (), *, rotated: bool = False) -> Found:
    """Raises BrokenError at the first break. `keys`: with any, every line must be genuine under one of them. `rotated`:
    chains may begin anywhere, since older lines are elsewhere."""
    found, chains = Found(), dict[str, _Chain]()
    for number, line in enumerate(lines, 1):
        match = LINK.search(line)
        if match is None:
            found.other += 1
            continue
        name, seq = match[2], int(match[3])
        if name not in chains:
            if seq and not rotated:
                why = f"its lines 0 to {seq - 1} are missing; if they were rotated away, say --rotated"
                raise BrokenError(number, name, why)
            chains[name] = _Chain(first=seq)
        try:
            if seq == 0 and chains[name].begin is None:
                chains[name].begin = _begin(number, match[1])
            if _add(chains[name], seq, match, keys):
                found.lines += 1
                found.left_out += _left_out(match[1])
            else:
                found.repeated += 1
        except _BreakError as why:
            raise BrokenError(number, name, str(why)) from None
    found.chains = len(chains)
    found.open = sum(not chain.ended for chain in chains.values())
    found.begun_before = sum(chain.first > 0 for chain in chains.values())
    found.linked = _link(chains, rotated=rotated)
    found.unlinked = found.chains - found.begun_before - found.linked
    return found


def _begin(number: int, text: str) -> _Begin:
    """From the first line of a start. In a file it has `after`: null, or chain, number and hash of the line before."""
    try:
        line = json.loads(text + "}")
        after = line.get("after")
        place = None if after is None else (str(after["chain"]), int(after["seq"]), str(after["hash"]))
        return _Begin(number, "after" in line, place)
    except (ValueError, TypeError, LookupError, RecursionError):
        raise _BreakError("its first line is not what a node writes") from None


def _link(chains: Mapping[str, _Chain], *, rotated: bool) -> int:
    """How many starts are linked to the one before. Raises BrokenError where that is missing or another."""
    linked, followers = 0, dict[str, str]()
    nodes: set[str] = set()
    for name, chain in chains.items():
        node = name.rpartition(".")[0]
        if chain.begin is None or chain.begin.after is None:
            if chain.begin is None or chain.begin.file:
                nodes.add(node)
            continue
        before, seq, digest = chain.begin.after
        if before in chains:
            why = _end(before, chains[before], seq, digest)
            linked += 1
        elif rotated and node not in nodes:
            why = ""
        else:
            why = f"the start before it, chain {before}, is missing as a whole"
            why += "" if rotated else "; if it was rotated away, say --rotated"
        if not why and followers.setdefault(before, name) != name:
            why = f"it follows chain {before}, as chain {followers[before]} does: one of them was taken out of its file"
        if why:
            raise BrokenError(chain.begin.line, name, why)
        nodes.add(node)
    return linked


def _end(before: str, chain: _Chain, seq: int, digest: str) -> str:
    """Why the end of the chain before is not as it was when the next one began; "" if it is."""
    if seq >= chain.first + len(chain.hashes):
        return f"the end of the start before it is missing: chain {before} had lines up to {seq}"
    if seq < chain.first or chain.hashes[seq - chain.first] != digest:
        return f"it does not follow line {seq} of chain {before}: that was another one"
    return ""


def _add(chain: _Chain, seq: int, match: re.Match[str], keys: Sequence[bytes]) -> bool:
    """Whether the line is new: False for one that is here already, the very same. Raises _BreakError."""
    text, prev, mac = match[1], match[4], match[5]
    whole = hashlib.sha256(f'{text}, "mac": "{mac}"}}'.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
    due = chain.first + len(chain.hashes)
    if chain.first <= seq < due:
        if chain.hashes[seq - chain.first] != whole:
            raise _BreakError(f"there are two different lines {seq}")
        return False
    if seq != due:
        raise _BreakError(_missing(due, seq, chain.first))
    if chain.hashes and prev != chain.hashes[-1]:
        raise _BreakError(f"line {seq} does not follow line {seq - 1}: one of them was changed")
    if keys:
        chain.key = _genuine(text, mac, keys, chain)
        if chain.key is None:
            raise _BreakError(f"line {seq} is not genuine under the given key: changed, made up, or of another cluster")
    if chain.ended:
        raise _BreakError("there are lines after its end")
    chain.hashes.append(whole)
    chain.ended = text.startswith('{"event": "audit.end"')
    return True


def _left_out(text: str) -> int:
    try:
        return int(json.loads(text + "}").get("lines_left_out", 0)) if '"lines_left_out": ' in text else 0
    except (ValueError, TypeError, RecursionError):
        raise _BreakError("it is not JSON") from None


def _missing(due: int, seq: int, first: int) -> str:
    if seq < first:
        return f"line {seq} comes after line {first}"
    return f"line {due} is missing" if seq == due + 1 else f"lines {due} to {seq - 1} are missing"


def _genuine(text: str, mac: str, keys: Sequence[bytes], chain: _Chain) -> bytes | None:
    """The key under which the line is genuine: of one chain it is always the same."""
    for key in [chain.key] if chain.key is not None else keys:
        if hmac.compare_digest(
            hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:DIGITS], mac
        ):
            return key
    return None
