"""Crashes aimed at the moments between a promise and the disk, and disks that are full.

Why it exists: a node that speaks before its disk has come that far is found out only if it dies right then, which
random crashes hardly ever do. These lie in wait: they slow the disks down, watch what leaves, and strike just after.
A correct node loses nothing by it, since nothing leaves early. What it refuses to do: look into a node; it sees only
what is sent.
"""

from __future__ import annotations

from typing import Any

PROMISES = ("vote_response", "request_vote", "append_response")


def slow(node: Any, delay: float, lasting: float) -> None:
    """A disk that takes this long for a batch, for a while."""
    node.disk_delay = delay

    def recover() -> None:
        node.disk_delay = 0.001

    node.world.at(lasting, recover)


def after_a_promise(campaign: Any) -> float:
    """Slow disks, an election, and whoever promises something dies right after the message has left."""
    world, rng = campaign.world, campaign.world.rng
    kind, delay = rng.choice(PROMISES), rng.choice((0.02, 0.1))
    left = rng.randint(1, 2)

    def sent(node: Any, message: dict[str, Any]) -> None:
        nonlocal left
        if message["type"] == kind and message.get("granted", True) and left and node.up:
            left -= 1
            epoch = node.epoch
            world.at(
                rng.uniform(0.0001, 0.003), lambda: campaign.kill(node) if node.epoch == epoch and node.up else None
            )

    world.ambush = sent
    for node in world.nodes.values():
        slow(node, delay, 1.2)
    leader = world.leader()
    if kind != "append_response" and leader is not None:
        if rng.random() < 0.5:
            leader.core.transfer_leadership()
        else:
            campaign.kill(leader)

    def end() -> None:
        world.ambush = None

    world.at(1.2, end)
    return 1.2


def leader_with_those_who_heard(campaign: Any) -> float:
    """Only just enough followers hear the leader, whose disk is slow; then leader and listeners lose power together.
    The leader is back at once and decides with those who heard nothing."""
    world, rng = campaign.world, campaign.world.rng
    leader = world.leader()
    if leader is None:
        return 0.1
    voters = [n for n in world.nodes.values() if n.up and n is not leader and n.member in leader.core.config.voters]
    rng.shuffle(voters)
    listeners = voters[: leader.core.config.quorum - 1]
    deaf = voters[len(listeners) :]
    slow(leader, rng.choice((0.2, 0.4)), 0.6)
    pairs = [(leader.name, node.name) for node in deaf]
    world.faults.cut.update(pairs)

    def strike() -> None:
        world.faults.cut.difference_update(pairs)
        for node in (leader, *listeners):
            if node.up:
                campaign.kill(node, back=0.03 if node is leader else 1.5)

    world.at(rng.uniform(0.05, 0.18), strike)
    return 1.7


def full_disk(campaign: Any) -> float:
    """No room: records wait, snapshots fail. Room comes back after a while."""
    world, rng = campaign.world, campaign.world.rng
    node = campaign._leader_or_some()
    node.full = True

    def room() -> None:
        node.full = False

    world.at(rng.uniform(0.3, 2.5), room)
    world.counts["full disks"] = world.counts.get("full disks", 0) + 1
    return 0.5
