"""Reads and creates single Secrets and ConfigMaps, as the pod this process runs in.

Why it exists: the outcomes that decisions are made of (there, not there, made, somebody was first, not allowed, not
now) instead of status codes and exceptions of a client. What it refuses to do: wait for an answer longer than its
deadline, repeat anything by itself, or put the body of an answer into a message: it may be a Secret.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from kubernetes.config.incluster_config import InClusterConfigLoader
from urllib3.exceptions import HTTPError

Kind = Literal["secret", "config_map"]
Result = TypeVar("Result")

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEADLINE: Final = (3.0, 5.0)
"""Seconds for a connection and for an answer. Whoever asks does so again."""
LABELS: Final = {
    "app.kubernetes.io/name": "raftsafe",
    "app.kubernetes.io/component": "node",
    "app.kubernetes.io/part-of": "raftsafe",
}


class AwayError(Exception):
    """The API server cannot be reached, or asks to come back later. Trying again may help."""


class ForbiddenError(Exception):
    """The API server answered and refused: repeating it changes nothing until somebody changes a right or an object."""


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
        self._api = CoreV1Api(in_cluster(account, environ))
        self._namespace = namespace

    def get(self, kind: Kind, name: str) -> dict[str, bytes] | None:
        """What the object holds, by key; None if there is none."""
        read: Callable[..., Any] = getattr(self._api, f"read_namespaced_{kind}")
        found = _asked(lambda: read(name, self._namespace, _request_timeout=DEADLINE), absent=404)
        if found is None:
            return None
        data = found.data or {}
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
        make: Callable[..., Any] = getattr(self._api, f"create_namespaced_{kind}")
        return _asked(lambda: make(self._namespace, body, _request_timeout=DEADLINE), absent=409) is not None


def _asked(request: Callable[[], Result], *, absent: int) -> Result | None:
    """The answer; None for the status `absent`. Raises AwayError or ForbiddenError."""
    try:
        return request()
    except ApiException as error:
        status = error.status or 0
        if status == absent:
            return None
        if status == 429 or status >= 500 or status == 0:
            raise AwayError(f"the API server answered with status {status}") from None
        raise ForbiddenError(f"the API server refused with status {status}") from None
    except AttributeError as error:
        # The client fails over its own exception, which has no body, when a TLS handshake fails (api_client.call_api).
        if not isinstance(error.__context__, ApiException):
            raise
        raise AwayError("the API server cannot be reached: no TLS connection, see ca.crt of the account") from None
    except (HTTPError, OSError) as error:
        raise AwayError(f"the API server cannot be reached: {type(error).__name__}") from None
