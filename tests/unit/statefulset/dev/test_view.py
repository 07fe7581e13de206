from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console

from statefulset.cli.dev import view


def node(name: str, **other: Any) -> dict[str, Any]:
    base = {
        "node": name,
        "state": "follower",
        "leader": "safe-0",
        "term": 3,
        "commit_index": 41,
        "applied": 40,
        "quorum": True,
        "ready": True,
        "secrets": 2,
        "sidecars": 1,
    }
    return {**base, **other}


def report(**other: Any) -> dict[str, Any]:
    return {"node": "safe-1", "placed": {"demo/db": 7, "demo/api": 1}, "error": "", "stale": False, **other}


SNAPSHOT = view.Snapshot(
    nodes={"safe-0": node("safe-0", state="leader"), "safe-1": node("safe-1"), "safe-2": None},
    processes={"safe-0": "process 1", "safe-1": "process 2", "safe-2": "was ended by SIGKILL"},
    sidecars={"web": report(), "web-2": None},
    secrets=(
        {"name": "demo/db", "version": 7, "grants": ["demo/web"], "deleted": False},
        {"name": "x/y", "version": 1, "grants": [], "deleted": False},
    ),
    more=True,
)


def drawn(snapshot: view.Snapshot, width: int = 120) -> str:
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(view.picture(snapshot))
    return capture.get()


def test_the_picture_shows_nodes_leader_secrets_and_what_pods_hold() -> None:
    text = drawn(SNAPSHOT)
    for words in (
        "safe-0 leads in term 3",
        "does not answer",
        "was ended by SIGKILL",
        "demo/api@1, demo/db@7",
        "not connected; its files stay as they are",
        "nobody yet",
        "and more: safe list",
    ):
        assert words in text
    row = next(line for line in text.splitlines() if line.startswith("safe-1"))
    assert row.split() == ["safe-1", "follower", "3", "41", "40", "2", "1", "process", "2"]


def test_a_deleted_secret_is_marked() -> None:
    gone = {"name": "x/y", "version": 2, "grants": ["demo/web"], "deleted": True}
    text = drawn(dataclasses.replace(SNAPSHOT, secrets=(*SNAPSHOT.secrets, gone)))
    assert [line.split() for line in text.splitlines() if "deleted" in line] == [["x/y", "2", "deleted", "demo/web"]]


def test_long_names_hide_nothing_on_a_small_terminal() -> None:
    name = f"namespace/{'x' * 200}-password"
    many = {f"demo/{'y' * 100}{number}": number for number in range(40)}
    secrets = tuple(
        {"name": name, "version": number, "grants": [f"{name}{n}" for n in range(50)], "deleted": number % 2 == 1}
        for number in range(view.SHOWN)
    )
    lines = drawn(dataclasses.replace(SNAPSHOT, secrets=secrets, sidecars={"web": report(placed=many)}), 80)
    assert len(lines.splitlines()) <= 24, lines
    assert lines.count("namespace/xxxx…xxxx-password ") == view.SHOWN, lines
    assert lines.count("deleted") == view.SHOWN // 2
    assert "34 more" in " ".join(lines.split())
    assert "and more: safe list" in lines


def test_names_are_shortened_in_the_middle() -> None:
    assert view.shorten("abcdefgh", 8) == "abcdefgh"
    assert view.shorten("abcdefghi", 8) == "abcd…ghi"
    assert view.shorten("abcdefghi", 7) == "abc…ghi"


def test_an_empty_cluster_can_be_drawn() -> None:
    assert "no leader" in drawn(view.Snapshot({"safe-0": None}, {}, {}))


def test_without_quorum_nobody_leads_whatever_a_node_believes() -> None:
    lost = dataclasses.replace(SNAPSHOT, nodes={"safe-0": node("safe-0", state="leader", quorum=False, ready=False)})
    assert lost.leader is None
    assert "writes are refused" in view.headline(lost)
    assert view.node_row("safe-0", lost.nodes["safe-0"], "")[1] == "leader, not ready, stale"


def test_of_two_that_say_they_lead_the_later_term_counts() -> None:
    two = dataclasses.replace(
        SNAPSHOT, nodes={"a": node("a", state="leader", term=4), "b": node("b", state="leader", term=5)}
    )
    assert view.headline(two) == "b leads in term 5"


def test_markup_and_control_characters_are_shown_as_text() -> None:
    odd = dataclasses.replace(
        SNAPSHOT, sidecars={"[red]x[/red]": report(placed={"a/b": 1}, error="\x1b[2J", node="[bold]n")}
    )
    text = drawn(odd)
    assert "[red]x[/red]" in text
    assert "[bold]n" in text
    assert "\x1b" not in text


def test_lines_tell_what_changed_and_nothing_else() -> None:
    first = view.changes(None, SNAPSHOT)
    assert first[0] == "safe-0 leads in term 3"
    assert "web holds demo/api@1, demo/db@7 from safe-1" in first
    assert "web-2 is not connected; its files stay as they are" in first
    later = dataclasses.replace(SNAPSHOT, nodes={**SNAPSHOT.nodes, "safe-1": node("safe-1", commit_index=99)})
    assert view.changes(SNAPSHOT, later) == []
    moved = dataclasses.replace(
        SNAPSHOT, sidecars={"web": report(node="safe-0", stale=True, error="no_space"), "web-2": None}
    )
    assert view.changes(SNAPSHOT, moved) == ["web holds demo/api@1, demo/db@7 (no_space, stale) from safe-0"]
    away = dataclasses.replace(SNAPSHOT, sidecars={"web": None, "web-2": None})
    assert view.changes(SNAPSHOT, away) == ["web is not connected; its files stay as they are"]
    empty = dataclasses.replace(SNAPSHOT, sidecars={"web": report(placed={}), "web-2": None})
    assert view.changes(SNAPSHOT, empty) == ["web holds nothing yet from safe-1"]
