"""Actions are values: equal when they say the same, and silent about what they carry."""

from __future__ import annotations

import dataclasses

import pytest

from sidecar import actions
from sidecar.wire import messages as m


def test_actions_are_values():
    assert actions.Wait(1.0) == actions.Wait(1.0) != actions.Wait(None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        actions.Wait(1.0).seconds = 2.0


def test_no_repr_shows_a_value():
    place = actions.Place({"a/b": m.Secret("a/b", 1, 1, {"value": b"canary"})}, 1, True, {})
    assert "canary" not in repr(place)
    assert "canary" not in repr(actions.Send(m.Token("canary")))
