"""The CA bundle that injected pods mount: the document, and whether the one that is there will do (pure).

Why it exists: a pod can mount ConfigMaps of its own namespace only, so each namespace with injected pods gets one.
What it refuses to do: hold anything but certificates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BUNDLE: Final = "raftsafe-ca"
KEY: Final = "ca.crt"
LABELS: Final = {"app.kubernetes.io/name": "raftsafe", "app.kubernetes.io/managed-by": "safe-control"}


def bundle(certificate: str) -> dict[str, Any]:
    """The ConfigMap that an injected pod mounts."""
    return {"metadata": {"name": BUNDLE, "labels": LABELS}, "data": {KEY: certificate}}


def outdated(present: Mapping[str, Any], certificate: str) -> bool:
    return (present.get("data") or {}).get(KEY) != certificate
