from __future__ import annotations

from node.delivery.heartbeat import LOOK
from node.delivery.limits import Limits
from node.delivery.roster import BUCKETS
from sidecar import session
from sidecar.wire import frames, messages


def test_a_greeting_ends_before_the_sidecar_gives_up():
    limits = Limits()
    assert limits.verifying + limits.behind < session.GREETING


def test_a_heartbeat_reaches_a_sidecar_before_it_calls_the_node_silent():
    assert Limits().heartbeat < session.SILENT * Limits().heartbeat
    assert 10 <= Limits().heartbeat * 1000 <= 60_000  # what a WELCOME may say


def test_the_largest_message_a_sidecar_may_send_is_within_its_effort():
    assert Limits().effort > frames.MAX_FRAME // 4096 + 3


def test_delays_are_within_what_the_wire_allows():
    assert Limits().avoid_ms <= messages.MAX_DELAY_MS and Limits().retry_ms * 1.5 <= messages.MAX_DELAY_MS


def test_time_is_looked_at_often_enough_for_a_window_to_take_effect_within_a_second():
    """One look may just have missed the moment, one may be late: both together stay within it."""
    assert 2 * LOOK * Limits().heartbeat / BUCKETS < 1.0
