"""Where audit lines go: a bounded queue, and a thread that chains and writes them.

Why it exists: the event loop never waits for whoever reads the log, and a request pays for no hash.
What it refuses to do: stop the store because nobody takes the lines. They wait in a bounded queue, what does not fit is
counted and the count becomes a line; `trouble` says it in readiness, `figures` in metrics.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import logging
import os
import stat
import threading
import time
from pathlib import Path
from typing import Final, Protocol

from node.chain import Chain, Place, last
from node.errors import Fatal

QUEUE: Final = 16 << 20
"""Characters that wait for the stream: some ten seconds of the fastest node, 40 000 lines."""
LINGER: Final = 0.02
"""Seconds that the first of several lines waits for the others: one write for all of them."""
RETRY: Final = 1.0
"""Seconds between two tries at a stream that refuses."""
STUCK: Final = 5.0
"""Seconds a write may take before it is called stuck: longer than any pause of a disk that is alive."""
TAIL: Final = 1 << 20
"""Bytes at the end of a file in which its last whole line is looked for: many times the longest line."""


class Stream(Protocol):
    """`write` takes all of the text, or holds what is left of it until `flush` has got rid of it. Both raise OSError,
    or ValueError if it is closed for good."""

    def write(self, text: str, /) -> int: ...
    def flush(self) -> None: ...


class Output:
    """A descriptor that is written to without buffers in between, so that it is known what has been taken. A disk that
    is full loses nothing: the rest of what was to be written waits for the next `flush`."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._rest = b""

    def write(self, text: str, /) -> int:
        self._rest += text.encode()
        return len(text)

    def flush(self) -> None:
        while self._rest:
            self._rest = self._rest[os.write(self._handle, self._rest) :]


class AppendFile(Output):
    """A file that is appended to, 0600, opened anew when it was moved away (log rotation). `last`: the last audit line
    that was in it when this process opened it."""

    def __init__(self, path: Path) -> None:
        """Raises Fatal when it cannot be opened: an audit log that was asked for and is not there is no setting that
        works. A symbolic link is refused, since others may be able to point it elsewhere."""
        self._path = path
        try:
            super().__init__(self._open())
            size = os.fstat(self._handle).st_size
            tail = os.pread(self._handle, TAIL, max(0, size - TAIL))
        except OSError as error:
            raise Fatal(
                f"SAFE_AUDIT_FILE {path} cannot be opened for appending: {error.strerror}",
                hint="name a regular file, or none yet, in a folder this process may write to",
            ) from None
        self.last: Place | None = last(tail)
        if tail and not tail.endswith(b"\n"):
            self._rest = b"\n"  # a line torn by a kill or a crash keeps to itself

    def _open(self) -> int:
        # Read as well: what was there is named by the first line. A FIFO opened so does not wait for a reader.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._path, flags, 0o600)
        if not stat.S_ISREG(os.fstat(handle).st_mode):  # also one that was put there later: a full pipe takes no line
            os.close(handle)
            raise OSError(errno.EINVAL, "it is not a regular file")
        return handle

    def flush(self) -> None:
        if self._moved():
            handle = self._open()
            os.close(self._handle)
            self._handle = handle
        super().flush()

    def _moved(self) -> bool:
        try:
            there, ours = os.lstat(self._path), os.fstat(self._handle)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)


class Sink:
    """Lines on their way to `stream`, written by a thread of their own.

    A line is in the queue before its request is answered and at the stream LINGER later; a process that is killed
    loses those of the last moment, while the change itself stands in the log of Raft with its actor and time."""

    def __init__(self, stream: Stream, chain: Chain, name: str = "standard output") -> None:
        self._stream, self._chain, self.name = stream, chain, name
        self._lines: collections.deque[str] = collections.deque()
        self._size = 0
        self._left_out = 0
        self._dropped = 0
        self._since = 0.0  # when the write under way began; 0: there is none
        self._error = ""
        self._lock = threading.Lock()
        self._there = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue one line (a JSON object, without its end). Never waits for the stream."""
        with self._lock:
            if self._size >= QUEUE:
                self._left_out += 1
                self._dropped += 1
                return
            self._lines.append(line)
            self._size += len(line)
        if not self._there.is_set():
            self._there.set()

    def close(self, timeout: float) -> bool:
        """Write what is queued and the end of the chain; False if it was not taken within `timeout` seconds."""
        self._closing.set()
        self._there.set()
        self._thread.join(timeout)
        return not self._thread.is_alive() and not self._error

    def trouble(self) -> str:
        """Why lines are not being written now, in one line; empty when they are."""
        since = self._since
        if self._error:
            why = self._error
        elif since and time.monotonic() - since > STUCK:
            why = f"nobody has taken a line for {time.monotonic() - since:.0f} s"
        else:
            return ""
        dropped = f", {self._dropped} lines were left out" if self._dropped else ""
        return f"audit lines do not reach {self.name}: {why}{dropped}"

    def figures(self) -> dict[str, int]:
        """`lines`: chained so far; `queued`: characters waiting; `dropped`: lines without a room; `stuck`: 0 or 1."""
        stuck = int(bool(self.trouble()))
        return {"lines": self._chain.length, "queued": self._size, "dropped": self._dropped, "stuck": stuck}

    def _run(self) -> None:
        while True:
            self._there.wait()
            self._closing.wait(LINGER)
            # In this order: what is put, and an end that is asked for, after this sets it again.
            self._there.clear()
            ending = self._closing.is_set()
            self._take(ending)
            if ending:
                return

    def _take(self, ending: bool) -> None:
        with self._lock:
            lines, self._lines = self._lines, collections.deque()
            left_out, self._left_out = self._left_out, 0
        if left_out:
            lines.append(json.dumps({"event": "audit.overflow", "lines_left_out": left_out}))
        if ending:
            lines.append(json.dumps({"event": "audit.end"}))
        if lines:
            self._since = time.monotonic()
            self._write("\n".join(map(self._chain.add, lines)) + "\n")
            self._since = 0.0
        # Only now is there room again: what the stream has not taken counts as queued.
        with self._lock:
            self._size = sum(map(len, self._lines))

    def _write(self, text: str) -> None:
        """Until the stream has it, or this is the end."""
        handed = False
        while True:
            try:
                if not handed:
                    handed = True
                    self._stream.write(text)
                self._stream.flush()
                self._error = ""
                return
            except (OSError, ValueError) as error:
                if not self._error:
                    logging.getLogger("node").error("audit lines could not be written to %s: %s", self.name, error)
                self._error = getattr(error, "strerror", None) or "it is closed"
                if isinstance(error, ValueError):  # closed for good, by the contract of Stream
                    self._dropped += text.count("\n")
                    return
            if self._closing.wait(RETRY):
                with contextlib.suppress(OSError, ValueError):
                    self._stream.flush()
                    self._error = ""
                return
