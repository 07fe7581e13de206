"""A cluster of real processes on loopback: nodes, issuer, sidecars. The base of `safe dev`, its check, the process
tests and the benchmarks.

Why it exists: whatever is shown or tested runs the same programs with the same doors as in a cluster.
What it refuses to do: import a node or a sidecar, give a process more rights than a pod has, or leave something
behind: use it as a context manager.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from statefulset.cli.client import Answer, Client
from statefulset.cli.connection import Connection
from statefulset.cli.dev import folders, home, ports, programs
from statefulset.cli.dev.errors import DevError
from statefulset.cli.dev.issuer import ADMIN, PEOPLE, Issuer
from statefulset.cli.dev.processes import Process, Program, Supervisor, bound
from statefulset.cli.dev.signals import shield
from statefulset.cli.dev.tokens import TokenFiles
from statefulset.cli.errors import CliError

LIFETIME: Final = 600.0
"""Seconds that tokens are good for: the shortest that Kubernetes hands out."""
READY: Final = 60.0
"""Seconds until every node must be ready. Two on an idle machine."""
ASKED: Final = '"admin.cluster.'
"""Marks lines of the audit log about our own looking, which say nothing about what went wrong."""
FILES: Final = 256
"""Open files a node may need here: connections to peers and clients, segments of its log."""


@dataclasses.dataclass(frozen=True)
class Options:
    """`port`: base, 0 for any free ones. `keep`: a folder for the data, which then stays. `private`: a folder of its
    own in memory, so that it runs beside others. `restart`: what dies by itself is started again. `settings`: of every
    node beside those that it needs here (programs.TUNABLE); `{name}` in a value is the node's."""

    nodes: int = 3
    workloads: int = 1
    keep: Path | None = None
    port: int = 17400
    private: bool = False
    restart: bool = True
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Workload:
    """A pod's worth of identity, and where its sidecar writes. `process` is the name of the sidecar's process."""

    name: str
    namespace: str
    serviceaccount: str
    mount: Path
    token_file: Path
    process: str


@dataclasses.dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


def silent(_: str) -> None:
    """For those who do not want to be told."""


def end_ours(pid: int, word: bytes, sessions: Collection[int] = ()) -> bool:
    """Send SIGKILL to the process if `word` stands in its environment or its session is one of `sessions`; whether it
    did. The descriptor is taken before the look, so that the signal cannot reach another process that got the number
    meanwhile."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:  # gone, or another user's
        descriptor = os.pidfd_open(pid)
        stack.callback(os.close, descriptor)
        if session_of(pid) in sessions or word in _environment(pid):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            return True
    return False


def session_of(pid: int) -> int:
    """Its session by proc(5) stat, which everybody may read; 0 if it has ended. Raises OSError."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[3])


