"""A person's kubeconfig: the client it describes, the token it holds, one pod's port brought to this machine.

Why it exists: `safe` on a laptop is whoever kubectl is there, and reaches the store the way kubectl would.
What it refuses to do: change the kubeconfig, or put what an exec plugin or the API server said about a token into a
message.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import os
from typing import Final

import yaml
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import ConfigException
from kubernetes.config.kube_config import list_kube_config_contexts, load_kube_config

from statefulset.kube.api import Api
from statefulset.kube.forward import Forward
from statefulset.kube.objects import AwayError, ForbiddenError

LIFETIME: Final = 3600
"""Seconds that a requested token is good for; the API server grants no less than 600."""


class Login:
    """`path`: as in KUBECONFIG, several with the system's separator. `context`: "" for the current one.

    Raises ForbiddenError when it cannot be used as it is; the message says why."""

    def __init__(self, path: str, context: str) -> None:
        self._configuration = Configuration()
        try:
            self.context = context or _current(path)
            load_kube_config(path, self.context or None, self._configuration, persist_config=False)
            contexts, current = list_kube_config_contexts(path)
        except ConfigException as error:
            # Names a context, a user, a file or a missing key; an exec plugin's words are not among them.
            raise ForbiddenError(f"the kubeconfig cannot be used: {' '.join(str(error).split())[:200]}") from None
        except (OSError, yaml.YAMLError, ValueError, TypeError) as error:
            raise ForbiddenError(f"the kubeconfig cannot be read: {type(error).__name__}") from None
        self._configuration.retries = False
        _trim(self._configuration)
        self.context = self.context or str(current["name"])
        chosen = next(each for each in contexts if each["name"] == self.context)
        self.user: str = chosen["context"].get("user") or ""
        self.api = Api(ApiClient(self._configuration))

    def bearer(self) -> str:
        """The user's own token, renewed if its plugin says so; "" if the user is known by a certificate."""
        found = str(self._configuration.get_api_key_with_prefix("BearerToken") or "")
        scheme, _, token = found.partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    def token_of(self, account: str, audience: str) -> str:
        """A token of the service account "namespace/name" for one audience. Raises AwayError, ForbiddenError.

        https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/"""
        namespace, _, name = account.partition("/")
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
        wanted = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": LIFETIME},
        }
        made = self.api.create(path, wanted)
        token = ((made or {}).get("status") or {}).get("token")
        if not isinstance(token, str) or not token:
            raise AwayError("the API server made no token")
        return token

    def forward(self, namespace: str, pod: str, port: int) -> Forward:
        """A port of this machine that leads to one of the pod."""
        return Forward(self._configuration, namespace, pod, port)


def _current(path: str) -> str:
    """The current context, "" if none is set. Of several files the first that sets one counts for kubectl, the last for
    the library: the two must never act on different clusters. Raises OSError, YAMLError."""
    for name in filter(os.path.exists, map(os.path.expanduser, path.split(os.pathsep))):
        with open(name, "rb") as file:
            document = yaml.safe_load(file)
        if isinstance(document, dict) and document.get("current-context"):
            return str(document["current-context"])
    return ""


def _trim(configuration: Configuration) -> None:
    """A token file ends with a line feed as often as not; the library sends it along, as no header may have it."""
    refresh = configuration.refresh_api_key_hook
    if refresh is None:
        return

    def trimmed(given: Configuration) -> None:
        refresh(given)
        given.api_key["BearerToken"] = given.api_key["BearerToken"].strip()
        given.refresh_api_key_hook = trimmed  # the library's puts itself back

    configuration.refresh_api_key_hook = trimmed
