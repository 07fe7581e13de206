"""What the delivery door allows, in one place.

Why it exists: everything a stranger or a workload can make this process hold or wait for has a bound with a reason.
What it refuses to do: be a setting for everyday use. The defaults are meant to stay; tests shorten the times.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, sizes in bytes."""

    connections: int = 20_000
    """Twice the budget of 10 000 sidecars, so that those of a dead neighbour fit."""
    greeting: float = 5.0
    """From the end of the handshake to HELLO."""
    verifying: float = 2.5
    """For the issuer's keys to arrive. With `behind` it stays under the 5 s after which a sidecar gives up."""
    behind: float = 2.0
    """For the log of this node to catch up with what the sidecar has seen elsewhere."""
    settling: float = 2.0
    """From the start of this node: for the first word from the majority, before it answers from what it remembers."""
    leeway: float = 10.0
    """Past the expiry of a token until its stream is closed: what the verifier grants the issuer's clock."""
    heartbeat: float = 1.5
    """Each stream gets a PING this often. A silent partition may cost 3 s altogether; with 2 s, 200 sidecars on two
    saturated processors were all back after 3.5 s, since they notice it after 1.3 of these."""
    silent: int = 3
    """Heartbeats without a byte from a sidecar until its stream is closed."""
    stuck: float = 30.0
    """The same while frames wait for it: taking bytes, however slowly, is a sign of life as well."""
    per_pod: int = 32
    """Streams of one pod to one node. It has one, two for a moment; a pod gone bad shall not take every place."""
    greeting_bytes: int = 64 << 20
    """Bytes of HELLOs not verified yet, in all: one may have a megabyte, thousands at once may not."""
    effort: int = 512
    """Messages, or units of 4 KiB received, a sidecar may cost per heartbeat. It needs three; the largest receipt is
    about 170."""
    retry_ms: int = 500
    """When to come back after "not now", on average; spread by half of it either way."""
    avoid_ms: int = 10_000
    """A sidecar sent away by a planned stop stays away for about as long as a restart takes."""
