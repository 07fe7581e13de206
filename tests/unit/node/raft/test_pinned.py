from __future__ import annotations

import pickle
import subprocess
import sys

import pysyncobj.pickle as library_pickle
import pytest
from pysyncobj import SyncObj

from node.errors import Fatal
from node.raft import pinned


def test_another_byte_of_the_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "DIGEST", "0" * 64)
    with pytest.raises(Fatal, match="source hash"):
        pinned._check()


def test_a_missing_handler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SyncObj, "_SyncObj__applyLogEntries")
    with pytest.raises(Fatal, match="applyLogEntries"):
        pinned._check()


def test_the_library_cannot_pickle() -> None:
    class Anything:
        pass

    with pytest.raises(TypeError):
        library_pickle.dumps(Anything())
    with pytest.raises(ValueError):
        library_pickle.loads(pickle.dumps([1, 2, 3]))
    for refused in (library_pickle.dump, library_pickle.load):
        with pytest.raises(RuntimeError, match="no place"):
            refused(None)


NO_PICKLE = """
import asyncio, pickle, sys, tempfile, pathlib

def never(*args, **kwargs):
    raise AssertionError("pickle was used")

pickle.dump = pickle.dumps = pickle.load = pickle.loads = never
pickle._Pickler.__init__ = pickle._Unpickler.__init__ = never
pickle.Pickler, pickle.Unpickler = pickle._Pickler, pickle._Unpickler
pickle._dump = pickle._dumps = pickle._load = pickle._loads = never

sys.path.insert(0, {here!r})
from conftest import Trio

async def main():
    with tempfile.TemporaryDirectory() as place:
        trio = Trio(pathlib.Path(place))
        await trio.start_all()
        leader = await trio.leader()
        for node in trio.nodes.values():
            await node.propose(node.settings.name.encode(), 5.0)
        leader.core.request_snapshot()
        leader.kick()
        await trio.eventually(lambda: leader._snapshots.latest() is not None)
        name = leader.settings.name
        await trio.stop(name)
        back = await trio.start(name)
        await trio.eventually(lambda: len(back.machine.seen) == 3)
        leader.core.getStatus()
        for name in list(trio.nodes):
            await trio.nodes.pop(name).stop(0.1)
    print("no pickle")

asyncio.run(main())
"""


def test_a_cluster_lives_without_pickle(request: pytest.FixtureRequest) -> None:
    """Votes, writes, a snapshot, a restart: with every way into pickle made to raise before anything is imported."""
    program = NO_PICKLE.format(here=str(request.path.parent))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0 and "no pickle" in done.stdout, done.stderr[-2000:]
