"""The webhook's certificate: an authority kept in one Secret, leaves made by `safe-node serving-certificate`.

Why it exists: the API server trusts exactly this authority for exactly this webhook, every replica serves under it, and
leaves are renewed in the live TLS context: nothing is restarted and nobody is woken.
What it refuses to do: write a key to a disk, or make certificates itself.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from statefulset.kube.api import Api
from statefulset.kube.objects import AwayError

SECRET: Final = "raftsafe-webhook"  # noqa: S105 - the name of an object
KEYS: Final = {"key": "ca.key", "certificate": "ca.crt"}
MAKER: Final = ("safe-node", "serving-certificate")
PATIENCE: Final = 30.0
"""Seconds that making a certificate may take; it takes half of one."""
RENEW: Final = 8 * 3600.0
"""Seconds: a third of a leaf's life, so that two failed renewals are survived."""
LOOK: Final = 10.0
"""Seconds between two looks at the Secret: when it was deleted there is a new authority, and for that long replicas
serve under two of them, of which the API server trusts one."""


def make(names: list[str], authority: Mapping[str, str] | None) -> dict[str, Any]:
    """Authority and leaf as PEM texts. Raises AwayError: trying again may help."""
    asked = json.dumps({"names": names, "authority": authority})
    try:
        done = subprocess.run(MAKER, input=asked, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AwayError(f"safe-node cannot make a certificate: {type(error).__name__}") from None
    if done.returncode != 0:
        raise AwayError(f"safe-node cannot make a certificate: {done.stderr.strip()[:200]}")
    made: dict[str, Any] = json.loads(done.stdout)
    return made


class Certificate:
    """`context` for the server, `authority` (PEM) for the API server; both after the first `keep`."""

    def __init__(self, api: Api, namespace: str, names: list[str]) -> None:
        self._api, self._namespace, self._names = api, namespace, names
        self._under, self._renew = "", 0.0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2  # what API servers speak at least
        self.authority = ""

    def keep(self, now: float) -> bool:
        """Whether there is a new leaf, in force for the next handshake: the first, one in time, or one under another
        authority that the Secret has now. `now` in monotonic seconds. Raises AwayError, ForbiddenError."""
        kept = self._kept()
        if kept["certificate"] == self._under and now < self._renew:
            return False
        made = make(self._names, kept)
        _load(self.context, made["key"] + made["certificate"])
        self.authority = made["authority"]["certificate"]
        self._under, self._renew = kept["certificate"], now + RENEW
        return True

    def _kept(self) -> dict[str, str]:
        """The authority in the Secret; whichever replica comes first makes it."""
        path = f"/api/v1/namespaces/{self._namespace}/secrets"
        found = self._api.get(f"{path}/{SECRET}")
        if found is None:
            authority = make(self._names, None)["authority"]
            data = {key: base64.b64encode(authority[part].encode()).decode() for part, key in KEYS.items()}
            self._api.create(path, {"metadata": {"name": SECRET}, "type": "Opaque", "data": data})
            found = self._api.get(f"{path}/{SECRET}")  # another replica's, if it was first
        data = (found or {}).get("data") or {}
        return {part: base64.b64decode(data.get(key, "")).decode() for part, key in KEYS.items()}


def _load(context: ssl.SSLContext, pem: str) -> None:
    """ssl reads files only: this one is memory of this process (memfd_create(2))."""
    handle = os.memfd_create("leaf", os.MFD_CLOEXEC)
    try:
        os.write(handle, pem.encode())
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)


def trusted(configuration: Mapping[str, Any], authority: str) -> dict[str, Any] | None:
    """The webhook configuration with `authority` as its caBundle, None if it has it already (pure)."""
    bundle = base64.b64encode(authority.encode()).decode()
    hooks = [dict(hook) for hook in configuration.get("webhooks") or ()]
    if all((hook.get("clientConfig") or {}).get("caBundle") == bundle for hook in hooks):
        return None
    for hook in hooks:
        hook["clientConfig"] = {**(hook.get("clientConfig") or {}), "caBundle": bundle}
    return {**configuration, "webhooks": hooks}
