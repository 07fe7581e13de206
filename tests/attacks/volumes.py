"""The pod's side: its volume and the texts it is configured with; and the audit log on the node's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from table import Attack
from world import CANARY, SECRET, World

from statefulset.cli.dev import programs


def _init(world: World, name: str, target: Path, **env: str) -> str:
    """What `safe-sidecar init` of the workload bank/teller says: its exit code, and the reason if it has one."""
    token = world.cluster.home.tokens / f"attack-{name}"
    token.touch(0o600)
    token.write_text(world.workload())
    cluster = world.cluster
    base = programs.sidecar_env(cluster.ports, cluster.home.ca_file, token, target, "p", (SECRET,))
    argv = (*programs.command("safe-sidecar"), "init")
    done = cluster._run(argv, {**base, "SAFE_DEADLINE": "10", **env}, b"", 40)
    world.seen += [done.out.encode(), done.err.encode()]
    words = re.search(r"SAFE_[A-Z_]+|not in memory|\(([a-z_]+)\)", done.err)
    return f"exit {done.code}" + (f" {words[0]}" if words and done.code else "")


def _mount(world: World, name: str) -> Path:
    return world.cluster.home.mount(f"attack-{name}")


def link_to_elsewhere(world: World) -> str:
    """The application, which shares the volume, has put a link where the secret's file goes."""
    mount = _mount(world, "link")
    victim = world.cluster.home.tokens / "victim"
    victim.write_text("untouched")
    (mount / "vault").symlink_to(victim)
    (mount / "..data").symlink_to(world.cluster.home.tokens)
    said = _init(world, "link", mount)
    loose = [path for path in world.cluster.home.tokens.iterdir() if path.is_file() and CANARY in path.read_bytes()]
    if loose or victim.read_text() != "untouched":
        return "written through the link"
    return f"{said}, nothing through the link"


def target_is_a_link_to_disk(world: World) -> str:
    disk = world.cluster.home.data / "disk-target"
    disk.mkdir()
    target = _mount(world, "disk") / "t"
    target.symlink_to(disk)
    said = _init(world, "disk", target)
    return "written to the disk" if any(path.is_file() for path in disk.rglob("*")) else said


def rendered_out(world: World) -> str:
    return _init(world, "render", _mount(world, "render"), SAFE_RENDER="../../escaped=env")


def rendered_absolute(world: World) -> str:
    return _init(world, "absolute", _mount(world, "absolute"), SAFE_RENDER="/etc/cron.d/x=env")


def rendered_over_ours(world: World) -> str:
    return _init(world, "ours", _mount(world, "ours"), SAFE_RENDER="..data/x=env")


def template_breaks_out(world: World) -> str:
    """A template that reaches for Python behind its sandbox."""
    text = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    rule = json.dumps([{"path": "x", "format": "template", "template": text}])
    mount = _mount(world, "template")
    said = _init(world, "template", mount, SAFE_RENDER=rule)
    written = mount / "x"
    return "it ran" if written.exists() and "class" in written.read_text() else said


def notify_elsewhere(world: World) -> str:
    return _init(world, "notify", _mount(world, "notify"), SAFE_NOTIFY="http POST http://169.254.169.254/latest")


def notify_by_name(world: World) -> str:
    """A name that is this pod's at first and another's later (DNS rebinding)."""
    return _init(world, "rebind", _mount(world, "rebind"), SAFE_NOTIFY="http POST http://localtest.me:8080/")


def notify_with_credentials(world: World) -> str:
    return _init(world, "userinfo", _mount(world, "userinfo"), SAFE_NOTIFY="http POST http://127.0.0.1@evil.example/")


def wrong_server(world: World) -> str:
    """Somebody else answers under the store's address: the issuer's server has another CA."""
    return _init(
        world,
        "server",
        _mount(world, "server"),
        SAFE_NODES=f"127.0.0.1:{world.cluster.ports.issuer}",
        SAFE_DEADLINE="3",
    )


NOBODY = 65534
HARDENED = {
    "safe-node": ("from node.__main__ import harden as hide", "hide()"),
    "safe-sidecar": ("from sidecar.memory import conceal as hide", "hide()"),
    "safe-control": ("from statefulset.__main__ import conceal as hide", "hide()"),
    "control": ("", ""),
}
AS_NOBODY = "os.setgroups([]); os.setgid({0}); os.setuid({0})"
DUMPABLE = "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)"
"""A process that changed its user is hidden by the kernel; visible again, it is as one that was started so."""


