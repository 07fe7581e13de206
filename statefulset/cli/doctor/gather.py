"""Gathers the facts: asks each node, the API server, and the webhook for its certificate; each thing once.

Why it exists: whatever cannot be asked becomes an Unknown with its reason, so that one refusal does not hide the rest.
What it refuses to do: judge, change anything but the reviews it asks for, or read a Secret.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from statefulset import manifests
from statefulset.cli import connection as connections
from statefulset.cli.client import Answer, Client, tls
from statefulset.cli.cluster import merged
from statefulset.cli.connection import Asked, Connection
from statefulset.cli.doctor.facts import Facts, Installed, Node, Unknown
from statefulset.cli.errors import USAGE, CliError

if TYPE_CHECKING:
    from statefulset.kube.api import Api
    from statefulset.kube.login import Login

Result = TypeVar("Result")

PATIENCE: Final = 10.0
"""Seconds for the handshake of one certificate."""
PAGES: Final = 20
"""Pages of 500 names whose versions are compared: beyond, `safe rollout status` is the way."""
WEBHOOK_PORT: Final = 9443
CONTROL: Final = "app.kubernetes.io/name=raftsafe,app.kubernetes.io/component=control"
NODES: Final = "app.kubernetes.io/name=raftsafe,app.kubernetes.io/component=node"
REVIEWS: Final = (("authentication.k8s.io", "tokenreviews"), ("authorization.k8s.io", "subjectaccessreviews"))
ACCESS: Final = {
    "see the store": ("get", "safeclusters", ""),
    "see sidecars": ("list", "safeclusters", "sidecars"),
    "list secrets": ("list", "safesecrets", ""),
    "put": ("create", "safesecrets", ""),
    "grant": ("update", "safesecrets", "grant"),
    "reveal": ("get", "safesecrets", "value"),
}
"""What people do -> verb, resource, subresource of the store (node/admin/rights.py), in all namespaces."""


def gather(env: Mapping[str, str], uid: int, asked: Asked, timeout: float) -> Facts:
    """Raises CliError: usage; away when neither a node nor the API server can be asked."""
    found: Connection | None = None
    trouble: CliError | None = None
    try:
        found = connections.find(env, uid, asked=asked)
    except CliError as error:
        if error.exit_code == USAGE:
            raise
        trouble = error  # on the way through a cluster: what is installed there can still be looked at
    login = _login(env, asked, found)
    store = _store(found, timeout) if found is not None else _nothing(trouble)
    installed = _installed(login, asked) if login is not None else Unknown(_not_here(found))
    answering = not isinstance(store["nodes"], Unknown) and any(node.status for node in store["nodes"])
    if not answering and isinstance(installed, Unknown):
        raise trouble or store["away"]
    store.pop("away", None)
    return Facts(
        where=_where(found, login, asked),
        now_ms=int(time.time() * 1000),
        version=version("raftsafe"),
        namespace=asked.namespace,
        installed=installed,
        reviewed=answering and login is not None,
        **store,
    )


def _login(env: Mapping[str, str], asked: Asked, found: Connection | None) -> Login | None:
    if found is not None:
        return found.way.login if found.way is not None else None
    from statefulset.cli.tunnel import login

    return login(connections.kubeconfig(env), asked)


def _where(found: Connection | None, login: Login | None, asked: Asked) -> str:
    if login is not None:
        return f"context {login.context}, namespace {asked.namespace}"
    if found is not None and found.socket is not None:
        return "the socket of this pod's node"
    return ", ".join(found.servers) if found is not None else ""


def _not_here(found: Connection | None) -> str:
    if found is not None and found.socket is not None:
        return "a pod may not look at the installation: run it where there is a kubeconfig"
    return "only with a kubeconfig, and without SAFE_SERVER or a running `safe dev` (or with --context)"


# -- the store ------------------------------------------------------------------------------------------------------


def _nothing(trouble: CliError | None) -> dict[str, Any]:
    unknown = Unknown("")
    if trouble is not None:
        ours = trouble.exit_code == USAGE or trouble.code == "forbidden"
        unknown = Unknown(trouble.message, trouble.hint, refused=ours)
    silent = Unknown("no node can be asked")
    return {"nodes": unknown, "authority": silent, "sidecars": silent, "versions": silent}


def _store(found: Connection, timeout: float) -> dict[str, Any]:
    with Client(found, timeout) as client:
        out: dict[str, Any] = {"authority": _authority(found), "sidecars": Unknown(""), "versions": Unknown("")}
        try:
            client.ask_each("/v1/status")  # opens the connections, so that the next look times nothing but the answer
            seen = client.ask_each("/v1/status")
        except CliError as error:
            if error.exit_code == USAGE and found.way is None:
                raise
            return _nothing(error) | {"authority": out["authority"], "away": error}
        out["nodes"] = [_node(result, found, server) for result, server in zip(seen, found.servers, strict=True)]
        failures = "; ".join(f"{node.server}: {node.failure}" for node in out["nodes"] if node.failure)
        out["away"] = CliError(f"no node answers ({failures})", code="unavailable", exit_code=3)
        out["sidecars"] = _or_why(lambda: _sidecars(client))
        out["versions"] = _or_why(lambda: _versions(client))
        return out


def _or_why(ask: Callable[[], Result]) -> Result | Unknown:
    try:
        return ask()
    except CliError as error:
        return Unknown(error.message)


def _node(result: Any, found: Connection, server: str) -> Node:
    if not isinstance(result, Answer):
        return Node(result.server, None, result.message)
    began, ended = result.span
    at = result.data.get("at_ms")
    skew = None if at is None else at - (began + ended) / 2
    return Node(result.data["node"], result.data, "", skew, (ended - began) / 2, _expires(found, server))


def _expires(found: Connection, server: str) -> int | None:
    """When the certificate that a server shows ends, None if it shows none."""
    if found.socket is not None:
        return None
    parts = urlsplit(server)
    try:
        with (
            socket.create_connection((parts.hostname, parts.port or 443), PATIENCE) as raw,
            tls(found).wrap_socket(raw, server_hostname=parts.hostname) as shown,
        ):
            return _ms((shown.getpeercert() or {})["notAfter"])
    except (OSError, KeyError):
        return None


def _ms(moment: Any) -> int:
    return ssl.cert_time_to_seconds(str(moment)) * 1000


def _authority(found: Connection) -> list[int] | Unknown:
    if found.ca_file is None and not found.ca:
        return Unknown("the system's authorities are trusted")
    return [_ms(each["notAfter"]) for each in tls(found).get_ca_certs()]


def _sidecars(client: Client) -> list[dict[str, Any]] | Unknown:
    answers = [result for result in client.ask_each("/v1/sidecars") if isinstance(result, Answer)]
    if not answers:
        return Unknown("no node tells of its sidecars")
    return merged([item for answer in answers for item in answer.data])


def _versions(client: Client) -> dict[str, tuple[int, int]] | Unknown:
    found: dict[str, tuple[int, int]] = {}
    params = {"limit": "500", "consistency": "local"}
    for _ in range(PAGES):
        page = client.read("/v1/secrets", params).data
        found |= {each["name"]: (each["version"], each["updated_ms"]) for each in page["secrets"]}
        if not page["next"]:
            return found
        params["after"] = page["next"]
    return Unknown("there are too many secrets")


# -- the installation -----------------------------------------------------------------------------------------------


def _installed(login: Login, asked: Asked) -> Installed | Unknown:
    from statefulset.kube.objects import AwayError

    try:
        return _looked(login, asked)
    except AwayError as error:
        return Unknown(str(error))


def _looked(login: Login, asked: Asked) -> Installed:
    """Raises AwayError."""
    from statefulset.kube.objects import ForbiddenError

    api, namespace = login.api, asked.namespace
    absent, unread, documents = [], [], {}
    for document in manifests.install(manifests.load(), manifests.Options(namespace=namespace)):
        name = f"{document['kind']} {document['metadata']['name']}"
        try:
            there = api.get(path_of(document))
        except ForbiddenError:
            unread.append(name)
            continue
        if there is None:
            absent.append(name)
        else:
            documents[name] = there
    inside = f"/api/v1/namespaces/{namespace}"
    control = _listed(api, f"{inside}/pods", "pods", labelSelector=CONTROL)
    return Installed(
        absent,
        unread,
        documents,
        _listed(api, f"{inside}/pods", "pods", labelSelector=NODES),
        _listed(api, f"{inside}/persistentvolumeclaims", "claims", labelSelector=NODES),
        _handshakes(login, namespace, control, documents.get("MutatingWebhookConfiguration raftsafe")),
        _reviews(api, namespace),
        Unknown("rights of the service account are not asked for") if asked.account else _may(api),
        _listed(api, "/apis/raftsafe.io/v1alpha1/safesecrets", "SafeSecrets"),
    )


def path_of(document: Mapping[str, Any]) -> str:
    """Where the API server has it. Kinds here have regular plurals."""
    version_, kind, metadata = document["apiVersion"], document["kind"].lower(), document["metadata"]
    root = "/api/v1" if version_ == "v1" else f"/apis/{version_}"
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    inside = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    return f"{root}{inside}/{plural}/{metadata['name']}"


def _listed(api: Api, path: str, what: str, **query: str) -> list[dict[str, Any]] | Unknown:
    from statefulset.kube.objects import ForbiddenError

    try:
        return list(api.items(path, **query))
    except ForbiddenError:
        return Unknown(f"you may not list {what}")


def _reviews(api: Api, namespace: str) -> bool | Unknown:
    """Whether the nodes' service account may ask who somebody is and what he may do."""
    from statefulset.kube.objects import ForbiddenError

    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    user = {"user": f"system:serviceaccount:{namespace}:safe-node", "groups": groups}
    try:
        for group, resource in REVIEWS:
            spec = user | {"resourceAttributes": {"group": group, "resource": resource, "verb": "create"}}
            if not _allowed(api, "SubjectAccessReview", spec):
                return False
    except ForbiddenError:
        return Unknown("you may not create subjectaccessreviews")
    return True


