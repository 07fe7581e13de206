"""The way to the store through the API server, with a kubeconfig: every safe pod's admin port on this machine.

Why it exists: on a laptop there is a kubeconfig and nothing else, and that is enough to be somebody the store knows.
What it refuses to do: act as anybody but the kubeconfig's user unless told so by name, or trust a server by anything
but the certificate that the store itself has published.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from statefulset.cli import output
from statefulset.cli.connection import Asked, Connection
from statefulset.cli.errors import AWAY, REFUSED, CliError, usage
from statefulset.kube.forward import Forward
from statefulset.kube.login import LIFETIME, Login
from statefulset.kube.objects import AwayError, ForbiddenError

PORT: Final = 8500
AUDIENCE: Final = "raftsafe-admin"
IDENTITY: Final = "raftsafe-identity"
NODES: Final = "app.kubernetes.io/name=raftsafe,app.kubernetes.io/component=node"
_NEEDS: Final = (
    "reaching the store takes the rights to get the ConfigMap raftsafe-identity, to list pods and to get and create "
    "pods/portforward in its namespace: the ClusterRole raftsafe-connect, bound there"
)


class Tunnel:
    """One listener for each pod, and the token for all of them. `login` is for those who ask the API server more."""

    def __init__(self, login: Login, namespace: str, account: str, now: Callable[[], float] = time.monotonic) -> None:
        self.login, self.namespace, self.account = login, namespace, account
        self._now = now
        self._made: tuple[float, str] | None = None
        self._forwards: dict[str, tuple[str, Forward]] = {}

    def open(self, pods: list[str]) -> tuple[str, ...]:
        """URLs of the pods, in their order."""
        for pod in pods:
            forward = self.login.forward(self.namespace, pod, PORT)
            self._forwards[f"https://localhost:{forward.port}"] = (pod, forward)
        return tuple(self._forwards)

    def token(self) -> str:
        """Raises CliError: usage, refused, away."""
        if not self.account:
            if token := self.login.bearer():
                return token
            raise usage(
                f"user {self.login.user} of the kubeconfig has no token (a client certificate opens the API server "
                "only: nodes cannot ask anybody whose it is)",
                "name a service account to act as: --as-serviceaccount NAMESPACE/NAME. You need the right to create "
                "its serviceaccounts/token; it needs rights in the store, as the ClusterRole raftsafe-operator gives",
            )
        if self._made is None or self._now() - self._made[0] > LIFETIME / 2:
            hint = (
                f"you need the right to create serviceaccounts/token of {self.account}, which must exist: "
                f"`kubectl auth can-i create serviceaccounts --subresource=token -n {self.account.partition('/')[0]}`"
            )
            with told(f"no token for the service account {self.account}", hint):
                self._made = (self._now(), self.login.token_of(self.account, AUDIENCE))
        return self._made[1]

    def called(self, server: str) -> str:
        return f"pod {self._forwards[server][0]}"

    def why(self, server: str) -> str:
        """Why the way to it failed last, "" if it did not."""
        return self._forwards[server][1].why

    def close(self) -> None:
        for _, forward in self._forwards.values():
            forward.close()


@contextmanager
def told(what: str, hint: str) -> Iterator[None]:
    """The API server's outcomes as those of a command."""
    try:
        yield
    except AwayError as error:
        hint = "is the API server in reach? `kubectl get --raw /readyz` asks it"
        raise CliError(f"{what}: {error}", code="unavailable", exit_code=AWAY, hint=hint) from None
    except ForbiddenError as error:
        raise CliError(f"{what}: {error}", code="forbidden", exit_code=REFUSED, hint=hint) from None


def login(path: str, asked: Asked) -> Login:
    """Raises CliError (usage)."""
    try:
        return Login(path, asked.context)
    except ForbiddenError as error:
        raise usage(str(error), "`kubectl config get-contexts` shows what there is; --context names one") from None


def connect(path: str, asked: Asked) -> Connection:
    """`path`: of the kubeconfig, as in KUBECONFIG. Raises CliError: usage, refused, away."""
    entered = login(path, asked)
    where = f"namespace {asked.namespace} of context {entered.context}"
    with told(f"the store in {where} cannot be found", _NEEDS):
        published = entered.api.get(f"/api/v1/namespaces/{asked.namespace}/configmaps/{IDENTITY}")
        pods = list(entered.api.items(f"/api/v1/namespaces/{asked.namespace}/pods", labelSelector=NODES))
    authority = ((published or {}).get("data") or {}).get("ca.crt")
    if not authority or not pods:
        missing = "no pod of it is there" if authority else f"it has not published its certificate ({IDENTITY})"
        hint = "--namespace names another one; `safe doctor` looks at what is installed"
        raise CliError(f"there is no store in {where}: {missing}", code="not_found", exit_code=REFUSED, hint=hint)
    if asked.account:
        output.note(f"acting as the service account {asked.account}, with a token made for it")
    tunnel = Tunnel(entered, asked.namespace, asked.account)
    return Connection(tunnel.open(in_order(pods)), None, None, ca=authority, way=tunnel)


def in_order(pods: list[Mapping[str, Any]] | list[dict[str, Any]]) -> list[str]:
    """Names, those first that are ready: any of them answers for the store."""

    def waiting(pod: Mapping[str, Any]) -> bool:
        conditions = (pod.get("status") or {}).get("conditions") or ()
        return not any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    names = ((waiting(pod), str(pod["metadata"]["name"])) for pod in pods)
    return [name for _, name in sorted(names)]
