"""msgpack in place of pickle, for every byte that raft writes or sends.

Why it exists: unpickling runs code of the sender's choosing; msgpack only ever yields data.
What it refuses to do: accept anything but plain data, or more of it than a frame may hold.
"""

from __future__ import annotations

from typing import Any

import msgpack

# One append carries at most about 256 KiB or one entry; the largest entry is a sealed secret of 1 MiB with its
# metadata, a snapshot chunk 256 KiB. 8 MiB leaves room without letting a peer ask for gigabytes.
MAX_FRAME = 8 << 20


class CodecError(ValueError):
    """The bytes are not what a node of this version writes."""


def pack(value: Any) -> bytes:
    """Plain data (None, bool, int, str, bytes, tuples, dicts) to bytes."""
    return msgpack.packb(value)  # type: ignore[no-any-return]


def unpack(data: bytes | memoryview) -> Any:
    """Bytes to plain data, arrays as tuples. Raises CodecError on anything else."""
    try:
        return msgpack.unpackb(data, use_list=False, strict_map_key=False)
    except Exception as error:  # msgpack raises a dozen kinds, ValueError and its own; all mean the same here
        raise CodecError(f"not msgpack: {type(error).__name__}") from None
