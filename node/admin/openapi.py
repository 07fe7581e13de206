"""The API described as OpenAPI 3.1, kept by hand next to the routes and tested against them.

Why it exists: a client in another language needs nothing but this document, which every node serves.
What it refuses to do: describe what is not there; a test compares both ways.
"""

from __future__ import annotations

from typing import Final

from node.admin.bodies import MAX_BODY, MAX_PAGE, MAX_PREFIX
from node.admin.problem import STATUS
from node.admin.schemas import ACCOUNT, FULL_NAME, LABEL, SCHEMAS, VERSION, Json, ref
from node.store.commands import MAX_BATCH


def _body(name: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": ref(name)}}}


def _ok(text: str, schema: Json) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _answers(text: str, schema: Json, *problems: str) -> Json:
    every = sorted({STATUS[code] for code in ("invalid", "unauthenticated", "forbidden", "internal", *problems)})
    problem = {"application/problem+json": {"schema": ref("Problem")}}
    words = {status: ", ".join(code for code in STATUS if STATUS[code] == status) for status in every}
    return {"200": _ok(text, schema)} | {
        str(status): {"description": words[status], "content": problem} for status in every
    }


def _query(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


_NAME: Final = [
    {
        "name": "namespace",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "maxLength": 63, "pattern": f"^{LABEL}$"},
    },
    {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "maxLength": 253, "pattern": f"^{ACCOUNT}$"},
    },
]
_KEY: Final[Json] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]*$"},
    "description": "The same request again, with the same key and by the same subject, is applied once and answered "
    "alike. Another request with a key that this node has seen is refused (422).",
}
_CONSISTENCY: Final = _query(
    "consistency",
    {"enum": ["linearizable", "local"], "default": "linearizable"},
    "local: this node's own copy, also without a quorum; the header Raftsafe-Stale says whether it may be out of date",
)
_STALE: Final[Json] = {
    "Raftsafe-Stale": {
        "description": "this node has no quorum now; for secrets with consistency=local only",
        "schema": {"enum": ["true", "false"]},
    }
}
_AWAY: Final = ("too_many_requests", "no_quorum")
_CHANGE: Final = ("not_found", "conflict", "deleted", "too_large", "key_reused", *_AWAY)


def _told(text: str, schema: Json, *problems: str) -> Json:
    out = _answers(text, schema, *problems)
    out["200"]["headers"] = _STALE
    return out


def _read(text: str, schema: Json, *problems: str) -> Json:
    return _told(text, schema, *problems, *_AWAY)


