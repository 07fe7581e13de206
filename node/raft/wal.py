"""The write-ahead log on disk: sealed segments, one fsync for a whole batch, never a rewrite in place.

Why it exists: an acknowledged write is one that a majority has fsynced here. Segments are appended to and dropped
whole; a new one begins at every start, so a key and nonce are never used twice after a torn end.
What it refuses to do: continue after a failed fsync of unknown effect, or start over on a folder whose content it
cannot read.

A full disk is not a failure: the record is cut back to the last good byte and tried again until there is room, while
the core sees a disk that does not answer and gives its leadership away.
"""

from __future__ import annotations

import errno
import re
import threading

from node.errors import Fatal
from node.raft import walformat
from node.raft.files import Files
from node.raft.log import ADD, RESET, Log, Op
from node.raft.ports import Cipher, FileKeys

# A new segment after this many bytes: small enough that compaction frees space soon, large enough that the two
# extra fsyncs of a rotation do not matter.
SEGMENT_BYTES = 16 << 20
# Between two attempts on a full disk, seconds.
FULL_DISK_PAUSE = 0.2
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
NAME = re.compile(r"wal-(\d{10})\.seg")


class Wal:
    """One folder of segments. `append` and `drop_below` block and belong to one worker thread."""

    def __init__(self, files: Files, keys: FileKeys, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.files, self.keys, self.segment_bytes = files, keys, segment_bytes
        self.member = ""
        # [number, highest index ever added in it], oldest first.
        self.segments: list[list[int]] = []
        self.tail = b""
        self.end = walformat.End()
        self.full = False
        self._closing = threading.Event()
        self._handle = -1
        self._size = 0
        self._records = 0
        self._cipher: Cipher | None = None

    # -- start ---------------------------------------------------------------------------------------------------
    def load(self, new_member: str) -> Log:
        """Read everything back, cut a torn end, open a new segment. `new_member` becomes the identity of a disk
        that has none. Raises Fatal when the content is damaged; the folder is then let go."""
        try:
            return self._load(new_member)
        except BaseException:
            self.files.release()
            raise

    def _load(self, new_member: str) -> Log:
        log, numbers = Log(), self._numbers()
        for number in numbers:
            last = number == numbers[-1]
            name = self._name(number)
            segment = walformat.read(self.files.read(name), self.keys, name, last=last)
            if segment is None:
                self.files.unlink(name)
                self.files.sync_names()
                continue
            if segment.torn:
                self.files.cut(name, segment.good)
            self._replay(log, segment, number)
        log.replayed()
        self.member = self.member or new_member
        self.end = walformat.End(log.term, log.vote, log.last_index, log.last_term, log.commit_hint)
        self._open_segment()
        return log

    def _numbers(self) -> list[int]:
        found = sorted(int(m.group(1)) for m in map(NAME.fullmatch, self.files.names()) if m)
        if found and found != list(range(found[0], found[-1] + 1)):
            raise Fatal(
                f"a WAL segment is missing: {len(found)} files from {self._name(found[0])} to {self._name(found[-1])}",
                hint="restore the files, or delete this node's volume: it then rejoins empty and the others fill it",
            )
        return found

    def _replay(self, log: Log, segment: walformat.Segment, number: int) -> None:
        start, *rest = segment.batches[0]
        _, member, term, vote, index, at_term, commit, tail = start
        if not self.segments:
            log.entries = [(b"", index, at_term)]
            log.term, log.vote, log.commit_hint = term, vote, commit
            self.member = member
        elif (member, index, at_term, tail) != (self.member, log.last_index, log.last_term, self.tail):
            raise Fatal(
                f"WAL segment {self._name(number)} does not continue the one before it",
                hint="files of two nodes or two times are mixed in one volume; restore it or delete the volume",
            )
        self.segments.append([number, 0])
        for batch in [rest, *segment.batches[1:]]:
            self._note(batch)
            for op in batch:
                log.replay(op)
        self.tail = segment.tail

    def _note(self, ops: list[Op]) -> None:
        """Remember how far a segment reaches, so that compaction knows when all of it is covered."""
        for op in ops:
            if op[0] == ADD:
                self.segments[-1][1] = max(self.segments[-1][1], op[1])
            elif op[0] == RESET:
                for segment in self.segments:
                    segment[1] = 0

    # -- writing -------------------------------------------------------------------------------------------------
    def append(self, ops: list[Op]) -> None:
        """Make one batch durable: returns after fdatasync.

        Waits while the disk is full. Raises Fatal when the disk fails otherwise.
        """
        if self._size >= self.segment_bytes:
            self.files.close(self._handle)
            self._open_segment()
        assert self._cipher is not None
        data = walformat.record(self._cipher, self._records, ops)
        self._write(data)
        self._records += 1
        self.tail = data[-16:]
        self._note(ops)
        self.end.note(ops)

    def _open_segment(self) -> None:
        """Begin the next segment; it repeats the durable state so that the ones before can be dropped."""
        number = self.segments[-1][0] + 1 if self.segments else 1
        key_header, self._cipher = self.keys.create(walformat.PURPOSE)
        self._handle = self.files.create(self._name(number))
        self._size, self._records = 0, 1
        start = self.end.start_op(self.member, self.tail)
        data = walformat.header(key_header) + walformat.record(self._cipher, 0, [start])
        self._write(data)
        self.files.sync_names()
        self.segments.append([number, 0])
        self.tail = data[-16:]

    def _write(self, data: bytes) -> None:
        while True:
            try:
                self.files.write(self._handle, data, self._size)
                self.files.sync(self._handle)
            except OSError as error:
                if error.errno not in FULL:
                    raise Fatal(f"the disk under the WAL failed: {error.strerror}") from error
                self.full = True
                self.files.truncate(self._handle, self._size)
                if self._closing.wait(FULL_DISK_PAUSE):
                    raise Fatal("stopped while the disk was full") from None
            else:
                self.full = False
                self._size += len(data)
                return

    def drop_below(self, index: int) -> None:
        """Delete the oldest segments all of whose entries are at or below index (covered by a durable snapshot)."""
        while len(self.segments) > 1 and self.segments[0][1] <= index:
            self.files.unlink(self._name(self.segments.pop(0)[0]))
            # One by one, so that a crash leaves no hole in the numbers.
            self.files.sync_names()

    def close(self) -> None:
        """Stop waiting for a full disk and let the folder go."""
        self._closing.set()
        if self._handle >= 0:
            self.files.close(self._handle)
            self._handle = -1
            self.files.release()

    @staticmethod
    def _name(number: int) -> str:
        return f"wal-{number:010d}.seg"
