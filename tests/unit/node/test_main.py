"""The process: what it says and how it ends when it cannot start. Starting for real is tests/cluster's part."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, within: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
    """`within`: the command that starts it, as `setpriv` does."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SAFE_")}
    return subprocess.run(
        [*within, sys.executable, "-m", "node", *arguments],
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    assert run("init-identity", str(tmp_path / "identity")).returncode == 0
    peer = port()
    return {
        "SAFE_NAME": "safe-0",
        "SAFE_PEERS": f"safe-0={peer}",
        "SAFE_DATA_DIR": str(tmp_path / "data"),
        "SAFE_IDENTITY_DIR": str(tmp_path / "identity"),
        "SAFE_PEER_LISTEN": peer,
        "SAFE_DELIVERY_LISTEN": port(),
        "SAFE_ADMIN_LISTEN": port(),
        "SAFE_ISSUER": "https://127.0.0.1:1",
        "SAFE_API_SERVER": "https://127.0.0.1:1",
    }


def test_missing_settings_are_one_clear_line() -> None:
    done = run()
    assert done.returncode == 70
    assert done.stderr == "safe-node: SAFE_NAME is not set\nhint: see node/DESIGN.md, Settings\n"


def test_an_identity_is_made_once(tmp_path: Path) -> None:
    first, second = (run("init-identity", str(tmp_path / "identity")) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stderr.startswith("made") and second.stderr.startswith("kept")


def test_a_lost_root_key_says_what_to_restore(env: dict[str, str]) -> None:
    Path(env["SAFE_IDENTITY_DIR"], "root.key").unlink()
    done = run(**env)
    assert done.returncode == 70 and "root.key cannot be read" in done.stderr and "restore the Secret" in done.stderr


def test_a_port_in_use_is_one_line(env: dict[str, str]) -> None:
    host, number = env["SAFE_PEER_LISTEN"].split(":")
    with socket.create_server((host, int(number))):
        done = run(**env)
    assert done.returncode == 1 and "Traceback" not in done.stderr and number in done.stderr.splitlines()[-1]


def test_a_volume_that_cannot_be_written_says_what_to_do(env: dict[str, str], tmp_path: Path) -> None:
    """As a hostPath volume that was made by hand and belongs to root."""
    volume = tmp_path / "volume"
    volume.mkdir(mode=0o500)
    plain = (
        ("setpriv", "--bounding-set=-all") if os.getuid() == 0 else ()
    )  # root without its capability to write anywhere
    done = run(within=plain, **env | {"SAFE_DATA_DIR": str(volume / "node")})
    assert done.returncode == 1 and "Traceback" not in done.stderr
    why, hint = done.stderr.splitlines()[-2:]
    assert str(volume / "node") in why and f"chown {os.getuid()}:{os.getgid()}" in hint


def test_told_to_stop_while_it_waits_for_its_volume_it_leaves(env: dict[str, str], tmp_path: Path) -> None:
    """Not 30 s later, and as one that was told: the volume is still held when it goes."""
    (tmp_path / "data").mkdir()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SAFE_")}
    with (tmp_path / "data" / "lock").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = [sys.executable, "-m", "node"]
        node = subprocess.Popen(command, env={**clean, **env}, stderr=subprocess.PIPE, text=True)
        try:
            assert node.stderr is not None
            said = next(line for line in node.stderr if "still in use" in line or "safe-node:" in line)
            assert "waiting for it" in said
            node.send_signal(signal.SIGTERM)
            rest = node.communicate(timeout=60)[1]
        finally:
            node.kill()
            node.wait()
    assert node.returncode == 0 and "before anything was served" in rest and "Traceback" not in rest


def test_a_missing_package_is_one_line(tmp_path: Path) -> None:
    for package, arguments in (("aiohttp", []), ("cryptography", ["init-identity", str(tmp_path / "identity")])):
        script = f"import sys; sys.modules[{package!r}] = None; sys.argv[1:] = {arguments}; from node.__main__ import main; main()"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert done.stderr.endswith(f"safe-node: the {package} package is missing; install raftsafe[node]\n")
        assert len(done.stderr.splitlines()) == 1


def test_usage() -> None:
    assert run("no-such-thing").returncode == 2
    assert "SAFE_" in run("--help").stdout


def test_the_audit_key_opens_nothing_and_is_the_same_each_time(tmp_path: Path) -> None:
    assert run("init-identity", str(tmp_path / "identity")).returncode == 0
    shown = [run("audit-key", str(tmp_path / "identity")) for _ in range(2)]
    key = bytes.fromhex(shown[0].stdout.strip())
    assert len(key) == 32 and shown[0].stdout == shown[1].stdout
    assert key != (tmp_path / "identity" / "root.key").read_bytes()


def test_an_audit_file_that_cannot_be_had_is_one_line(env: dict[str, str], tmp_path: Path) -> None:
    done = run(**env, SAFE_AUDIT_FILE=str(tmp_path / "no" / "audit.log"))
    assert done.returncode == 70
    assert "SAFE_AUDIT_FILE" in done.stderr and "Traceback" not in done.stderr
