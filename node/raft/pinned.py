"""The seam to pysyncobj: pins its release and gives its private names a public, typed face.

Why it exists: we override private names of one exact release (node/raft/DESIGN.md lists each). A different release
would silently keep its own handlers in place, so this module refuses to load with any other byte of it. It also takes
pickle, the poller, the serializer and the file journal away before the library can use them.
What it refuses to do: guess. A missing name or a different hash is fatal.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pysyncobj
import pysyncobj.pickle as library_pickle
import pysyncobj.syncobj as library
from pysyncobj.config import SyncObjConf
from pysyncobj.journal import Journal
from pysyncobj.node import Node
from pysyncobj.syncobj import SyncObj
from pysyncobj.transport import Transport

from node.errors import Fatal
from node.raft import codec

__all__ = ["CANDIDATE", "FOLLOWER", "LEADER", "Journal", "Node", "SyncObj", "SyncObjConf", "Transport", "private"]

RELEASE = "0.3.17"
# sha256 over the sources whose private names or interfaces we rely on, in this order.
SOURCES = ("syncobj.py", "transport.py", "journal.py", "node.py", "config.py")
DIGEST = "2c6e41d7e045f8715fb9be6b98cf0dafbd508d9c2e1be9b8d18e73ac585df136"

FOLLOWER: int = library._RAFT_STATE.FOLLOWER
CANDIDATE: int = library._RAFT_STATE.CANDIDATE
LEADER: int = library._RAFT_STATE.LEADER

# Every private name of SyncObj that our subclass reads, sets or replaces.
FIELDS = (
    "raftState",
    "raftCurrentTerm",
    "votedForNodeId",
    "raftLeader",
    "raftElectionDeadline",
    "raftCommitIndex",
    "raftLastApplied",
    "raftNextIndex",
    "raftMatchIndex",
    "lastResponseTime",
    "leaderCommitIndex",
    "noopIDx",
    "otherNodes",
    "connectedNodes",
    "needLoadDumpFile",
)
METHODS = ("onMessageReceived", "onNodeConnected", "onNodeDisconnected", "onBecomeLeader", "applyLogEntries")


def source_digest() -> str:
    """sha256 (hex) over the library's sources as installed."""
    folder = Path(pysyncobj.__file__).parent
    total = hashlib.sha256()
    for name in SOURCES:
        total.update((folder / name).read_bytes())
    return total.hexdigest()


def private(name: str) -> Any:
    """A property for the library's private field `name`, so that our code never spells a mangled name."""
    mangled = f"_SyncObj__{name}"

    def read(self: object) -> Any:
        return getattr(self, mangled)

    def write(self: object, value: Any) -> None:
        setattr(self, mangled, value)

    return property(read, write)


class _NoPoller:
    """The library polls sockets here; ours belong to asyncio."""

    def poll(self, timeout: float) -> None: ...
    def subscribe(self, *_: object) -> None: ...
    def unsubscribe(self, *_: object) -> None: ...


class _NoSerializer:
    """The library forks and pickles its state here; snapshots are ours (snapshot.py)."""

    def __init__(self, *_: object) -> None: ...
    def cancelTransmisstion(self, node: object) -> None:
        """The library's spelling."""


def _refuse(*_: object, **__: object) -> None:
    raise RuntimeError("pickle has no place in raftsafe")


def _own_journal(journal: object) -> object:
    return journal


def _check() -> None:
    found = source_digest()
    if pysyncobj.version.VERSION != RELEASE or found != DIGEST:
        raise Fatal(
            f"pysyncobj is release {pysyncobj.version.VERSION} with source hash {found[:12]}, "
            f"not {RELEASE} with {DIGEST[:12]}",
            hint=f"install pysyncobj=={RELEASE}; node/raft overrides private names of exactly these sources",
        )
    missing = [name for name in METHODS if not hasattr(SyncObj, f"_SyncObj__{name}")]
    if missing:
        raise Fatal(f"pysyncobj lacks {', '.join(missing)}")


_check()
library_pickle.dumps = lambda value, protocol=None: codec.pack(value)
library_pickle.loads = codec.unpack
library_pickle.dump = library_pickle.load = _refuse
library.createJournal = _own_journal
library.createPoller = lambda kind: _NoPoller()
library.Serializer = _NoSerializer
