"""What one real sidecar costs beside three real nodes: an hour of updates in minutes, then nothing at all.

    python tests/bench/one_sidecar.py [--updates 2000] [--idle 60] [--secrets 50] [--plain]

Why it exists: each megabyte of a sidecar is paid a thousand times in a cluster. Growth is judged by a ratio in one run:
resident memory after the last fifth of the updates to that after the first fifth, each once it has settled.
What it refuses to do: measure a process of the test's own making; sidecar and nodes are the programs as installed.
Unless --plain, the sidecar also renders an env file of all secrets and looks for a process to signal, in vain.
"""

from __future__ import annotations

import argparse
import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from statefulset.cli.dev import programs
from statefulset.cli.dev.harness import DevCluster, Options

ROUNDS = 5
SETTLE = 3.0
TICKS = os.sysconf("SC_CLK_TCK")


def kib(pid: int, key: str) -> int:
    """A size of /proc/PID/status."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(key))


def cpu_seconds(pid: int) -> float:
    """User and system time so far, of the process and of children it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def start(cluster: DevCluster, plain: bool, optimize: bool) -> subprocess.Popen[bytes]:
    """The sidecar of the workload `web`, in the place of the harness's own."""
    web = cluster.workloads["web"]
    cluster.supervisor.end(web.process, signal.SIGTERM)
    env = programs.clean(os.environ) | programs.sidecar_env(
        cluster.ports, cluster.home.ca_file, web.token_file, web.mount, "web"
    )
    if not plain:
        env |= {"SAFE_RENDER": "app.env=env", "SAFE_NOTIFY": "signal WINCH nobody-of-this-name debounce=0.5 retries=0"}
    command = [sys.executable, *(["-OO"] if optimize else []), "-m", "sidecar", "run"]
    return subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)


def update(cluster: DevCluster, count: int, secrets: int) -> None:
    with cluster.client() as client:
        for number in range(count):
            value = base64.b64encode(os.urandom(64 + number % 4000)).decode("ascii")
            body = {"fields": {"value": value}, "grants": ["demo/web"]}
            client.change("PUT", f"/v1/secrets/demo/s{number % secrets}", body=body)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--idle", type=float, default=60.0)
    parser.add_argument("--secrets", type=int, default=50)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--optimize", action="store_true", help="run the sidecar with python -OO")
    args = parser.parse_args()
    with DevCluster(Options(port=0, private=True, restart=False)) as cluster:
        update(cluster, args.secrets, args.secrets)
        process = start(cluster, args.plain, args.optimize)
        try:
            time.sleep(SETTLE)
            print(
                f"{args.secrets} secrets, settled: {kib(process.pid, 'VmRSS:')} KiB, peak {kib(process.pid, 'VmHWM:')}"
            )
            sizes, begin, used = [], time.monotonic(), cpu_seconds(process.pid)
            for number in range(1, ROUNDS + 1):
                update(cluster, args.updates // ROUNDS, args.secrets)
                time.sleep(SETTLE)
                sizes.append(kib(process.pid, "VmRSS:"))
                print(
                    f"after {number * args.updates // ROUNDS} updates: {sizes[-1]} KiB, peak {kib(process.pid, 'VmHWM:')}"
                )
            took = time.monotonic() - begin - ROUNDS * SETTLE
            spent = cpu_seconds(process.pid) - used
            print(f"{args.updates} updates in {took:.0f} s, {1000 * spent / args.updates:.2f} ms of CPU each")
            print(f"growth, last to first fifth: {sizes[-1] / sizes[0]:.3f}")
            used = cpu_seconds(process.pid)
            time.sleep(args.idle)
            spent = cpu_seconds(process.pid) - used
            print(f"idle for {args.idle:g} s: {spent:.2f} s of CPU, {100 * spent / args.idle:.3f} % of a core")
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
