"""What the restricted Pod Security Standard says against a pod, as a pure function.

Why it exists: our own pods, and pods that something of ours is put into, must start in a namespace that enforces it;
that is to be known before an API server says so. The controls are those of
https://kubernetes.io/docs/concepts/security/pod-security-standards, baseline and restricted, for Linux.
What it refuses to do: count on the controls that only Windows pods have beyond hostProcess, or on admission plugins
that fill in what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

Spec = dict[str, Any]

VOLUMES: Final = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
SELINUX_TYPES: Final = (
    None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t",
)  # fmt: skip
SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
SECCOMP: Final = ("RuntimeDefault", "Localhost")


def violations(pod: Spec) -> list[str]:
    """Each reason why a pod of this spec (`spec` of a Pod, or of a template) is refused; empty if it is let in."""
    shared = pod.get("securityContext") or {}
    found = list(_pod(pod, shared))
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind) or ():
            found += (f"{kind}/{container['name']}: {why}" for why in _container(container, shared))
    return found


def _pod(pod: Spec, shared: Spec) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"
    for volume in pod.get("volumes") or ():
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']} is of a kind that is not allowed: {', '.join(sorted(kinds - VOLUMES))}"
    for sysctl in shared.get("sysctls") or ():
        if sysctl["name"] not in SYSCTLS:
            yield f"sysctl {sysctl['name']} is not allowed"
    yield from _both(shared)


def _both(context: Spec) -> Iterator[str]:
    """What may be said of a pod and of a container, and is wrong in either place."""
    if context.get("runAsUser") == 0:
        yield "runAsUser is 0"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield "hostProcess is set"
    options = context.get("seLinuxOptions") or {}
    if options.get("type") not in SELINUX_TYPES or options.get("user") or options.get("role"):
        yield "seLinuxOptions are not allowed"
    profile = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
    if profile not in SECCOMP:
        yield f"appArmorProfile {profile} is not allowed"


def _container(container: Spec, shared: Spec) -> Iterator[str]:
    context = container.get("securityContext") or {}
    yield from _both(context)
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("runAsNonRoot", shared.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true"
    seccomp = (context.get("seccompProfile") or shared.get("seccompProfile") or {}).get("type")
    if seccomp not in SECCOMP:
        yield f"seccompProfile is {seccomp or 'not set'}"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "capabilities are not dropped"
    if set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if context.get("procMount", "Default") != "Default":
        yield "procMount is not Default"
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield "hostPort is set"
    if any(_names_a_host(container)):
        yield "a probe or hook names a host"


def _names_a_host(container: Spec) -> Iterator[bool]:
    """Of baseline since 1.34: the kubelet must not be sent to other addresses than the pod's."""
    hooks = container.get("lifecycle") or {}
    handlers = [container.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")]
    for handler in [*handlers, hooks.get("postStart"), hooks.get("preStop")]:
        for action in ("httpGet", "tcpSocket"):
            yield bool(((handler or {}).get(action) or {}).get("host"))