def _may(api: Api) -> dict[str, bool] | Unknown:
    from statefulset.kube.objects import ForbiddenError

    out = {}
    try:
        for what, (verb, resource, part) in ACCESS.items():
            asked = {"group": "raftsafe.io", "resource": resource, "subresource": part, "verb": verb}
            out[what] = _allowed(api, "SelfSubjectAccessReview", {"resourceAttributes": asked})
    except ForbiddenError as error:
        return Unknown(str(error))
    return out


def _allowed(api: Api, kind: str, spec: Mapping[str, Any]) -> bool:
    group = "authorization.k8s.io/v1"
    made = api.create(f"/apis/{group}/{kind.lower()}s", {"apiVersion": group, "kind": kind, "spec": spec})
    return bool(((made or {}).get("status") or {}).get("allowed"))


def _handshakes(login: Login, namespace: str, pods: Any, configuration: Any) -> dict[str, str] | Unknown:
    """What the API server would find: each replica's certificate held against caBundle."""
    if isinstance(pods, Unknown):
        return pods
    hooks: Sequence[Any] = (configuration or {}).get("webhooks") or ({},)
    bundle = (hooks[0].get("clientConfig") or {}).get("caBundle")
    if not bundle:
        return {}
    try:
        context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ValueError, ssl.SSLError):
        return {pod["metadata"]["name"]: "caBundle holds no certificate" for pod in pods}
    out = {}
    for pod in pods:
        name = pod["metadata"]["name"]
        forward = login.forward(namespace, name, WEBHOOK_PORT)
        with contextlib.closing(forward):
            why = _shaken(context, forward.port, f"safe-control.{namespace}.svc")
            if why and "403" in forward.why:
                return Unknown("you may not forward to its pods")
            out[name] = (forward.why or why) if why else ""
    return out


def _shaken(context: ssl.SSLContext, port: int, name: str, tries: int = 2) -> str:
    """ "" or why the certificate there is not trusted for that name. A connection may break on its way through the API
    server, which says nothing of the certificate: it is tried once more."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as raw,
            context.wrap_socket(raw, server_hostname=name),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        return _shaken(context, port, name, tries - 1) if tries > 1 else f"no TLS connection ({type(error).__name__})"


def here(asked: Asked, timeout: float) -> Facts:
    """Of this process."""
    return gather(os.environ, os.getuid(), asked, timeout)
