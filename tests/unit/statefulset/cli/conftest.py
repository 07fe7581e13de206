"""A store on HTTPS in this process (the fixtures of the admin API's tests), and `safe` as a process against it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .forked import forking

ROOT = Path(__file__).parents[4]


def _admin() -> ModuleType:
    path = ROOT / "tests" / "unit" / "node" / "admin" / "conftest.py"
    spec = importlib.util.spec_from_file_location("admin_standin", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["admin_standin"] = module
    spec.loader.exec_module(module)
    return module


admin = _admin()


class Server:
    """The admin API over one stand-in node, on a loop in a thread of its own."""

    def __init__(self, tls: Any, **settings: Any) -> None:
        self.node = admin.Node(**settings)
        self.url = ""
        self._tls = tls
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with admin.serving(self.node, self._tls) as api:
            self.url = f"https://localhost:{api.port}"
            self._up.set()
            await self._end.wait()

    def start(self) -> Server:
        self._thread.start()
        assert self._up.wait(30)
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)


@dataclasses.dataclass
class Result:
    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def error(self) -> str:
        return self.err.decode()


class Safe:
    """`safe` as a process (forked.py), with an environment of its own."""

    def __init__(self, folder: Path, servers: list[str], tls: Any, token: str = "good-token") -> None:
        self.folder = folder
        self.alone = {"SAFE_DEV_MEMORY": str(folder)}
        """Without it a `safe dev` that runs on this machine is found, and written to."""
        tls.ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        (folder / "token").write_text(token + "\n")
        self.env = {
            "PATH": os.environ["PATH"],
            "SAFE_SERVER": ",".join(servers),
            "SAFE_CA_FILE": str(folder / "ca.pem"),
            "SAFE_TOKEN_FILE": str(folder / "token"),
            **self.alone,
        }

    def __call__(self, *args: str, stdin: bytes = b"", **env: str) -> Result:
        return Result(*forking().run(args, stdin, {**self.env, **env}))


@pytest.fixture(scope="session")
def tls() -> Any:
    return admin.Tls()


@pytest.fixture
def server(tls: Any) -> Iterator[Server]:
    server = Server(tls).start()
    yield server
    server.stop()


@pytest.fixture
def make_server(tls: Any) -> Iterator[Any]:
    """Starts another server; all are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def make(**settings: Any) -> Server:
            server = Server(tls, **settings).start()
            stack.callback(server.stop)
            return server

        yield make


@pytest.fixture
def make_safe(tmp_path: Path, tls: Any) -> Any:
    """`safe` for a list of URLs."""
    return lambda *servers, **more: Safe(tmp_path, list(servers), tls, **more)


@pytest.fixture
def safe(server: Server, make_safe: Any) -> Any:
    return make_safe(server.url)


@pytest.fixture
def nowhere() -> str:
    """A URL on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def logged() -> Iterator[Any]:
    """All log lines of this process, the server's among them, from DEBUG on."""
    handler, root = admin.Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
