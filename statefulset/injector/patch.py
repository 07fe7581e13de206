"""From a pod and its options to one JSON patch (RFC 6902).

Why it exists: what injection does to a pod is decided here, purely, and can be read in one go: a volume in memory, a
volume with the pod's own token and the CA, our container, and a read-only mount in the pod's containers.
What it refuses to do: put anything about a secret's value into the pod spec, change what is not ours, or add twice what
is there already (it compares with what is wanted, so a second pass changes nothing).

Native sidecars: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.settings import SettingsError, load
from statefulset.injector.annotations import PREFIX, STATUS, VARIABLES, Options, Refused, quantity

VOLUME: Final = "raftsafe"
IDENTITY: Final = "raftsafe-identity"
SIDECAR: Final = "raftsafe-sidecar"
INIT: Final = "raftsafe-init"
OURS: Final = frozenset({SIDECAR, INIT})
INJECTED: Final = PREFIX + "injected"
"""Label of injected pods: the controller finds the namespaces that need the CA bundle without reading all pods."""
IDENTITY_PATH: Final = "/run/raftsafe/identity"
TOKEN_SECONDS: Final = 3600
"""The kubelet renews at 80 %. A shorter life would ask more of the API server and end sooner in its outages."""
USER: Final = 65532
"""The image's own user, for pods that name none."""
BASE_MEMORY: Final = 72 << 20
"""What the process may need beside values and files: it peaks below 30 MiB, and a child that renders a template or asks
over HTTP needs some 25 MiB more while it runs (sidecar/DESIGN.md)."""
PATIENCE: Final = 3600
"""Seconds that the gate stays closed before the kubelet starts the sidecar again: the pod's events then say why."""

Pod = Mapping[str, Any]
Operation = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Injector:
    """What every injected sidecar is told. `nodes` is SAFE_NODES, `ca_config_map` the name of the ConfigMap with
    `ca.crt` that the controller keeps in every namespace that needs it."""

    image: str
    nodes: str
    ca_config_map: str = "raftsafe-ca"
    pull_policy: str = "IfNotPresent"


def patch(pod: Pod, options: Options, injector: Injector) -> list[Operation]:
    """The operations, none for a pod that has everything. Raises Refused."""
    _check(pod, options, injector)
    out: list[Operation] = []
    out += _entries("/spec/volumes", pod["spec"].get("volumes"), _volumes(options, injector))
    first, after = _containers(pod, options, injector)
    out += _entries("/spec/initContainers", pod["spec"].get("initContainers"), first, at="0")
    out += _entries("/spec/containers", pod["spec"].get("containers"), after)
    out += _mounts(pod, options, len([1 for op in out if op["path"].startswith("/spec/initContainers")]))
    if out:
        out += [_tag(pod, "annotations", STATUS, "injected"), _tag(pod, "labels", INJECTED, "true")]
    return out


def warnings(pod: Pod, options: Options) -> list[str]:
    """What will work, and yet not as somebody may expect."""
    out = []
    mode = int(options.environment.get("SAFE_FILE_MODE") or "0444", 8)
    group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
    if not mode & 0o004 and group is None and options.user is None and _pod_user(pod) is None:
        out.append(f"{PREFIX}file-mode keeps others from reading and the pod has no fsGroup: only user {USER} can read")
    if options.user == 0:
        out.append(f"{PREFIX}user is 0: the sidecar runs as root and a restricted namespace refuses the pod")
    names = pod["spec"].get("dnsPolicy") or "ClusterFirst"
    if names == "Default" or (pod["spec"].get("hostNetwork") and names == "ClusterFirst"):
        out.append(
            "the pod asks the machine's DNS; if that does not know Services the sidecar finds no node: dnsPolicy "
            + ("ClusterFirstWithHostNet" if pod["spec"].get("hostNetwork") else "ClusterFirst")
        )
    return out


# -- what is refused -------------------------------------------------------------------------------------------------
def _check(pod: Pod, options: Options, injector: Injector) -> None:
    spec = pod["spec"]
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        raise Refused(f"{PREFIX}inject: only Linux pods can be injected")
    if options.mode == "classic" and spec.get("restartPolicy", "Always") != "Always":
        raise Refused(f"annotation {PREFIX}mode: a classic sidecar keeps a Job from ending; use native or init")
    names = {container["name"] for container in _all(pod)}
    if missing := [name for name in options.containers if name not in names]:
        raise Refused(f"annotation {PREFIX}containers: this pod has no container {', '.join(missing)}")
    for volume in spec.get("volumes") or ():
        if volume["name"] == VOLUME and (volume.get("emptyDir") or {}).get("medium") != "Memory":
            raise Refused(f"the pod has a volume {VOLUME} of its own that is not in memory; give it another name")
    for container in _targets(pod, options):
        for mount in container.get("volumeMounts") or ():
            taken = mount["mountPath"].rstrip("/")
            if mount["name"] != VOLUME and (taken == options.path or taken.startswith(options.path + "/")):
                raise Refused(
                    f"annotation {PREFIX}path: container {container['name']} has something else mounted at {taken}"
                )
    _check_settings(options, injector)


