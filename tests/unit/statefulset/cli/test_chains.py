"""What the node chains, followed: every kind of tampering against the node's own chain."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from node.chain import Chain, last
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


def starts(count: int = 4, node: str = "safe-0", end: bool = True) -> list[Lines]:
    """What `count` starts of a node write to one file."""
    out = list[Lines]()
    for number in range(count):
        chain = Chain(f"{node}.{number}", KEY)
        place = last("\n".join(line for lines in out for line in lines).encode())
        begin = {"event": "audit.begin", "to": "file", "after": None if place is None else dataclasses.asdict(place)}
        events = [begin, {"event": "x"}, {"event": "y"}, *([{"event": "audit.end"}] if end else [])]
        out.append([chain.add(json.dumps(event)) for event in events])
    return out


def joined(*lines: Lines) -> Lines:
    return [line for part in lines for line in part]


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("end", [True, False])
def test_a_start_that_was_taken_out_as_a_whole_shows(rotated: bool, end: bool) -> None:
    one, two, three, four = starts(end=end)
    found = follow(joined(one, two, three, four), [KEY], rotated=rotated)
    assert (found.chains, found.linked, found.unlinked) == (4, 3, 1)
    for without in ([one, three, four], [one, two, four], [one[2:], three] if rotated else [one, three]):
        with pytest.raises(BrokenError, match=r"chain safe-0\.[12], is missing as a whole"):
            follow(joined(*without), [KEY], rotated=rotated)
    # Those of another node and those on standard output say nothing about this file.
    other = joined(*starts(2, "safe-1"))
    assert follow(joined(other, chained(), one, two), [KEY], rotated=rotated).linked == 2


def test_the_oldest_starts_may_be_elsewhere_and_must_be_said_to_be() -> None:
    _, two, three, four = starts()
    assert follow(joined(two, three, four), [KEY], rotated=True).unlinked == 1
    assert follow(joined(two[2:], three), [KEY], rotated=True).linked == 1
    with pytest.raises(BrokenError, match=r"line 1: chain safe-0\.1: .* say --rotated"):
        follow(joined(two, three), [KEY])


def test_the_end_of_a_start_that_was_cut_off_or_is_another_shows() -> None:
    one, two, *_ = starts()
    with pytest.raises(BrokenError, match=r"line 4: chain safe-0\.1: the end of .* had lines up to 3"):
        follow(joined(one[:-1], two), [KEY])
    other = Chain("safe-0.0", KEY)
    same = [other.add(line[: line.index(', "chain": "safe')] + "}") for line in [*one[:3], one[2]]]
    with pytest.raises(BrokenError, match=r"does not follow line 3 of chain safe-0\.0"):
        follow(joined(same, two), [KEY])


def test_of_two_starts_after_the_same_one_a_log_held_only_one() -> None:
    one, two, *_ = starts(2)
    chain = Chain("safe-0.other", KEY)
    instead = [chain.add(line[: line.index(', "chain": "safe')] + "}") for line in two]
    with pytest.raises(BrokenError, match=r"as chain safe-0\.1 does"):
        follow(joined(one, two, instead), [KEY])


def test_a_first_line_that_no_node_writes_is_a_break() -> None:
    for after in ("5", '{"chain": "a"}', '{"chain": "a", "seq": "x", "hash": ""}', "[" * 100_000):
        line = Chain("safe-0.a", KEY).add(f'{{"event": "audit.begin", "after": {after}}}')
        with pytest.raises(BrokenError, match="not what a node writes"):
            follow([line], [KEY])


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
