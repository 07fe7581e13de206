"""Work given to a child process: one message in, one answer out, and an end to it at a set time.

Why it exists: rendering a template and asking an application over HTTP both need libraries that would stay in memory
for ever, and both may hang. A child gives its memory back, and can be killed while the sidecar goes on.
What it refuses to do: put anything on a command line, which other processes may read; leave a child behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


class ErrandError(Exception):
    """The child gave no answer; one line."""


async def run(module: str, request: bytes, seconds: float) -> bytes:
    """What `python -m module` answers to `request`. Raises ErrandError. Cancelling it kills the child."""
    optimize = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *optimize,
            "-P",  # nothing is imported from the folder that the pod happens to start us in
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # a traceback may quote data
        )
    except OSError as error:
        raise ErrandError(f"no process can be started: {error.strerror}") from None
    try:
        async with asyncio.timeout(seconds):
            out, _ = await child.communicate(request)
    except TimeoutError:
        raise ErrandError(f"it took longer than {seconds:g} s") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
    if child.returncode or not out:
        how = f"signal {-child.returncode}" if child.returncode and child.returncode < 0 else f"code {child.returncode}"
        raise ErrandError(f"its process ended with {how}: too much time or memory")
    return out
