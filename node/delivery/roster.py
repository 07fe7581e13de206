"""Who is connected: every stream of this node, greeted or not, and the counts that bound them.

Why it exists: streams are looked up by subscription, counted by pod, weighed while they are strangers and visited in
turn, and all of that has to be undone together when one of them ends.
What it refuses to do: send, close or decide anything. No I/O and no clock.
"""

from __future__ import annotations

from typing import Final

from node.delivery.connection import Connection

BUCKETS: Final = 32
"""The timer visits one in 32 streams at a time, so that each is visited once in a heartbeat, and 10 000 of them never
cost one turn of the loop more than some 10 ms."""


class Roster:
    """`count`: connections, whatever their state. `subscribed`: by the hub's number. `greeting`: those that have not
    been welcomed or refused yet, and `greeting_bytes` of them."""

    def __init__(self) -> None:
        self.count = 0
        self.subscribed: dict[int, Connection] = {}
        self.greeting: set[Connection] = set()
        self.greeting_bytes = 0
        self._buckets: tuple[set[Connection], ...] = tuple(set() for _ in range(BUCKETS))
        self._numbers = 0
        self._pods: dict[tuple[str, str, str], int] = {}

    def add(self, connection: Connection) -> None:
        """A new one, a stranger so far."""
        self._numbers += 1
        self.count += 1
        connection.number = self._numbers
        self._buckets[connection.number % BUCKETS].add(connection)
        self.greeting.add(connection)

    def remove(self, connection: Connection) -> None:
        """It is lost. Its subscription is ended apart, since the hub has to know."""
        self.count -= 1
        self._buckets[connection.number % BUCKETS].discard(connection)
        self.leave_greeting(connection)

    def everybody(self) -> list[Connection]:
        return [each for bucket in self._buckets for each in bucket]

    def turn(self, beat: int) -> list[Connection]:
        """Those to be visited at this beat: everybody once in BUCKETS beats."""
        return list(self._buckets[beat % BUCKETS])

    # -- strangers -------------------------------------------------------------------------------------------------

    def weigh(self, connection: Connection, size: int) -> int:
        """Bytes received of one; those of all strangers together."""
        if connection in self.greeting:
            connection.greeting_bytes += size
            self.greeting_bytes += size
        return self.greeting_bytes

    def leave_greeting(self, connection: Connection) -> None:
        """It has been answered, or is gone."""
        self.greeting.discard(connection)
        self.greeting_bytes -= connection.greeting_bytes
        connection.greeting_bytes = 0

    # -- subscriptions ---------------------------------------------------------------------------------------------

    def streams_of_pod(self, connection: Connection) -> int:
        """Open subscriptions of the pod that this one speaks for."""
        return self._pods.get(_pod(connection), 0)

    def subscribe(self, connection: Connection, number: int) -> None:
        connection.subscriber = number
        self.subscribed[number] = connection
        self._pods[_pod(connection)] = self.streams_of_pod(connection) + 1

    def unsubscribe(self, connection: Connection) -> int:
        """The number it had, 0 if none."""
        number, connection.subscriber = connection.subscriber, 0
        if number:
            self.subscribed.pop(number, None)
            others = self.streams_of_pod(connection) - 1
            if others > 0:
                self._pods[_pod(connection)] = others
            else:
                self._pods.pop(_pod(connection), None)
        return number


def _pod(connection: Connection) -> tuple[str, str, str]:
    return (connection.namespace, connection.serviceaccount, connection.pod)
