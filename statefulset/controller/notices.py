"""Which troubles are to be said now, and the Event that says one.

Why it exists: a hundred pods with one cause must not become a flood, and trouble that lasts must not be forgotten when
its Event is, an hour after it was last written (--event-ttl of the API server). So each is said once and repeated now
and then as one Event that counts.
What it refuses to do: remember a trouble that is over, or more of them than MOST; read a clock.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any, Final

from statefulset.controller.trouble import Trouble

MOST: Final = 10_000
"""Troubles that are remembered, some 300 bytes each. Those beyond it wait until others are over."""
AT_ONCE: Final = 50
"""Events of one look: with one look a minute, under one a second at the API server."""
REPEAT: Final = 600.0
"""Seconds after which what lasts is said again."""
MAX_MESSAGE: Final = 1024
"""Characters of an Event's message that the API server takes."""
MAX_NAME: Final = 200
"""Characters of the pod's name in its Event's, which has 253."""
COMPONENT: Final = "safe-control"

Key = tuple[str, str, str, str]


@dataclasses.dataclass(slots=True)
class Seen:
    """`since`: first seen; `said`: last said, None if never; `event`: its name; `count`: what that Event counts."""

    since: float
    said: float | None = None
    event: str = ""
    count: int = 0


def key(trouble: Trouble) -> Key:
    return (trouble.namespace, trouble.pod, trouble.uid, trouble.reason)


def event_name(trouble: Trouble) -> str:
    """One name a pod and reason: whoever says it after us finds ours."""
    return f"{trouble.pod[:MAX_NAME]}.{trouble.reason.lower()}.{trouble.uid[:8]}".rstrip(".")


class Notices:
    """Troubles of one kind of look. Times in monotonic seconds."""

    def __init__(self) -> None:
        self._seen: dict[Key, Seen] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def due(self, found: Iterable[Trouble], now: float) -> list[Trouble]:
        """What to say, longest unsaid first. `found`: all there is; what is not among it is over."""
        present = {key(each): each for each in itertools.islice(found, MOST)}
        self._seen = {each: self._seen.get(each) or Seen(now) for each in present}
        ripe = [
            (-1.0 if seen.said is None else seen.said, seen.since, each)
            for each, seen in self._seen.items()
            if now - seen.since >= present[each].patience and (seen.said is None or now - seen.said >= REPEAT)
        ]
        return [present[each] for _, _, each in sorted(ripe)[:AT_ONCE]]

    def count(self, trouble: Trouble, event: str) -> int:
        """What we know the Event to count, 0 if we have not written it."""
        seen = self._seen[key(trouble)]
        return seen.count if seen.event == event else 0

    def said(self, trouble: Trouble, event: str, count: int, now: float) -> None:
        """`trouble`: as `due` gave it, whatever word the store had for it."""
        seen = self._seen[key(trouble)]
        seen.said, seen.event, seen.count = now, event, count


def event(trouble: Trouble, now: str, version: str = "v1", kind: str = "Pod") -> dict[str, Any]:
    """A warning at the pod, or what else `trouble.pod` names, where `kubectl describe` shows it. `now`: RFC 3339.

    https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ (core/v1 form)"""
    about = {"apiVersion": version, "kind": kind, "namespace": trouble.namespace, "name": trouble.pod}
    return {
        "metadata": {"name": event_name(trouble), "namespace": trouble.namespace},
        "involvedObject": about | ({"uid": trouble.uid} if trouble.uid else {}),
        "reason": trouble.reason,
        "message": trouble.message[:MAX_MESSAGE],
        "type": "Warning",
        "source": {"component": COMPONENT},
        "reportingComponent": f"raftsafe.io/{COMPONENT}",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
