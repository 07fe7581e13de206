"""The admin API on a Unix socket inside the pod, for those who may `kubectl exec` into it.

Why it exists: the way in when tokens, rights or the API server itself are out of order. Whoever can run a process as us
in this pod can read the root key from the files we read it from, so this gives away nothing he does not have; but what
he does this way is in the audit log. What it refuses to do: listen where another user could reach or replace it, or
believe anybody but the kernel about who is at the other end.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from aiohttp import web

from node.errors import Fatal

MODE: Final = 0o600
_UCRED: Final = struct.Struct("3i")
"""struct ucred of unix(7): pid, uid, gid."""


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected. `pid` is 0 if it lives in another pid namespace."""

    pid: int
    uid: int

    @property
    def trusted(self) -> bool:
        """It runs as we do, or as root of this pod."""
        return self.uid in (0, os.geteuid())


def peer_of(request: web.Request) -> Peer | None:
    """Who is at the other end of a Unix socket, by the kernel's word (SO_PEERCRED); None for any other connection."""
    transport = request.transport
    if transport is None or transport.get_extra_info("sslcontext") is not None:
        return None  # the socket speaks no TLS; this is the way of nearly every request
    sock = transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return None
    pid, uid, _gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid)


def prepare(path: Path) -> None:
    """A folder for the socket that is ours and nobody else's. Raises Fatal if it cannot be.

    The folder's mode protects the socket from the moment it is bound, before its own mode is set."""
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        good = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        reason = f"{folder} is not a folder of ours with mode 0700"
    except OSError as error:
        good, reason = False, f"{folder} cannot be made: {error.strerror}"
    if not good:
        raise Fatal(
            f"SAFE_ADMIN_SOCKET: {reason}", hint="name a path one folder below a writable one; the folder is made"
        )
    if path.exists() and not path.is_socket():
        raise Fatal(f"SAFE_ADMIN_SOCKET: {path} is there and is not a socket", hint="name another path")
