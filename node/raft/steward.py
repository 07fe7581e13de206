"""What a leader changes in the membership by itself, one committed step at a time.

Why it exists: a wiped or replaced volume is a new member under an old name (membership.py); nobody should have to be
woken to let it in. `next_step` is pure: (configuration, who is here, who has caught up) -> the next configuration.
A scale-down takes the highest ordinals first and this leader last: it hands over, and the next one removes it.
What it refuses to do: let a member vote before it has caught up as a learner, or remove a voter when what remains
could not commit the removal.
"""

from __future__ import annotations

from collections.abc import Set

from node.raft.core import Core
from node.raft.membership import Config, name_of


def act(core: Core, configured: Set[str]) -> Config | None:
    """Leader: propose the next step if one is due; returns what was proposed. configured: names of SAFE_PEERS, which
    hold until the cluster's size has been decided through the log."""
    if not core.leading or core.config_index > core.commit_index:
        return None
    level = {m for m, p in core.progress.items() if p.match >= core.commit_index and p.transfer is None}
    config, own = core.config, core.member
    change = next_step(config, core.connected | {own}, level, config.wanted(configured), own)
    if change is None:
        return None
    if own in config.voters and own not in change.voters:
        core.transfer_leadership()
        return None
    return None if core.propose_config(change) else change


def next_step(
    config: Config, connected: Set[str], caught_up: Set[str], names: Set[str], own: str = ""
) -> Config | None:
    """The configuration to propose now.

    config: in force and committed. connected: member ids with a live connection, and this leader's own. caught_up:
    learners whose log is level with the leader's. names: pod names that belong to the cluster; voters under other
    names are retired, this leader's `own` last.
    """
    strangers = sorted(m for m in connected - config.members if name_of(m) in names)
    if strangers:
        here = strangers[0]
        others = {m for m in config.learners if name_of(m) != name_of(here)}
        return config.with_(learners=others | {here})
    for learner in sorted(set(config.learners) & caught_up & connected):
        replaced = {m for m in config.voters if name_of(m) == name_of(learner)}
        if not replaced:
            return config.with_(voters=set(config.voters) | {learner}, learners=set(config.learners) - {learner})
        remaining = set(config.voters) - {min(replaced)}
        if remaining and len(remaining & connected) >= len(remaining) // 2 + 1:
            return config.with_(voters=remaining)
    gone = [m for m in config.learners if name_of(m) not in names]
    if gone:
        return config.with_(learners=set(config.learners) - {gone[0]})
    return _retire(config, connected, names, own)


def _ordinal(member: str) -> tuple[int, str]:
    number = name_of(member).rpartition("-")[2]
    return (int(number) if number.isdecimal() else 0, member)


def _retire(config: Config, connected: Set[str], names: Set[str], own: str) -> Config | None:
    """Scale-down: voters whose name no longer belongs leave one at a time: those that are gone already first, then the
    highest ordinals, as a StatefulSet takes them, the leader last."""
    leaving = [m for m in config.voters if name_of(m) not in names]
    leaving.sort(key=_ordinal, reverse=True)
    leaving.sort(key=lambda member: (member in connected, member == own))
    for member in leaving:
        remaining = set(config.voters) - {member}
        if remaining and len(remaining & connected) >= len(remaining) // 2 + 1:
            return config.with_(voters=remaining)
    return None
