"""When the application is told: bursts, failures, and changes while one is being told."""

from __future__ import annotations

from sidecar.notifier import PATIENCE, Notifier
from sidecar.rules import Notify


def made(**options):
    return Notifier(Notify("signal", "HUP", "app", **options))


def attempt(notifier, now, error=""):
    notifier.begin()
    assert notifier.due is None, "one at a time"
    return notifier.done(now, error)


def test_nothing_happens_unasked():
    assert made().due is None


def test_a_burst_is_told_once_when_it_pauses():
    notifier = made(debounce=1.0)
    for now in (0.0, 0.5, 0.9):
        notifier.swapped(now)
    assert notifier.due == 1.9
    assert attempt(notifier, 2.0) and notifier.due is None
    assert (notifier.tally.notified, notifier.tally.failed, notifier.tally.error) == (1, 0, "")


def test_changes_that_never_pause_are_told_nevertheless():
    notifier = made(debounce=1.0)
    for step in range(100):
        notifier.swapped(step * 0.5)
    assert notifier.due == PATIENCE * 1.0


def test_a_change_while_one_is_being_told_is_told_next():
    notifier = made(debounce=1.0)
    notifier.swapped(0.0)
    notifier.begin()
    notifier.swapped(1.5)
    assert notifier.due is None
    notifier.done(9.0, "")
    assert notifier.due == 2.5, "and it is due already"


def test_failures_are_retried_with_growing_pauses_and_counted_at_the_end():
    notifier = made(retries=2)
    notifier.swapped(0.0)
    assert attempt(notifier, 1.0, "refused") and notifier.due == 1.5
    assert not attempt(notifier, 2.0, "refused"), "the same again is no news"
    assert notifier.due == 3.0
    assert attempt(notifier, 3.0, "refused") and notifier.due is None
    assert (notifier.tally.notified, notifier.tally.failed, notifier.tally.error) == (0, 1, "refused")


def test_a_retry_that_works_is_no_failure():
    notifier = made(retries=1)
    notifier.swapped(0.0)
    attempt(notifier, 1.0, "refused")
    assert attempt(notifier, 2.0)
    assert (notifier.tally.notified, notifier.tally.failed, notifier.tally.error) == (1, 0, "")


def test_a_new_change_starts_over():
    notifier = made(retries=1, debounce=0.5)
    notifier.swapped(0.0)
    attempt(notifier, 1.0, "refused")
    notifier.begin()
    notifier.swapped(1.6)
    notifier.done(2.0, "refused")
    assert notifier.due == 2.1 and notifier.tally.failed == 0
    attempt(notifier, 3.0, "refused")
    assert notifier.due == 3.5, "its own retry"


def test_without_retries_one_failure_is_one():
    notifier = made(retries=0)
    notifier.swapped(0.0)
    attempt(notifier, 1.0, "refused")
    assert notifier.due is None and notifier.tally.failed == 1
