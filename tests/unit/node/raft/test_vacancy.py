from __future__ import annotations

import asyncio
from pathlib import Path

from node.clock import SystemClock
from node.raft.files import Folder
from node.raft.vacancy import vacated

from .conftest import Trio


async def test_a_node_waits_for_an_earlier_one_that_is_still_stopping(trio: Trio) -> None:
    """As after `kubectl delete pod --force` on one machine: the new pod comes while the old process hands over."""
    earlier = Folder(trio.folder / "safe-0")
    starting = asyncio.create_task(trio.start("safe-0"))
    await asyncio.sleep(0.5)
    assert not starting.done()
    earlier.release()
    await asyncio.wait_for(starting, 20)
    await trio.start("safe-1")
    await trio.start("safe-2")
    await trio.leader()


async def test_a_folder_that_stays_taken_is_not_waited_for_without_end(tmp_path: Path) -> None:
    holder = Folder(tmp_path / "data")
    assert not await vacated(tmp_path / "data", SystemClock(), 0.3)
    holder.release()
    assert await vacated(tmp_path / "data", SystemClock(), 0.0)
    Folder(tmp_path / "data").release()  # looking has left no lock behind


async def test_a_folder_that_is_not_there_is_free(tmp_path: Path) -> None:
    assert await vacated(tmp_path / "none", SystemClock(), 0.0)
    assert not (tmp_path / "none").exists()