_SECRET: Final[Json] = {
    "parameters": _NAME,
    "put": {
        "operationId": "putSecret",
        "summary": "Make a secret, or replace all its fields with a new version.",
        "description": f"The body is at most {MAX_BODY} bytes. Needs the rights to create and to update; with "
        "if_version 0, for a secret that was never there or was purged, only to create.",
        "parameters": [_KEY],
        "requestBody": _body("Put"),
        "responses": _answers("committed and durable on a majority of nodes", ref("Written"), *_CHANGE),
    },
    "get": {
        "operationId": "getSecret",
        "summary": "What is known of a secret, without its value.",
        "parameters": [
            _CONSISTENCY,
            _query("delivered", {"type": "boolean"}, "count this node's sidecars that hold it, too"),
        ],
        "responses": _read("its metadata", ref("Secret"), "not_found"),
    },
    "patch": {
        "operationId": "patchSecret",
        "summary": "Change or remove single fields, or the window of validity, without sending the rest.",
        "description": "As in a JSON merge patch (RFC 7396), null removes; but a field that is not there cannot be "
        "removed. A change of fields is a new version, made from exactly the one before it. A change of the window "
        "alone is none.",
        "parameters": [_KEY],
        "requestBody": _body("Patch"),
        "responses": _answers("committed and durable on a majority of nodes", ref("Written"), *_CHANGE),
    },
    "delete": {
        "operationId": "deleteSecret",
        "summary": "Delete a secret; undelete brings it back.",
        "parameters": [
            _KEY,
            _query("if_version", VERSION, "only if this is the version now"),
        ],
        "responses": _answers("deleted", ref("Written"), *_CHANGE),
    },
}
_UNDELETE: Final[Json] = {
    "parameters": _NAME,
    "post": {
        "operationId": "undeleteSecret",
        "summary": "Bring a deleted secret back. There is no request body.",
        "parameters": [_KEY],
        "responses": _answers("it is back", ref("Written"), *_CHANGE),
    },
}
_PURGE: Final[Json] = {
    "parameters": _NAME,
    "post": {
        "operationId": "purgeSecret",
        "summary": "Remove a secret with all its versions and grants, for good. There is no request body.",
        "parameters": [
            _KEY,
            _query("if_version", VERSION, "only if this is the version now"),
        ],
        "responses": _answers("it is gone", ref("Written"), *_CHANGE),
    },
}
_ROLLBACK: Final[Json] = {
    "parameters": _NAME,
    "post": {
        "operationId": "rollbackSecret",
        "summary": "Make a new version with the fields of an older one. Grants and window stay.",
        "parameters": [_KEY],
        "requestBody": _body("Rollback"),
        "responses": _answers("it has the older fields", ref("Written"), *_CHANGE),
    },
}
_HISTORY: Final[Json] = {
    "parameters": _NAME,
    "get": {
        "operationId": "secretHistory",
        "summary": "The versions that are kept, the newest first, without their values.",
        "parameters": [_CONSISTENCY],
        "responses": _read("the versions", ref("History"), "not_found"),
    },
}
_ROLLOUT: Final[Json] = {
    "parameters": _NAME,
    "get": {
        "operationId": "secretRollout",
        "summary": "Which pods of this node have the newest version in their files, and why the others do not.",
        "description": "Each node knows its own pods; ask all of `members`. A pod that several know is where it is "
        "connected, and the highest `version` of all answers is the one to compare with.",
        "responses": _answers("the pods of this node", ref("Rollout"), "not_found", "deleted", "too_many_requests"),
    },
}
_VALUE: Final[Json] = {
    "parameters": _NAME,
    "get": {
        "operationId": "revealSecret",
        "summary": "The value itself. Needs the right to get safesecrets/value, and is always audited.",
        "parameters": [
            _query("version", VERSION, "one that the history names; without it the current"),
            _query("field", {"type": "string", "maxLength": 253}, "only this field"),
            _CONSISTENCY,
        ],
        "responses": _read("the fields", ref("Value"), "not_found", "deleted"),
    },
}
_GRANTS_PATH: Final[Json] = {
    "parameters": _NAME,
    "post": {
        "operationId": "changeGrants",
        "summary": "Give a secret to workloads, or take it back from them.",
        "description": "With both lists, add is committed first; a failure between them is answered as an error and "
        "the same request with the same Idempotency-Key completes it.",
        "parameters": [_KEY],
        "requestBody": _body("Grants"),
        "responses": _answers("changed", ref("Granted"), *_CHANGE),
    },
}
_APPLY: Final[Json] = {
    "post": {
        "operationId": "applySecrets",
        "summary": "Make several secrets as declared: all of them or none. A repeat changes nothing.",
        "description": f"At most {MAX_BATCH} secrets and {MAX_BODY} bytes. Needs for each what putting it needs.",
        "parameters": [_KEY],
        "requestBody": _body("Apply"),
        "responses": _answers("they are as declared", ref("Applied"), *_CHANGE),
    }
}
_LIST: Final[Json] = {
    "get": {
        "operationId": "listSecrets",
        "summary": "Metadata of secrets in the order of their names, page by page.",
        "parameters": [
            _query("namespace", {"type": "string", "pattern": f"^({LABEL})?$"}, "only this namespace"),
            _query(
                "prefix",
                {"type": "string", "maxLength": MAX_PREFIX},
                "only names that begin so; with namespace: the part after the slash",
            ),
            _query(
                "after",
                {"type": "string", "maxLength": MAX_PREFIX},
                "begin after this namespace/name; `next` of the page before",
            ),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 100}, "page size"),
            _CONSISTENCY,
        ],
        "responses": _read("one page", ref("Page")),
    }
}


