"""The API server in a few verbs on paths, through the kubernetes client: its configuration, its TLS, its tokens.

Why it exists: controllers work on plain documents of several groups, a custom one among them, and want outcomes (there,
not there, somebody was first, changed meanwhile) instead of status codes.
What it refuses to do: wait longer than its deadline, repeat by itself, or put the body of an answer into a message.

Verbs and watches: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from statefulset.kube.errors import AwayError, ForbiddenError

Document = dict[str, Any]
DEADLINE: Final = (3.0, 10.0)
"""Seconds for a connection and for an answer."""
PAGE: Final = 500
"""Documents a page of a list, as kubectl asks."""
SLACK: Final = 15.0
"""Seconds by which a watch may be silent beyond the time it was asked to last: then the connection is gone."""
JSON: Final = "application/json"
NAMES_ONLY: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
"""Accept header for lists of metadata alone: whole pods of a large cluster are many megabytes."""
_PATCH: Final = {"merge": "application/merge-patch+json", "apply": "application/apply-patch+yaml"}


class Api:
    """One client. Every method may raise AwayError (try again) and ForbiddenError (a person has to act)."""

    def __init__(self, client: ApiClient) -> None:
        client.configuration.retries = False
        self._client = client

    def get(self, path: str) -> Document | None:
        """The document, None if there is none."""
        return self._ask("GET", path, absent=(404,))

    def items(self, path: str, accept: str = JSON, **query: str) -> Iterator[Document]:
        """Every document of a list, page by page. A list that expires on the way (410) raises AwayError."""
        following: dict[str, str] = {}
        while True:
            page = self._ask("GET", path, {"limit": str(PAGE), **query, **following}, accept=accept, absent=(404,))
            if page is None:
                return
            yield from page.get("items") or ()
            following = {"continue": page.get("metadata", {}).get("continue") or ""}
            if not following["continue"]:
                return

    def create(self, path: str, body: Mapping[str, Any]) -> Document | None:
        """What was made, None if there was one by that name."""
        return self._ask("POST", path, body=body, absent=(409,))

    def replace(self, path: str, body: Mapping[str, Any]) -> Document | None:
        """What it is now, None if it was changed or removed since it was read (resourceVersion)."""
        return self._ask("PUT", path, body=body, absent=(404, 409))

    def patch(
        self, path: str, body: Mapping[str, Any], kind: Literal["merge", "apply"] = "merge", **query: str
    ) -> Document | None:
        """What it is now, None if there is none or it was changed meanwhile. `apply` is server-side apply."""
        return self._ask("PATCH", path, query, body=body, content=_PATCH[kind], absent=(404, 409))

    def delete(self, path: str, grace: int | None = None, uid: str = "") -> bool:
        """Whether there was one. It may be there for a while, until its finalizers and its containers are done.
        `grace`: seconds that a pod's containers get between SIGTERM and SIGKILL; with 0 the pod is gone here at once,
        and they get those of its spec. `uid`: only this very object, and none that has its name since; so it can be
        asked for again when the answer was lost."""
        # All in the body: an API server that is sent one does not look at the query (apiserver, DeleteResource).
        options: Document = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        options |= {} if grace is None else {"gracePeriodSeconds": grace}
        options |= {"preconditions": {"uid": uid}} if uid else {}
        return self._ask("DELETE", path, body=options, absent=(404, 409)) is not None

    def text(self, path: str, **query: str) -> str:
        """What is no document: a container's log. Empty if there is none, or none yet (400). Never more than the
        `limitBytes` that is asked for."""
        response = self._send("GET", path, query, None, "*/*", JSON, DEADLINE)
        try:
            data: bytes = response.read()
        except (HTTPError, OSError) as error:
            raise _away(error) from None
        if response.status in (400, 404):
            return ""
        if response.status != 200:
            raise _refusal(response.status)
        return data.decode("utf-8", "replace")

    def watch(self, path: str, seconds: int, **query: str) -> Iterator[Document]:
        """Events {"type", "object"} for at most `seconds`; it may end at any time, and then a list is due."""
        asked = {"watch": "true", "timeoutSeconds": str(seconds), **query}
        response = self._send("GET", path, asked, None, JSON, JSON, (DEADLINE[0], seconds + SLACK))
        try:
            if response.status != 200:
                response.read()
                raise _refusal(response.status)
            for line in response.response:
                if line.strip():
                    yield json.loads(line)
        except (HTTPError, OSError) as error:
            raise _away(error) from None
        finally:
            response.response.close()

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content: str = JSON,
        accept: str = JSON,
        absent: tuple[int, ...] = (),
    ) -> Document | None:
        response = self._send(method, path, query or {}, body, content, accept, DEADLINE)
        try:
            data = response.read()
        except (HTTPError, OSError) as error:
            raise _away(error) from None
        if 200 <= response.status < 300:
            document: Document = json.loads(data)
            return document
        if response.status in absent:
            return None
        raise _refusal(response.status)

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None,
        content: str,
        accept: str,
        deadline: tuple[float, float],
    ) -> Any:
        serialized = self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": accept, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            return self._client.call_api(*serialized, _request_timeout=deadline)
        except ApiException as error:
            raise AwayError(f"the API server cannot be asked: {error.reason or error.status}") from None
        except (HTTPError, OSError) as error:
            raise _away(error) from None


def _away(error: Exception) -> AwayError:
    return AwayError(f"the API server cannot be reached: {type(error).__name__}")


def _refusal(status: int) -> AwayError | ForbiddenError:
    if status in (408, 410, 429) or status >= 500:
        return AwayError(f"the API server answered with status {status}")
    return ForbiddenError(f"the API server refused with status {status}")
