"""Made-up histories: each kind of harm is noticed, and what is harmless is not."""

from __future__ import annotations

import pytest

from statefulset.chaos import marks
from statefulset.chaos.judge import SWEPT, Pod

SET = "demo/set"
FIELDS = ("user", "password")


def fields(*numbers: int) -> list[bytes | None]:
    return [marks.content(f"{SET}/{field}", number) for field, number in zip(FIELDS, numbers, strict=True)]


@pytest.fixture
def pod() -> Pod:
    found = Pod("web", {SET: FIELDS})
    found.look(SET, fields(3, 3), 0.001, 10.0, 10.0)
    assert found.seen == {SET: [(3, 10.0)]} and not found.violations
    return found


def kinds(pod: Pod) -> list[str]:
    return [violation.kind for violation in pod.violations]


def test_what_is_whole_and_newer_is_fine(pod: Pod) -> None:
    for number in (3, 4, 9, 9):
        pod.look(SET, fields(number, number), 0.001, 11.0 + number, 30.0)
    assert kinds(pod) == []
    assert pod.seen[SET] == [(3, 10.0), (4, 15.0), (9, 20.0)]


def test_missing(pod: Pod) -> None:
    pod.look(SET, [fields(3, 3)[0], None], 0.001, 11.0, 11.0)
    pod.look(SET, [None, None], 0.001, 11.0, 11.0)
    pod.gone("..data", 12.0)
    assert kinds(pod) == ["missing"] * 3


def test_half_a_set_is_missing_even_the_first_time() -> None:
    pod = Pod("web", {SET: FIELDS})
    pod.look(SET, [None, None], 0.001, 1.0, 1.0)
    assert kinds(pod) == []
    pod.look(SET, [fields(1, 1)[0], None], 0.001, 1.0, 1.0)
    assert kinds(pod) == ["missing"]


def test_a_look_that_took_too_long_is_not_held_against_anybody(pod: Pod) -> None:
    pod.look(SET, [None, None], SWEPT * 2, 11.0, 11.0)
    assert kinds(pod) == [] and pod.discarded == 1


def test_a_slow_look_at_files_that_are_there_counts(pod: Pod) -> None:
    pod.look(SET, fields(4, 5), SWEPT * 2, 11.0, 11.0)
    assert kinds(pod) == ["mixed"]


def test_mixed(pod: Pod) -> None:
    pod.look(SET, fields(4, 5), 0.001, 11.0, 11.0)
    pod.look(SET, fields(5, 4), 0.001, 11.0, 11.0)
    assert kinds(pod) == ["mixed", "mixed"]


def test_older(pod: Pod) -> None:
    pod.look(SET, fields(2, 2), 0.001, 11.0, 11.0)
    assert kinds(pod) == ["older"]


@pytest.mark.parametrize("broken", range(6))
def test_torn(pod: Pod, broken: int) -> None:
    whole = fields(4, 4)
    data = whole[1]
    assert data is not None
    longer = marks.content(f"{SET}/password", 5)
    whole[1] = [b"", data[:-1], data + b"x", data[:20] + longer[20:], b"\0" * len(data), whole[0]][broken]
    pod.look(SET, whole, 0.001, 11.0, 11.0)
    assert kinds(pod) == ["torn"]


def test_the_bytes_of_another_file_are_torn_also_when_they_were_seen_there() -> None:
    known: dict[bytes, int] = {}
    first, second = Pod("a", {SET: ("user",)}, known), Pod("b", {SET: ("password",)}, known)
    first.look(SET, [marks.content(f"{SET}/user", 1)], 0.001, 1.0, 1.0)
    second.look(SET, [marks.content(f"{SET}/user", 1)], 0.001, 1.0, 1.0)
    assert kinds(first) == [] and kinds(second) == ["torn"]


@pytest.mark.parametrize("number", [1, 2, 77, 10_000])
def test_every_write_can_be_told(number: int) -> None:
    assert marks.number_of("demo/set/user", marks.content("demo/set/user", number)) == number
    with pytest.raises(marks.Wrong):
        marks.number_of("demo/set/use", marks.content("demo/set/user", number))
