"""What a leader changes in the membership by itself, one committed step at a time.

Why it exists: a wiped or replaced volume is a new member under an old name (membership.py); nobody should have to be
woken to let it in. Pure: (configuration, who is here, who has caught up) -> the next configuration, or none.
What it refuses to do: let a member vote before it has caught up as a learner, or remove a voter when what remains
could not commit the removal.
"""

from __future__ import annotations

from collections.abc import Set

from node.raft.membership import Config, name_of


def next_step(config: Config, connected: Set[str], caught_up: Set[str], names: Set[str]) -> Config | None:
    """The configuration to propose now.

    config: in force and committed. connected: member ids with a live connection, and this leader's own. caught_up:
    learners whose log is level with the leader's. names: pod names that belong to the cluster; voters under other
    names are retired.
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
    gone = [m for m in config.learners if name_of(m) not in names and m not in connected]
    if gone:
        return config.with_(learners=set(config.learners) - {gone[0]})
    return _retire(config, connected, names)


def _retire(config: Config, connected: Set[str], names: Set[str]) -> Config | None:
    """Scale-down: voters whose name no longer belongs leave, those that are gone already first, one at a time."""
    leaving = [m for m in config.voters if name_of(m) not in names]
    leaving.sort(key=lambda member: (member in connected, member), reverse=False)
    for member in leaving:
        remaining = set(config.voters) - {member}
        if remaining and len(remaining & connected) >= len(remaining) // 2 + 1:
            return config.with_(voters=remaining)
    return None
