from __future__ import annotations

import random
import socket
from pathlib import Path

import pytest

from statefulset.cli.dev import ports
from statefulset.cli.dev.errors import DevError


def test_the_plan_is_the_documented_one() -> None:
    found = ports.plan(17400, 3)
    assert found.nodes[0] == ports.NodePorts(17400, 17401, 17402)
    assert found.nodes[2] == ports.NodePorts(17420, 17421, 17422)
    assert found.issuer == 18300
    assert len(found.all()) == len(set(found.all())) == 10


@pytest.mark.parametrize("base", [-1, 64636, 65535])
def test_a_base_without_room_is_refused(base: int) -> None:
    with pytest.raises(DevError, match="leaves no room"):
        ports.plan(base, 3)


def test_a_taken_port_is_named() -> None:
    free = ports.choose(3, random.Random())
    assert ports.taken(free) == []
    with socket.socket() as other:
        other.bind((ports.HOST, free.nodes[1].admin))
        other.listen(1)
        assert ports.taken(free) == [free.nodes[1].admin]
        with pytest.raises(DevError, match=f"port {free.nodes[1].admin} on 127.0.0.1 is in use") as caught:
            ports.settle(free.nodes[0].peer, 3, random.Random())
    assert caught.value.code == "port_in_use"
    assert caught.value.exit_code != 0
    assert ports.settle(free.nodes[0].peer, 3, random.Random()) == free


def test_chosen_ports_are_below_those_of_outgoing_connections(tmp_path: Path) -> None:
    source = tmp_path / "range"
    source.write_text("32768\t60999\n")
    for seed in range(20):
        assert max(ports.choose(5, random.Random(seed), source).all()) < 32768


@pytest.mark.parametrize("text", ["", "much\n", "1024 65535\n"])
def test_an_unusual_range_does_not_stop_the_choice(tmp_path: Path, text: str) -> None:
    source = tmp_path / "range"
    source.write_text(text)
    assert ports.choose(1, random.Random(1), source).nodes
    assert ports.choose(1, random.Random(1), tmp_path / "missing").nodes


def test_port_0_settles_on_free_ones() -> None:
    assert ports.taken(ports.settle(0, 7, random.Random())) == []
