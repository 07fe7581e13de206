"""What is said when: patience, repetition, a limit on one look, a limit on what is remembered."""

from __future__ import annotations

from typing import Any

from statefulset.controller import notices
from statefulset.controller.notices import AT_ONCE, MOST, REPEAT, Notices, event, event_name
from statefulset.controller.trouble import Trouble


def trouble(pod: str = "web", reason: str = "RenderFailed", patience: float = 0.0, **more: Any) -> Trouble:
    return Trouble("shop", pod, f"uid-{pod}", reason, "why", patience, **more)


def say(memory: Notices, found: list[Trouble], now: float) -> list[Trouble]:
    """Everything that is due is said."""
    due = memory.due(found, now)
    for each in due:
        name = event_name(each)
        memory.said(each, name, memory.count(each, name) + 1, now)
    return due


def test_it_has_to_last_before_it_is_said():
    memory, one = Notices(), trouble(patience=45.0)
    assert say(memory, [one], 0.0) == []
    assert say(memory, [one], 44.0) == []
    assert say(memory, [one], 45.0) == [one]


def test_what_ended_and_comes_again_has_to_last_again():
    memory, one = Notices(), trouble(patience=45.0)
    for now in (0.0, 40.0):
        assert say(memory, [one], now) == []
    assert say(memory, [], 50.0) == [] and len(memory) == 0
    assert say(memory, [one], 60.0) == []
    assert say(memory, [one], 105.0) == [one]


def test_what_lasts_is_said_again_now_and_then_and_counted():
    memory, one = Notices(), trouble()
    said = [now for now in range(0, int(4 * REPEAT), 60) if say(memory, [one], float(now))]
    assert said == [0, 600, 1200, 1800]
    assert memory.count(one, event_name(one)) == 4
    assert memory.count(one, "another") == 0


def test_a_flood_is_said_in_turn_and_nobody_is_left_out():
    memory = Notices()
    found = [trouble(f"web-{number}") for number in range(3 * AT_ONCE + 7)]
    looks = [say(memory, found, 60.0 * look) for look in range(4)]
    assert [len(each) for each in looks] == [AT_ONCE, AT_ONCE, AT_ONCE, 7]
    assert {each.pod for look in looks for each in look} == {each.pod for each in found}


def test_memory_is_bounded():
    memory = Notices()
    memory.due((trouble(f"web-{number}") for number in range(MOST + 500)), 0.0)
    assert len(memory) == MOST


def test_a_pod_made_anew_under_its_name_is_another():
    memory, old = Notices(), trouble()
    assert say(memory, [old], 0.0) == [old]
    new = Trouble(old.namespace, old.pod, "uid-other", old.reason, old.message)
    assert say(memory, [new], 1.0) == [new]


def test_the_event():
    one = Trouble("shop", "p" * 253, "01234567-89ab", "SecretNotGranted", "x" * 5000)
    made = event(one, "2026-11-24T12:00:00Z")
    assert made["metadata"] == {"name": f"{'p' * 200}.secretnotgranted.01234567", "namespace": "shop"}
    assert len(made["metadata"]["name"]) <= 253 and len(made["message"]) == notices.MAX_MESSAGE
    assert made["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": "shop",
        "name": "p" * 253,
        "uid": "01234567-89ab",
    }
    assert (made["type"], made["count"], made["firstTimestamp"]) == ("Warning", 1, made["lastTimestamp"])
