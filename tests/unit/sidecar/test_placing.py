"""One Place at a time, and what was taken away before whatever takes its time."""

from __future__ import annotations

import pytest

from sidecar.actions import Log
from sidecar.inventory import Inventory, Resume
from sidecar.placing import HURRY, RENDER_AGAIN, REPLACE, Placing
from sidecar.wire import codes
from sidecar.wire import messages as m


class Pod:
    def __init__(self, **held):
        self.set = Inventory((), Resume({f"a/{name}": version for name, version in held.items()}, {}, 1))
        self.placing = Placing(self.set)
        self.index = 10

    def sync(self, now, *gone, **put):
        self.index += 1
        for name, version in put.items():
            assert self.set.secret(m.Secret(f"a/{name}", version, self.index, {"value": b"canary"}))
        for name in gone:
            self.set.gone(m.Gone(f"a/{name}", codes.NOT_GRANTED))
        self.set.commit(m.Sync(self.index, False, False))
        return self.placing.committed(now)


def said(actions):
    """Name -> version (0: goes) of the one Place among these, and whether it only removes."""
    [place] = [action for action in actions if not isinstance(action, Log)]
    return {name[2:]: change.version if change else 0 for name, change in place.changes.items()}, place.partial


def test_what_comes_while_one_is_under_way_is_the_next():
    pod = Pod(a=1)
    [first] = pod.sync(0, a=2)
    assert pod.sync(1, a=3) == [] == pod.sync(2, b=1)
    assert said(pod.placing.placed(3, first, "")) == ({"a": 3, "b": 1}, False)
    assert pod.set.placed_index == 11


@pytest.mark.parametrize("joined", [True, False])
def test_what_was_taken_away_does_not_wait_for_a_slow_template(joined):
    """Not if it came with what is rendered, and not if it came later."""
    pod = Pod(a=1, keep=1)
    if joined:
        [slow] = pod.sync(0, "a", keep=2)
    else:
        [slow] = pod.sync(-3, keep=2)
        assert pod.placing.due is None and pod.sync(0, "a") == []
    assert pod.placing.due == HURRY and pod.placing.woken(HURRY - 0.01) == []
    [part] = pod.placing.woken(HURRY)
    assert said([part]) == ({"a": 0}, True) and part.index == 1, "no SYNC is in place by it"
    assert pod.placing.due is None
    [again] = pod.placing.placed(HURRY, part, "")
    assert said([again]) == ({"keep": 2}, False) and "a/a" not in pod.set.held
    assert pod.placing.due is None and pod.placing.placed(9, again, "") == [] and not slow.partial


def test_nor_for_a_batch_that_failed_before():
    pod = Pod(a=1, keep=1)
    [whole] = pod.sync(0, keep=2)
    assert pod.placing.failed(5, whole, codes.RENDER_FAILED, "x: no") == []
    assert said(pod.sync(6, "a")) == ({"keep": 2, "a": 0}, False)
    assert said(pod.placing.woken(6 + HURRY)) == ({"a": 0}, True)


def test_removals_that_fail_are_not_tried_in_a_loop():
    pod = Pod(a=1, keep=1)
    pod.sync(0, "a", keep=2)
    [part] = pod.placing.woken(HURRY)
    [whole] = pod.placing.failed(1, part, codes.NO_SPACE, "")  # it was given up for the part
    assert not whole.partial and pod.placing.due == 1 + REPLACE, "nothing is hurried that has just failed"
    [part] = pod.placing.failed(2, whole, codes.NO_SPACE, "")
    assert part.partial and pod.placing.failed(2, part, codes.NO_SPACE, "") == []
    assert said(pod.placing.woken(2 + REPLACE)) == ({"a": 0, "keep": 2}, False)


def test_a_retry_that_falls_due_while_one_is_under_way_is_not_lost():
    pod = Pod(a=1)
    [whole] = pod.sync(0, "a", b=1)
    [part] = pod.placing.failed(0, whole, codes.NO_SPACE, "")
    assert pod.placing.woken(REPLACE) == []
    assert said(pod.placing.placed(REPLACE + 1, part, "")) == ({"b": 1}, False)


def test_what_is_wrong_is_said_until_it_is_not():
    pod = Pod(a=1)
    [whole] = pod.sync(0, "a", b=1)
    [part] = pod.placing.failed(0, whole, codes.RENDER_FAILED, "x: no")
    assert Log("y is removed") in pod.placing.placed(0, part, "y is removed")
    assert (pod.placing.error, pod.placing.render) == (codes.RENDER_FAILED, "x: no; y is removed")
    [whole] = pod.placing.woken(RENDER_AGAIN)
    pod.placing.failed(60, whole, codes.RENDER_FAILED, "x: " + "long " * 1000)
    assert len(pod.placing.render) == m.MAX_TEXT, "what the wire holds"
    [whole] = pod.placing.woken(60 + RENDER_AGAIN)
    assert pod.placing.placed(121, whole, "y is removed") == [], "said once"
    assert (pod.placing.error, pod.placing.render) == ("", "y is removed")


def test_a_reason_is_not_said_twice():
    pod = Pod(a=1)
    [whole] = pod.sync(0, "a")
    [part] = pod.placing.failed(0, whole, codes.RENDER_FAILED, "x: no")
    pod.placing.placed(0, part, "x: no; x is removed")
    assert pod.placing.render == "x: no; x is removed"
