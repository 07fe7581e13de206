"""Every control of the restricted standard, by a pod that breaks it and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from statefulset import podsecurity

GOOD: dict[str, Any] = {
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "app",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "ports": [{"containerPort": 80}],
            "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
        }
    ],
    "volumes": [{"name": "a", "emptyDir": {}}],
}
POD, CONTAINER = (), ("containers", 0)


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    pod = copy.deepcopy(GOOD)
    at: Any = pod
    for key in path[:-1]:
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return pod


def test_a_good_pod_is_let_in():
    assert podsecurity.violations(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("hostNetwork",), True),
        (("hostPID",), True),
        (("hostIPC",), True),
        (("volumes",), [{"name": "a", "hostPath": {"path": "/"}}]),
        (("volumes",), [{"name": "a", "nfs": {}}]),
        (("securityContext", "runAsNonRoot"), None),
        (("securityContext", "runAsNonRoot"), False),
        (("securityContext", "runAsUser"), 0),
        (("securityContext", "seccompProfile"), None),
        (("securityContext", "seccompProfile"), {"type": "Unconfined"}),
        (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
        (("securityContext", "seLinuxOptions"), {"type": "spc_t"}),
        (("securityContext", "seLinuxOptions"), {"user": "u"}),
        (("securityContext", "appArmorProfile"), {"type": "Unconfined"}),
        (("securityContext", "windowsOptions"), {"hostProcess": True}),
        ((*CONTAINER, "securityContext", "allowPrivilegeEscalation"), None),
        ((*CONTAINER, "securityContext", "allowPrivilegeEscalation"), True),
        ((*CONTAINER, "securityContext", "privileged"), True),
        ((*CONTAINER, "securityContext", "runAsNonRoot"), False),
        ((*CONTAINER, "securityContext", "runAsUser"), 0),
        ((*CONTAINER, "securityContext", "capabilities"), None),
        ((*CONTAINER, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ((*CONTAINER, "securityContext", "capabilities"), {"drop": ["KILL"]}),
        ((*CONTAINER, "securityContext", "procMount"), "Unmasked"),
        ((*CONTAINER, "securityContext", "seccompProfile"), {"type": "Unconfined"}),
        ((*CONTAINER, "ports"), [{"containerPort": 80, "hostPort": 80}]),
        ((*CONTAINER, "livenessProbe"), {"httpGet": {"host": "10.0.0.1", "port": 80}}),
        ((*CONTAINER, "lifecycle"), {"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}}),
    ],
)
def test_one_change_is_one_violation(path, value):
    assert len(podsecurity.violations(changed(path, value))) == 1


def test_init_and_ephemeral_containers_are_looked_at_too():
    for kind in ("initContainers", "ephemeralContainers"):
        (why,) = podsecurity.violations(
            GOOD
            | {kind: [GOOD["containers"][0] | {"name": "x", "securityContext": {"capabilities": {"drop": ["ALL"]}}}]}
        )
        assert why == f"{kind}/x: allowPrivilegeEscalation is not false"


def test_what_is_allowed_beyond_the_least():
    pod = changed((*CONTAINER, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})
    pod["securityContext"] |= {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}], "runAsUser": 7}
    assert podsecurity.violations(pod) == []
