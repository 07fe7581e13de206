"""Random changes to a stream of frames: of bytes, and of what the bytes mean, so that most of them get past the length
and the msgpack and reach the code behind.

Why it exists: flipped bits alone mostly die in the first check. What it refuses to do: draw from anything but `rng`.
"""

from __future__ import annotations

import random
from typing import Any, Final

import msgpack
from seeds import CONTROL

from sidecar.wire.frames import HEADER

MAX_INPUT: Final = 8192
NUMBERS: Final = (-1, 0, 1, 2, 127, 128, 255, 256, 65535, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63))
WORDS: Final = ("", "a", "shop/db", "shop/../x", "..data", "a" * 254, "run", "init", "deleted", "é", "\0", "x/y/z")
ODD: Final = (None, True, False, 1.5, float("nan"), b"", b"shop/db", [], {}, [[]], {"a": {}}, msgpack.Timestamp(1, 1))


def frames(data: bytes) -> list[bytes]:
    """The payloads, as far as the lengths make sense; the rest as one."""
    out = []
    while len(data) > HEADER:
        size = int.from_bytes(data[:HEADER], "big")
        out.append(data[HEADER : HEADER + size])
        data = data[HEADER + size :]
    return out


def joined(payloads: list[bytes]) -> bytes:
    return b"".join(len(payload).to_bytes(HEADER, "big") + payload for payload in payloads)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four changes."""
    control, payloads = bytearray(data[:CONTROL].ljust(CONTROL, b"\0")), frames(data[CONTROL:])
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(8)
        if kind == 0 or not payloads:
            control[rng.randrange(CONTROL)] = rng.randrange(256)
        elif kind == 1:
            payloads.insert(rng.randrange(len(payloads) + 1), rng.choice(payloads))
        elif kind == 2:
            del payloads[rng.randrange(len(payloads))]
        elif kind == 3:
            rng.shuffle(payloads)
        else:
            at = rng.randrange(len(payloads))
            payloads[at] = _bytes(payloads[at], rng) if kind == 4 else _meaning(payloads[at], rng)
    out = bytes(control) + joined(payloads)
    if rng.random() < 0.1:  # lengths that lie
        out = out[:CONTROL] + _bytes(out[CONTROL:], rng)
    return out[:MAX_INPUT]


def _bytes(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    at = rng.randrange(len(out) + 1)
    kind = rng.randrange(4)
    if kind == 0 and at < len(out):
        out[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        out[at:at] = rng.randbytes(rng.randint(1, 8))
    elif kind == 2:
        del out[at : at + rng.randint(1, 8)]
    else:
        out[at : at + 1] = bytes([rng.choice((0x00, 0x80, 0x90, 0xC0, 0xC1, 0xC7, 0xD9, 0xDD, 0xDF, 0xFF))])
    return bytes(out)


def _meaning(payload: bytes, rng: random.Random) -> bytes:
    """One value somewhere in the message is another."""
    try:
        value = msgpack.unpackb(payload, strict_map_key=False)
        packed: bytes = msgpack.packb(_change(value, rng))
    except Exception:  # not msgpack any more, or not to be packed again
        return _bytes(payload, rng)
    return packed


def _change(value: Any, rng: random.Random) -> Any:
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        return [*value[:at], _change(value[at], rng), *value[at + 1 :]]
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        out = dict(value)
        if rng.random() < 0.15:
            out[_scalar(rng)] = out.pop(key)
        else:
            out[key] = _change(out[key], rng)
        return out
    if type(value) is int and rng.random() < 0.7:
        return max(-(1 << 63), min((1 << 64) - 1, value + rng.randint(-3, 3)))
    return _scalar(rng)


def _scalar(rng: random.Random) -> Any:
    value = rng.choice(rng.choice((NUMBERS, WORDS, WORDS, ODD)))
    return str(value) if isinstance(value, list | dict) and rng.random() < 0.5 else value