def _plain(text: str) -> Json:
    return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _probe(operation: str, summary: str, *, may_fail: bool) -> Json:
    responses = {"200": _plain("ok")} | ({"503": _plain("one line: why not")} if may_fail else {})
    return {"get": {"operationId": operation, "summary": summary, "security": [], "responses": responses}}


_EXPLAIN: Final[Json] = {
    "parameters": [
        {**_NAME[0], "description": "of the workload"},
        {**_NAME[1], "name": "serviceaccount", "description": "of the workload"},
    ],
    "get": {
        "operationId": "explain",
        "summary": "Which rule lets a workload have a secret, or keeps it from it.",
        "description": "One secret needs the right to get it, a list the right to list them.",
        "parameters": [
            _query("secret", FULL_NAME, "this secret, namespace/name; without it every one that is granted"),
            _query("namespace", {"type": "string", "pattern": f"^({LABEL})?$"}, "secrets of this namespace only"),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "verdicts at most"),
            _CONSISTENCY,
        ],
        "responses": _read("the verdicts", ref("Explained")),
    },
}

DOCUMENT: Final[Json] = {
    "openapi": "3.1.0",
    "info": {
        "title": "raftsafe admin API",
        "version": "1",
        "description": "Any node answers. Changes are durable on a majority when they are answered.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "security": [{"bearer": []}],
    "paths": {
        "/v1/secrets/{namespace}/{name}": _SECRET,
        "/v1/secrets/{namespace}/{name}/undelete": _UNDELETE,
        "/v1/secrets/{namespace}/{name}/purge": _PURGE,
        "/v1/secrets/{namespace}/{name}/rollback": _ROLLBACK,
        "/v1/secrets/{namespace}/{name}/history": _HISTORY,
        "/v1/secrets/{namespace}/{name}/rollout": _ROLLOUT,
        "/v1/secrets/{namespace}/{name}/value": _VALUE,
        "/v1/secrets/{namespace}/{name}/grants": _GRANTS_PATH,
        "/v1/apply": _APPLY,
        "/v1/secrets": _LIST,
        "/v1/status": {
            "get": {
                "operationId": "status",
                "summary": "Where this node stands.",
                "responses": _answers("the status", ref("Status"), "too_many_requests"),
            }
        },
        "/v1/members": {
            "put": {
                "operationId": "resize",
                "summary": "How many nodes the cluster is to have: those with the lowest ordinals.",
                "description": "Answered when the decision is durable on a majority. Nodes then join as learners, get "
                "a vote when they are level, and leave from the highest ordinal down, one at a time; see status.",
                "requestBody": _body("Size"),
                "responses": _answers("decided", ref("Sized"), "too_large", *_AWAY),
            }
        },
        "/v1/explain/{namespace}/{serviceaccount}": _EXPLAIN,
        "/v1/sidecars": {
            "get": {
                "operationId": "sidecars",
                "summary": "The sidecars of this node, and what is in their files.",
                "responses": _told("the sidecars", {"type": "array", "items": ref("Sidecar")}, "too_many_requests"),
            }
        },
        "/v1/sealing-key": {
            "get": {
                "operationId": "sealingKey",
                "summary": "The public key that values are sealed to, for manifests that lie in git.",
                "security": [],
                "responses": {
                    "200": _ok(
                        "32 bytes in base64 (X25519, RFC 9180)",
                        {
                            "type": "object",
                            "required": ["key"],
                            "properties": {"key": {"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$"}},
                        },
                    )
                },
            }
        },
        "/v1/openapi.json": {
            "get": {
                "operationId": "document",
                "summary": "This document.",
                "security": [],
                "responses": {"200": _ok("OpenAPI 3.1", {"type": "object"})},
            }
        },
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "summary": "This node in numbers, for Prometheus. Needs the right to look at the cluster.",
                "responses": {**_answers("", {}), "200": _plain("Prometheus's text format 0.0.4")},
            }
        },
        "/livez": _probe("live", "The process turns.", may_fail=False),
        "/readyz": _probe("ready", "This node can serve.", may_fail=True),
    },
    "components": {
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "of a user of the cluster, or a service account's for the audience raftsafe-admin",
            }
        },
        "schemas": SCHEMAS,
    },
}
