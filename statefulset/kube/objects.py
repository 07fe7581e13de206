"""Reads and creates single Secrets and ConfigMaps, as the pod this process runs in.

Why it exists: the outcomes that decisions are made of (there, not there, made, somebody was first, not allowed, not
now) instead of status codes and exceptions of a client. What it refuses to do: wait for an answer longer than its
deadline, repeat anything by itself, or put the body of an answer into a message: it may be a Secret.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader

from statefulset.kube.api import Api
from statefulset.kube.errors import AwayError, ForbiddenError

__all__ = ["ACCOUNT", "AwayError", "ForbiddenError", "Objects", "in_cluster"]

Kind = Literal["secret", "config_map"]

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_PLURAL: Final = {"secret": "secrets", "config_map": "configmaps"}
LABELS: Final = {
    "app.kubernetes.io/name": "raftsafe",
    "app.kubernetes.io/component": "node",
    "app.kubernetes.io/part-of": "raftsafe",
}


def in_cluster(account: Path = ACCOUNT, environ: Mapping[str, str] = os.environ) -> ApiClient:
    """The client of a pod. `account`: folder with `token` and `ca.crt`, read anew as the kubelet renews them.

    Raises ForbiddenError when this is no pod of a cluster."""
    configuration = Configuration()
    loader = InClusterConfigLoader(str(account / "token"), str(account / "ca.crt"), environ=environ)
    try:
        loader.load_and_set(configuration)
    except ConfigException as error:
        raise ForbiddenError(f"this process cannot speak to the API server of a cluster: {error}") from None
    configuration.retries = False
    return ApiClient(configuration)


class Objects:
    """Secrets and ConfigMaps of one namespace."""

    def __init__(self, namespace: str, account: Path = ACCOUNT, environ: Mapping[str, str] = os.environ) -> None:
        """Raises ForbiddenError when this is no pod of a cluster."""
        self._api = Api(in_cluster(account, environ))
        self._path = f"/api/v1/namespaces/{namespace}"

    def get(self, kind: Kind, name: str) -> dict[str, bytes] | None:
        """What the object holds, by key; None if there is none."""
        found = self._api.get(f"{self._path}/{_PLURAL[kind]}/{name}")
        if found is None:
            return None
        data = found.get("data") or {}
        if kind == "config_map":
            return {key: value.encode() for key, value in data.items()}
        return {key: base64.b64decode(value) for key, value in data.items()}

    def create(self, kind: Kind, name: str, data: Mapping[str, bytes], about: str) -> bool:
        """Whether it is ours now; False if there was one already, which is then left as it is.

        `about`: a sentence for whoever finds the object."""
        if kind == "secret":
            encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        else:
            encoded = {key: value.decode() for key, value in data.items()}
        body = {
            "metadata": {"name": name, "labels": LABELS, "annotations": {"raftsafe.io/about": about}},
            "data": encoded,
        }
        return self._api.create(f"{self._path}/{_PLURAL[kind]}", body) is not None