def core_files(world: World) -> str:
    """Of what really runs: a core dump would be a copy of all values on the node's disk."""
    limits = set()
    for process in (*world.cluster.names, *(one.process for one in world.cluster.workloads.values())):
        text = Path(f"/proc/{world.cluster.supervisor[process].pid}/limits").read_text()
        limits.add(" ".join(re.findall(r"Max core file size\s+(\S+)\s+(\S+)", text)[0]))
    return f"at most {' '.join(limits)} bytes"


def memory_of_another(world: World) -> str:
    """A process of the same user, who is not root, looks into each of ours after it has hardened itself, and into one
    that has not, as a control: root may look into all of them, whatever they do."""
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    out = []
    drop = AS_NOBODY.format(NOBODY) if user else ""
    for program, (imported, hide) in HARDENED.items():
        script = "\n".join(
            ("import os, ctypes", imported, drop, DUMPABLE, hide, "print('ready', flush=True)", "input()")
        )
        env = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.defpath}
        with subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env
        ) as victim:
            assert victim.stdout is not None and victim.stdin is not None
            assert victim.stdout.readline() == b"ready\n", program
            look = subprocess.run(["head", "-c1", f"/proc/{victim.pid}/environ"], capture_output=True, cwd="/", **user)
            out.append(f"{program} {'seen' if look.stdout else 'hidden'}")
            victim.stdin.write(b"\n")
    return ", ".join(out)


def argv(world: World) -> str:
    """Nothing secret on any command line of ours."""
    for process in (*world.cluster.names, *(one.process for one in world.cluster.workloads.values())):
        line = Path(f"/proc/{world.cluster.supervisor[process].pid}/cmdline").read_bytes()
        if CANARY in line or b"eyJ" in line:
            return f"found at {process}"
    return "nothing there"


def audit_cut(world: World) -> str:
    return _tampered(world, lambda lines: [*lines[:4], *lines[5:]])


def audit_changed(world: World) -> str:
    return _tampered(world, lambda lines: [line.replace("admin.secret.put", "admin.secret.get") for line in lines])


def audit_whole(world: World) -> str:
    return _tampered(world, lambda lines: lines)


def _tampered(world: World, change) -> str:
    log = (world.cluster.home.logs / "safe-0.log").read_text("utf-8", "replace").splitlines()
    at = [number for number, line in enumerate(log) if line.startswith('{"event": ')]
    changed = change([log[number] for number in at])
    key = world.cluster.home.tokens / "audit.key"
    made = world.cluster._run((*programs.command("safe-node"), "audit-key", str(world.identity)), {}, b"", 30)
    key.write_text(made.out)
    done = world.cluster.safe("audit", "verify", "-", "--key", str(key), stdin=("\n".join(changed) + "\n").encode())
    return f"exit {done.code}" + (" broken" if "broken" in done.err else "")


ATTACKS = [
    Attack("volume: links in place of files", "pod", "exit [01].*, nothing through the link", link_to_elsewhere),
    Attack("volume: target leads to a disk", "pod", "exit 2 (SAFE_TARGET|not in memory)", target_is_a_link_to_disk),
    Attack("render: path with ..", "pod", "exit 2 SAFE_RENDER", rendered_out),
    Attack("render: absolute path", "pod", "exit 2 SAFE_RENDER", rendered_absolute),
    Attack("render: over our own names", "pod", "exit 2 SAFE_RENDER", rendered_over_ours),
    Attack("render: a template leaves its sandbox", "pod", "exit [12].*", template_breaks_out),
    Attack("notify: the cloud's metadata", "pod", "exit 2 SAFE_NOTIFY", notify_elsewhere),
    Attack("notify: a name to be rebound", "pod", "exit 2 SAFE_NOTIFY", notify_by_name),
    Attack("notify: host behind an @", "pod", "exit 2 SAFE_NOTIFY", notify_with_credentials),
    Attack("server: certificate of another CA", "pod", "exit [13].*", wrong_server),
    Attack("process: core files", "node", "at most 0 0 bytes", core_files),
    Attack("process: memory read by the same user", "node",
           "safe-node hidden, safe-sidecar hidden, safe-control hidden, control seen", memory_of_another),
    Attack("process: command lines", "node", "nothing there", argv),
    Attack("audit: nothing was done to it", "audit", "exit 0", audit_whole),
    Attack("audit: a line taken away", "audit", "exit 1 broken", audit_cut),
    Attack("audit: a line changed", "audit", "exit 1 broken", audit_changed),
]  # fmt: skip
