"""`safe-control identity`: the init container of a node. Decides until the identity is in place, or says why not.

Why it exists: the shell around decide.py; all pods of a first start run this at once.
What it refuses to do: go on for ever without an API server (the kubelet starts it again, and shows that it does), or
let a container start beside an identity that is not the store's.
"""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from statefulset.identity import folder
from statefulset.identity.decide import NAME, Create, Mark, Refuse, Seen, Use, decide
from statefulset.identity.folder import FolderError
from statefulset.kube.objects import ACCOUNT, AwayError, ForbiddenError, Objects

PATIENCE: Final = 60.0
"""Seconds to wait for an API server that is away; then the kubelet's back-off takes over."""
PAUSE: Final = 1.0
"""Seconds between two tries."""
ROUNDS: Final = 16
"""Steps of one start. Three are needed, a few more when pods meet; more is an API server that contradicts itself."""
DONE: Final = 0
REFUSED: Final = 70  # EX_SOFTWARE, as safe-node ends when a person has to act
AWAY: Final = 75  # EX_TEMPFAIL: start me again
ROOT_KEY: Final = "root-key"
"""Key of the ConfigMap: the root key's id. Beside it `ca.crt`, the certificate by which clients know the servers."""
ABOUT_IDENTITY: Final = (
    "Root key and certificate authorities of this raftsafe store. Losing it loses every secret: keep a copy elsewhere."
)
ABOUT_MARK: Final = (
    "Remembers which root key this raftsafe store was made with, so that no other is ever made over its data. "
    "ca.crt is public."
)

log = logging.getLogger("safe-control")


class Start:
    """One start of one pod."""

    def __init__(self, objects: Objects, namespace: str, cluster: str, identity: Path, data: Path) -> None:
        self._objects = objects
        self._namespace = namespace
        self._cluster = cluster
        self._identity = identity
        self._data = data

    def run(self) -> Refuse | None:
        """None when the identity is in place. Raises AwayError, ForbiddenError, FolderError."""
        for _ in range(ROUNDS):
            files = self._objects.get("secret", NAME)
            mark = self._objects.get("config_map", NAME)
            key, broken = folder.judge(files, self._identity.parent) if files is not None else ("", "")
            remembered = (mark or {}).get(ROOT_KEY, b"").decode("ascii", "replace")
            seen = Seen(key, broken, remembered, folder.has_data(self._data))
            match decide(seen, self._namespace):
                case Create():
                    made = folder.make(self._cluster, self._identity.parent)
                    won = self._objects.create("secret", NAME, made, ABOUT_IDENTITY)
                    log.info("made the identity of the store" if won else "another pod made the identity first")
                case Mark():
                    assert files is not None
                    note = {ROOT_KEY: key.encode(), "ca.crt": files["server-ca.crt"]}
                    self._objects.create("config_map", NAME, note, ABOUT_MARK)
                case Use():
                    assert files is not None
                    folder.place(files, self._identity)
                    log.info("identity in place, root key %s", key)
                    return None
                case Refuse() as refusal:
                    return refusal
        raise AwayError("the API server's answers contradict each other")


def run(environ: Mapping[str, str], pause: Callable[[float], None] = time.sleep) -> int:
    """The exit code. Settings are SAFE_NAMESPACE, SAFE_DATA_DIR, SAFE_IDENTITY_DIR, SAFE_CLUSTER, SAFE_ACCOUNT_DIR."""
    missing = [key for key in ("SAFE_NAMESPACE", "SAFE_DATA_DIR", "SAFE_IDENTITY_DIR") if not environ.get(key)]
    if missing:
        log.error("%s is not set; see statefulset/DESIGN.md", ", ".join(missing))
        return REFUSED
    namespace, identity = environ["SAFE_NAMESPACE"], Path(environ["SAFE_IDENTITY_DIR"])
    left = int(PATIENCE / PAUSE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the root key passes through this process
    while True:
        try:
            folder.require_memory(identity.parent)
            objects = Objects(namespace, Path(environ.get("SAFE_ACCOUNT_DIR", ACCOUNT)), environ)
            cluster = environ.get("SAFE_CLUSTER", "raftsafe")
            refusal = Start(objects, namespace, cluster, identity, Path(environ["SAFE_DATA_DIR"])).run()
        except AwayError as error:
            left -= 1
            log.warning("%s", error)
            if left < 1:
                return AWAY
            pause(PAUSE)
        except ForbiddenError as error:
            log.error("%s", error)
            log.error("hint: the role of the service account safe-node lets it read and create %s", NAME)
            return REFUSED
        except FolderError as error:
            log.error("%s", error)
            return REFUSED
        else:
            if refusal is None:
                return DONE
            log.error("%s", refusal.message)
            log.error("hint: %s", refusal.hint)
            return REFUSED