def _environment(pid: int) -> list[bytes]:
    """Empty for a process that is not dumpable, as nodes and sidecars are not, unless we are root."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


class DevCluster:
    """See the module. Nothing happens before start(); stop() may be called at any time, more than once."""

    def __init__(self, options: Options, said: Callable[[str], None] = silent) -> None:
        self.options = options
        self.said = said
        self.names = programs.node_names(options.nodes)
        self.workloads: dict[str, Workload] = {}
        self.supervisor = Supervisor(said, restart=options.restart)
        self.tokens = TokenFiles()
        self.home: home.Home
        self.ports: ports.Ports
        self.issuer: Issuer
        self._closing = contextlib.ExitStack()
        self._opened = False
        self._stopped = False
        self._asker: Client | None = None

    def __enter__(self) -> DevCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- start and stop ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Everything, until all nodes are ready and the sidecars run. Raises DevError."""
        options = self.options
        folders.check_descriptors(FILES)
        memory = folders.find_memory(folders.candidates(os.environ), chosen=bool(os.environ.get(folders.CHOSEN)))
        with shield():
            self.home = home.open_(memory, private=options.private, keep=options.keep, nodes=options.nodes)
            self._closing.callback(self.home.close)
            self._opened = True
        self.ports = ports.settle(options.port, options.nodes, random.SystemRandom())
        self.said(f"starting {options.nodes} nodes and {options.workloads} workloads")
        self.home.make_identity()
        with shield():
            self.issuer = Issuer(self.home.issuer, self.ports.issuer)
            self._closing.callback(self.issuer.stop)
            self.issuer.start()
        for file in (self.home.admin_token, *(self.home.contexts / name for name in PEOPLE)):
            self.tokens.add(file, LIFETIME, functools.partial(self._token_of, file.name))
        self.supervisor.every_second(self.tokens.tick)
        for name in self.names:
            self._start_node(name)
        self.wait_ready(self.names)
        self.supervisor.watch()
        for number in range(options.workloads):
            self.add_workload("web" if number == 0 else f"web-{number + 1}")
        for workload in self.workloads.values():
            self._wait_complete(workload)
        self.home.tell_client(self.servers())

    def _token_of(self, person: str, lifetime: float) -> str:
        return self.issuer.token(ADMIN[0], person, audience=programs.ADMIN_AUDIENCE, lifetime=lifetime)

    def _start_node(self, name: str) -> None:
        data = self.home.node_data(name)
        env = programs.node_env(name, self.ports, data, self.home.identity, self.issuer.url, self.issuer.ca_file)
        env |= {key: text.replace("{name}", name) for key, text in self.options.settings.items()}
        self.supervisor.start(self._program(name, programs.command("safe-node"), env, data))

    def _program(self, name: str, argv: tuple[str, ...], env: dict[str, str], cwd: Path) -> Program:
        return Program(name, argv, self._marked(env), self.home.logs / f"{name}.log", cwd)

    def _marked(self, env: dict[str, str]) -> dict[str, str]:
        """The environment of a process of ours; the mark stays on whatever it may start itself."""
        return programs.clean(os.environ) | env | {programs.MARK: str(self.home.path)}

    def stop(self) -> list[str]:
        """End everything and remove every file. Returns what is left nevertheless: nothing, if all is well."""
        if self._stopped:
            return []
        self._stopped = True
        sidecars = [name for name in self.supervisor.names() if name not in self.names]
        self.supervisor.stop([sidecars, self.names])
        self._closing.close()
        if not self._opened:
            return []
        return [*self.home.left(), *(f"process {pid}" for pid in self._left_running())]

    def _left_running(self) -> list[int]:
        """Processes that carry our mark or live in the session of a child: what a child has started and not ended. They
        are ended here."""
        word, out = os.fsencode(f"{programs.MARK}={self.home.path}"), []
        sessions = self.supervisor.sessions()
        for entry in Path("/proc").iterdir():
            pid = int(entry.name) if entry.name.isdigit() else 0
            if pid not in (0, os.getpid()) and end_ours(pid, word, sessions):
                out.append(pid)
        return out

    # -- nodes -------------------------------------------------------------------------------------------------------

    def node(self, name: str) -> Process:
        return self.supervisor[name]

    def running(self) -> list[str]:
        """Names of the nodes whose process runs."""
        return [name for name in self.names if self.node(name).alive]

    def kill(self, name: str) -> float:
        """SIGKILL, on purpose: it is not started again. Returns the monotonic time of the signal."""
        return self.supervisor.end(name, signal.SIGKILL)

    def kill_all(self) -> None:
        """SIGKILL to every node in the same breath."""
        for name in self.names:
            self.node(name).wanted = False
        for name in self.names:
            self.node(name).signal(signal.SIGKILL)
        for name in self.names:
            self.kill(name)

    def again(self, *names: str) -> None:
        """Start nodes that were ended."""
        for name in names:
            self.supervisor.again(name)

    def wait_ready(self, names: Sequence[str], timeout: float = READY) -> None:
        """Until each of `names` says that it is ready. Raises DevError if one dies or takes too long."""
        deadline = time.monotonic() + timeout
        waiting = list(names)
        while True:
            dead = [name for name in names if not self.node(name).alive]
            if dead:
                raise self.trouble(dead, f"{dead[0]} {self.node(dead[0]).how_it_ended()} before it was ready")
            ready = {name for name, status in self.status().items() if status.get("ready")}
            waiting = [name for name in names if name not in ready]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise self.trouble(waiting, f"{', '.join(waiting)} not ready within {timeout:g} s")
            time.sleep(0.1)

    def trouble(self, names: Sequence[str], message: str) -> DevError:
        """An error with the ends of the logs of those concerned."""
        details = [
            line for name in names for line in (f"--- log of {name}", *self.supervisor[name].tail(without=ASKED))
        ]
        return DevError(message, code="not_ready", details=tuple(details))

    # -- asking ------------------------------------------------------------------------------------------------------

    def sockets(self) -> tuple[Path, ...]:
        """The Unix sockets of the nodes' admin API."""
        return tuple(programs.admin_socket(self.issuer.ca_file, name) for name in self.names)

    def servers(self) -> tuple[str, ...]:
        return tuple(programs.server(node) for node in self.ports.nodes)

    def client(self, timeout: float = 10.0, nodes: Sequence[str] = ()) -> Client:
        """A client of the admin API as `safe` uses it, with warm connections. Asks `nodes` in this order (all)."""
        chosen = nodes or self.names
        servers = tuple(programs.server(self.ports.nodes[self.names.index(name)]) for name in chosen)
        client = Client(Connection(servers, self.home.ca_file, self.home.admin_token), timeout)
        self._closing.callback(client.__exit__)
        return client

    def ask(self, path: str, client: Client | None = None) -> dict[str, Any]:
        """Node -> what it answers, of those that answer; none while our token is refused (a laptop that has just woken
        up renews it within a second)."""
        using = client or self._asking()
        by_server = dict(zip(self.servers(), self.names, strict=True))
        try:
            answers = [found for found in using.ask_each(path) if isinstance(found, Answer)]
        except CliError:
            return {}
        return {by_server[found.server]: found.data for found in answers}

    def _asking(self) -> Client:
        if self._asker is None:
            self._asker = self.client(1.0)
        return self._asker

    def status(self) -> dict[str, dict[str, Any]]:
        """Node -> GET /v1/status, of those that answer."""
        return self.ask("/v1/status")

    def settle(self, timeout: float = 20.0) -> None:
        """Until every running node has applied what any of them knows to be committed. Raises DevError."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = self.status()
            committed = max((status["commit_index"] for status in found.values()), default=0)
            if found and all(found.get(name, {}).get("applied", -1) >= committed for name in self.running()):
                return
            time.sleep(0.02)
        raise self.trouble(self.running(), f"the nodes did not catch up with each other within {timeout:g} s")

    def some_secrets(self, limit: int) -> dict[str, Any]:
        """The first page of one node's own list; empty if no node answers."""
        try:
            found = self._asking().read("/v1/secrets", {"consistency": "local", "limit": str(limit)}).data
        except CliError:
            return {}
        return found if isinstance(found, dict) else {}

    def leader(self, timeout: float = 20.0) -> str:
        """The node that leads now and says so itself. Raises DevError if none does within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            found = [
                (status["term"], name)
                for name, status in self.status().items()
                if status["state"] == "leader" and status["quorum"]
            ]
            if found:
                return max(found)[1]
            time.sleep(0.05)
        raise self.trouble(self.names, f"no leader within {timeout:g} s")

    # -- workloads and commands --------------------------------------------------------------------------------------

    def client_env(self) -> dict[str, str]:
        """What makes `safe` talk to this cluster and no other."""
        return {
            "SAFE_SERVER": ",".join(self.servers()),
            "SAFE_CA_FILE": str(self.home.ca_file),
            "SAFE_TOKEN_FILE": str(self.home.admin_token),
        }

    def add_workload(self, name: str, *, namespace: str = "demo", serviceaccount: str = "") -> Workload:
        """A pod: its token, its mount and its sidecar, which begins to run."""
        account = serviceaccount or name
        token_file = self.home.tokens / name
        found = Workload(name, namespace, account, self.home.mount(name), token_file, f"sidecar-{name}")

        def make(lifetime: float) -> str:
            return self.issuer.token(namespace, account, audience=programs.AUDIENCE, pod=name, lifetime=lifetime)

        self.tokens.add(token_file, LIFETIME, make)
        self.workloads[name] = found
        env = programs.sidecar_env(self.ports, self.home.ca_file, token_file, found.mount, name)
        argv = (*programs.command("safe-sidecar"), "run")
        self.supervisor.start(self._program(found.process, argv, env, self.home.logs))
        return found

    def _wait_complete(self, workload: Workload) -> None:
        """Until its first whole set is in place, be it empty: when a pod's containers would start. Raises DevError."""
        process = self.supervisor[workload.process]
        check, env = (*programs.command("safe-sidecar"), "check"), {"SAFE_TARGET": str(workload.mount)}
        deadline = time.monotonic() + READY
        while self._run(check, env, b"", READY).code != 0:
            if time.monotonic() > deadline:
                raise self.trouble([workload.process], f"the sidecar of {workload.name} got nothing in {READY:g} s")
            if not process.alive and not self.options.restart:
                raise self.trouble([workload.process], f"{workload.process} {process.how_it_ended()}")
            time.sleep(0.05)

    def end_workload(self, name: str) -> None:
        """Stop its sidecar; the files stay for who wants to look at them."""
        found = self.workloads.pop(name)
        self.supervisor.end(found.process, signal.SIGTERM)
        self.tokens.remove(found.token_file)

    def init_sidecar(
        self, name: str, token: str, target: Path, *, want: Sequence[str] = (), deadline: float = 20.0
    ) -> Done:
        """Run `safe-sidecar init` to its end with this token. Raises TimeoutExpired long after the deadline."""
        token_file = self.home.tokens / f"once-{name}"
        token_file.touch(0o600)
        token_file.write_text(token, "ascii")
        env = programs.sidecar_env(self.ports, self.home.ca_file, token_file, target, name, want)
        env["SAFE_DEADLINE"] = str(deadline)
        return self._run((*programs.command("safe-sidecar"), "init"), env, b"", deadline + 30)

    def safe(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Done:
        """Run `safe` with these arguments against this cluster, `stdin` being a pipe."""
        return self._run((*programs.command("safe"), *arguments), {**self.client_env(), **(env or {})}, stdin, 60)

    def _run(self, argv: tuple[str, ...], env: dict[str, str], stdin: bytes, timeout: float) -> Done:
        done = subprocess.run(
            bound(argv),
            input=stdin,
            capture_output=True,
            env=self._marked(env),
            cwd=self.home.logs,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