def _check_settings(options: Options, injector: Injector) -> None:
    """By the sidecar's own reading of its variables, so that what is admitted here starts there."""
    env = {each["name"]: each.get("value", "pod") for each in _environment(options, injector)}
    try:
        load(env, "init" if options.mode == "init" else "run")
    except SettingsError as error:
        text = str(error)
        named = [name for name, variable in VARIABLES.items() if text.startswith(variable)]
        raise Refused(f"annotation {PREFIX}{named[0]}: {text}" if named else text) from None


# -- what is added ---------------------------------------------------------------------------------------------------
def _volumes(options: Options, injector: Injector) -> list[Operation]:
    token = {"audience": "raftsafe", "expirationSeconds": TOKEN_SECONDS, "path": "token"}
    bundle = {"name": injector.ca_config_map, "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    return [
        {"name": VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": options.size}},
        {"name": IDENTITY, "projected": {"sources": [{"serviceAccountToken": token}, {"configMap": bundle}]}},
    ]


def _containers(pod: Pod, options: Options, injector: Injector) -> tuple[list[Operation], list[Operation]]:
    """Containers before the pod's own init containers, and beside its containers."""
    one = _container(pod, options, injector)
    fetch = {**one, "name": INIT, "args": ["init"]}
    if options.mode == "init":
        return [fetch], []
    run = {**one, "name": SIDECAR, "args": ["run"]}
    if options.mode == "classic":
        return [fetch], [run]
    gate = {
        "exec": {"command": ["safe-sidecar", "check"]},
        "periodSeconds": 1,
        "timeoutSeconds": 5,
        "failureThreshold": PATIENCE,
    }
    return [{**run, "restartPolicy": "Always", "startupProbe": gate}], []


def _container(pod: Pod, options: Options, injector: Injector) -> Operation:
    size = quantity(options.size)
    limits = {"memory": str(BASE_MEMORY + 2 * size), **options.limits}
    return {
        "image": injector.image,
        "imagePullPolicy": injector.pull_policy,
        "command": ["safe-sidecar"],
        "env": _environment(options, injector),
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi", **options.requests}, "limits": limits},
        "securityContext": _security(pod, options),
        "volumeMounts": [
            {"name": VOLUME, "mountPath": options.path},
            {"name": IDENTITY, "mountPath": IDENTITY_PATH, "readOnly": True},
        ],
    }


def _environment(options: Options, injector: Injector) -> list[Operation]:
    fixed = {
        "SAFE_NODES": injector.nodes,
        "SAFE_CA_FILE": f"{IDENTITY_PATH}/ca.crt",
        "SAFE_TOKEN_FILE": f"{IDENTITY_PATH}/token",
        "SAFE_TARGET": options.path,
    }
    out: list[Operation] = [
        {"name": name, "value": value} for name, value in (fixed | dict(options.environment)).items()
    ]
    return [*out, {"name": "SAFE_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]


def _security(pod: Pod, options: Options) -> Operation:
    """The restricted Pod Security Standard. https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    user = options.user if options.user is not None else _pod_user(pod) or USER
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": user != 0,
        "runAsUser": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _pod_user(pod: Pod) -> int | None:
    user: int | None = (pod["spec"].get("securityContext") or {}).get("runAsUser")
    return user


# -- how it is added -------------------------------------------------------------------------------------------------
def _entries(path: str, present: Any, wanted: list[Operation], at: str = "-") -> list[Operation]:
    """Adds the entries whose name is not there; at "0" in front, in their order."""
    names = {entry["name"] for entry in present or ()}
    missing = [entry for entry in wanted if entry["name"] not in names]
    if missing and not present:
        return [{"op": "add", "path": path, "value": missing}]
    return [{"op": "add", "path": f"{path}/{at}", "value": entry} for entry in reversed(missing)]


def _all(pod: Pod) -> Iterator[Pod]:
    for kind in ("initContainers", "containers"):
        yield from pod["spec"].get(kind) or ()


def _targets(pod: Pod, options: Options) -> Iterator[Pod]:
    """The pod's own containers that get the mount."""
    for container in _all(pod):
        if container["name"] not in OURS and (not options.containers or container["name"] in options.containers):
            yield container


def _mounts(pod: Pod, options: Options, shifted: int) -> list[Operation]:
    """`shifted`: how many init containers the operations before these put in front."""
    out = []
    for kind, offset in (("initContainers", shifted), ("containers", 0)):
        for position, container in enumerate(pod["spec"].get(kind) or ()):
            if not any(container is each for each in _targets(pod, options)):
                continue
            present = container.get("volumeMounts")
            if any(mount["name"] == VOLUME for mount in present or ()):
                continue
            mount = {"name": VOLUME, "mountPath": options.path, "readOnly": True}
            path = f"/spec/{kind}/{position + offset}/volumeMounts"
            out.append(
                {"op": "add", "path": f"{path}/-", "value": mount}
                if present
                else {"op": "add", "path": path, "value": [mount]}
            )
    return out


def _tag(pod: Pod, where: str, key: str, value: str) -> Operation:
    """A label or an annotation; JSON pointers write "/" as "~1" (RFC 6901)."""
    if not pod["metadata"].get(where):
        return {"op": "add", "path": f"/metadata/{where}", "value": {key: value}}
    return {"op": "add", "path": f"/metadata/{where}/{key.replace('/', '~1')}", "value": value}
