"""What the node chains, followed: every kind of tampering against the node's own chain."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from node.chain import Chain
from statefulset.cli.chains import BrokenError, follow

KEY, OTHER = b"k" * 32, b"o" * 32
Lines = list[str]


def chained(name: str = "safe-0.a", count: int = 8, key: bytes = KEY, end: bool = True) -> Lines:
    chain = Chain(name, key)
    events = ["audit.begin", *(f"admin.secret.put{number}" for number in range(count)), *(["audit.end"] if end else [])]
    return [chain.add(json.dumps({"event": event, "peer": '", "chain": "x'})) for event in events]


def test_a_whole_log() -> None:
    found = follow(chained(), [KEY])
    assert (found.lines, found.chains, found.open, found.other) == (10, 1, 0, 0)
    assert follow(chained(end=False)).open == 1


def test_mixed_as_kubectl_prints_it() -> None:
    one, two = chained("safe-0.a"), chained("safe-1.b", 5, OTHER)
    mixed, both = Lines(), [list(one), list(two)]
    seeded = random.Random(5)
    while any(both):
        source = seeded.choice([lines for lines in both if lines])
        mixed += [f"[pod/safe-0/node] 2026-01-01T00:00:00Z {source.pop(0)}\r\n", "INFO node serving {x}\n"]
    found = follow(mixed, [OTHER, KEY])
    assert (found.chains, found.lines, found.other) == (2, 17, 17)


def cut(lines: Lines, *numbers: int) -> Lines:
    return [line for number, line in enumerate(lines) if number not in numbers]


def changed(lines: Lines) -> Lines:
    return [line.replace("put3", "put9") for line in lines]


def forged(lines: Lines) -> Lines:
    """By somebody who can compute hashes and has no key: all later lines are made anew."""
    chain = Chain("safe-0.a", OTHER)
    return [chain.add(line[: line.index(', "chain": "safe')] + "}") for line in cut(lines, 4)]


TAMPERED: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "one taken away": (lambda lines: cut(lines, 4), "line 4 is missing"),
    "several taken away": (lambda lines: cut(lines, 4, 5, 6), "lines 4 to 6 are missing"),
    "the beginning taken away": (lambda lines: cut(lines, 0), "lines 0 to 0 are missing"),
    "one changed": (changed, "not genuine"),
    "two exchanged": (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], "line 3 is missing"),
    "hashes computed anew": (forged, "not genuine"),
    "one put after the end": (lambda lines: [*lines, *_after(lines)], "lines after its end"),
    "another in place of a repeated one": (lambda lines: [*lines, changed(lines)[4]], "two different lines 4"),
}


def _after(lines: Lines) -> Lines:
    chain = Chain("safe-0.a", KEY)
    return [chain.add(line[: line.index(', "chain": "safe')] + "}") for line in [*lines, lines[1]]][-1:]


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_shows(name: str) -> None:
    tamper, why = TAMPERED[name]
    with pytest.raises(BrokenError, match=why):
        follow(tamper(chained()), [KEY])


def test_without_a_key_what_was_changed_shows_and_what_was_computed_anew_does_not() -> None:
    with pytest.raises(BrokenError, match="does not follow"):
        follow(changed(chained()))
    assert follow(forged(chained())).lines == 9


def test_a_log_whose_beginning_was_rotated_away_and_lines_that_came_twice() -> None:
    lines = chained()
    found = follow([*lines[3:], *lines[5:7]], [KEY], rotated=True)
    assert (found.begun_before, found.lines, found.repeated) == (1, 7, 2)


def test_the_command(safe, tmp_path: Path) -> None:
    log, key = tmp_path / "audit.log", tmp_path / "key"
    log.write_text("\n".join(chained()) + "\n")
    key.write_text(KEY.hex() + "\n")
    done = safe("audit", "verify", str(log), "--key", str(key))
    assert done.code == 0 and done.text.startswith("ok: 10 audit lines in 1 chains"), done.error
    assert "genuine" in done.text
    piped = safe("audit", "verify", "-", "--json", stdin=log.read_bytes())
    assert piped.code == 0 and json.loads(piped.text)["genuine"] is False
    log.write_text("\n".join(cut(chained(), 4)))
    broken = safe("audit", "verify", str(log))
    assert broken.code == 1 and "line 5: chain safe-0.a: line 4 is missing" in broken.error
    assert safe("audit", "verify", "-", stdin=b"nothing\n").code == 1
    key.write_text("no key")
    assert safe("audit", "verify", str(log), "--key", str(key)).code == 2
