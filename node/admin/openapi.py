"""The API described as OpenAPI 3.1, kept by hand next to the routes and tested against them.

Why it exists: a client in another language needs nothing but this document, which every node serves.
What it refuses to do: describe what is not there; a test compares both ways.
"""

from __future__ import annotations

from typing import Any, Final

from node.admin.bodies import MAX_BODY, MAX_INT, MAX_PAGE, MAX_PREFIX
from node.admin.problem import STATUS
from node.store.commands import MAX_BATCH
from sidecar.wire import names

Json = dict[str, Any]

_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ACCOUNT: Final = "[a-z0-9](([.]?[a-z0-9-])*[.]?[a-z0-9])?"
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
"""Padded and canonical: one text for each value."""
_FIELD: Final = "^[A-Za-z0-9]([.]?[A-Za-z0-9_-])*[.]?$"
_VERSION: Final[Json] = {"type": "integer", "minimum": 1, "maximum": MAX_INT}

_MS: Final[Json] = {
    "type": "integer",
    "minimum": 0,
    "maximum": MAX_INT,
    "description": "milliseconds since 1970-01-01 UTC",
}
_MS_OR_NULL: Final[Json] = {**_MS, "type": ["integer", "null"]}
_GRANTS: Final[Json] = {
    "type": "array",
    "items": {
        "type": "string",
        "maxLength": 317,
        "pattern": rf"^({_LABEL}|\*)/({_ACCOUNT}|\*)$",
        "examples": ["payments/api", "payments/*"],
    },
    "maxItems": 4096,
    "description": "namespace/serviceaccount; each part may be * alone",
}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _body(name: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": _ref(name)}}}


def _ok(text: str, schema: Json) -> Json:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _answers(text: str, schema: Json, *problems: str) -> Json:
    every = sorted({STATUS[code] for code in ("invalid", "unauthenticated", "forbidden", "internal", *problems)})
    problem = {"application/problem+json": {"schema": _ref("Problem")}}
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
        "schema": {"type": "string", "maxLength": 63, "pattern": f"^{_LABEL}$"},
    },
    {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "maxLength": 253, "pattern": f"^{_ACCOUNT}$"},
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
        "responses": _answers("committed and durable on a majority of nodes", _ref("Written"), *_CHANGE),
    },
    "get": {
        "operationId": "getSecret",
        "summary": "What is known of a secret, without its value.",
        "parameters": [
            _CONSISTENCY,
            _query("delivered", {"type": "boolean"}, "count this node's sidecars that hold it, too"),
        ],
        "responses": _read("its metadata", _ref("Secret"), "not_found"),
    },
    "patch": {
        "operationId": "patchSecret",
        "summary": "Change or remove single fields, or the window of validity, without sending the rest.",
        "description": "As in a JSON merge patch (RFC 7396), null removes; but a field that is not there cannot be "
        "removed. A change of fields is a new version, made from exactly the one before it. A change of the window "
        "alone is none.",
        "parameters": [_KEY],
        "requestBody": _body("Patch"),
        "responses": _answers("committed and durable on a majority of nodes", _ref("Written"), *_CHANGE),
    },
    "delete": {
        "operationId": "deleteSecret",
        "summary": "Delete a secret; undelete brings it back.",
        "parameters": [
            _KEY,
            _query("if_version", _VERSION, "only if this is the version now"),
        ],
        "responses": _answers("deleted", _ref("Written"), *_CHANGE),
    },
}
_UNDELETE: Final[Json] = {
    "parameters": _NAME,
    "post": {
        "operationId": "undeleteSecret",
        "summary": "Bring a deleted secret back. There is no request body.",
        "parameters": [_KEY],
        "responses": _answers("it is back", _ref("Written"), *_CHANGE),
    },
}
_PURGE: Final[Json] = {
    "parameters": _NAME,
    "post": {
        "operationId": "purgeSecret",
        "summary": "Remove a secret with all its versions and grants, for good. There is no request body.",
        "parameters": [
            _KEY,
            _query("if_version", _VERSION, "only if this is the version now"),
        ],
        "responses": _answers("it is gone", _ref("Written"), *_CHANGE),
    },
}
_ROLLBACK: Final[Json] = {
    "parameters": _NAME,
    "post": {
        "operationId": "rollbackSecret",
        "summary": "Make a new version with the fields of an older one. Grants and window stay.",
        "parameters": [_KEY],
        "requestBody": _body("Rollback"),
        "responses": _answers("it has the older fields", _ref("Written"), *_CHANGE),
    },
}
_HISTORY: Final[Json] = {
    "parameters": _NAME,
    "get": {
        "operationId": "secretHistory",
        "summary": "The versions that are kept, the newest first, without their values.",
        "parameters": [_CONSISTENCY],
        "responses": _read("the versions", _ref("History"), "not_found"),
    },
}
_ROLLOUT: Final[Json] = {
    "parameters": _NAME,
    "get": {
        "operationId": "secretRollout",
        "summary": "Which pods of this node have the newest version in their files, and why the others do not.",
        "description": "Each node knows its own pods; ask all of `members`. A pod that several know is where it is "
        "connected, and the highest `version` of all answers is the one to compare with.",
        "responses": _answers("the pods of this node", _ref("Rollout"), "not_found", "deleted", "too_many_requests"),
    },
}
_VALUE: Final[Json] = {
    "parameters": _NAME,
    "get": {
        "operationId": "revealSecret",
        "summary": "The value itself. Needs the right to get safesecrets/value, and is always audited.",
        "parameters": [
            _query("version", _VERSION, "one that the history names; without it the current"),
            _query("field", {"type": "string", "maxLength": 253}, "only this field"),
            _CONSISTENCY,
        ],
        "responses": _read("the fields", _ref("Value"), "not_found", "deleted"),
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
        "responses": _answers("changed", _ref("Granted"), *_CHANGE),
    },
}
_APPLY: Final[Json] = {
    "post": {
        "operationId": "applySecrets",
        "summary": "Make several secrets as declared: all of them or none. A repeat changes nothing.",
        "description": f"At most {MAX_BATCH} secrets and {MAX_BODY} bytes. Needs for each what putting it needs.",
        "parameters": [_KEY],
        "requestBody": _body("Apply"),
        "responses": _answers("they are as declared", _ref("Applied"), *_CHANGE),
    }
}
_LIST: Final[Json] = {
    "get": {
        "operationId": "listSecrets",
        "summary": "Metadata of secrets in the order of their names, page by page.",
        "parameters": [
            _query("namespace", {"type": "string", "pattern": f"^({_LABEL})?$"}, "only this namespace"),
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
        "responses": _read("one page", _ref("Page")),
    }
}


def _plain(text: str) -> Json:
    return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _probe(operation: str, summary: str, *, may_fail: bool) -> Json:
    responses = {"200": _plain("ok")} | ({"503": _plain("one line: why not")} if may_fail else {})
    return {"get": {"operationId": operation, "summary": summary, "security": [], "responses": responses}}


_WRITTEN: Final[Json] = {
    "name": {"type": "string", "description": "namespace/name"},
    "version": {"type": "integer"},
    "index": {"type": "integer", "description": "position in the log; later changes have a higher one"},
}
_SIZES: Final[Json] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
    },
}
_VALUES: Final[Json] = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": names.MAX_FIELDS,
    "propertyNames": {"maxLength": 253, "pattern": _FIELD},
    "additionalProperties": {"type": "string", "contentEncoding": "base64", "pattern": _BASE64},
}
_FULL_NAME: Final[Json] = {
    "type": "string",
    "maxLength": 317,
    "pattern": f"^{_LABEL}/{_ACCOUNT}$",
    "description": "namespace/name",
}
_SCHEMAS: Final[Json] = {
    "Put": {
        "type": "object",
        "additionalProperties": False,
        "required": ["fields"],
        "properties": {
            "fields": {
                **_VALUES,
                "description": f"field name -> value in base64; {names.MAX_SECRET_BYTES} bytes of values in all. "
                f"A plain value is the single field {names.PLAIN_FIELD!r}.",
            },
            "grants": {
                **_GRANTS,
                "type": ["array", "null"],
                "description": "who gets it, instead of who got it; without it nothing changes",
            },
            "if_version": {
                "type": ["integer", "null"],
                "minimum": 0,
                "maximum": MAX_INT,
                "description": "0: it must not exist yet",
            },
            "not_before_ms": {**_MS_OR_NULL, "description": "nobody gets it before; without it from now on"},
            "expires_ms": {
                **_MS_OR_NULL,
                "description": "nobody gets it after; not in the past; without it for ever",
            },
            "keep_window": {
                "type": "boolean",
                "description": "a bound of the window that is not named here stays as it is, instead of being cleared",
            },
        },
    },
    "Patch": {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "properties": {
            "fields": {
                **_VALUES,
                "additionalProperties": {"type": ["string", "null"], "contentEncoding": "base64", "pattern": _BASE64},
                "description": "field name -> its new value in base64, or null to remove it",
            },
            "if_version": {**_VERSION, "type": ["integer", "null"], "description": "only if this is the version now"},
            "not_before_ms": {**_MS_OR_NULL, "description": "null: no such bound; without it, it stays"},
            "expires_ms": {**_MS_OR_NULL, "description": "null: no such bound; without it, it stays"},
        },
    },
    "Apply": {
        "type": "object",
        "additionalProperties": False,
        "required": ["secrets"],
        "properties": {
            "secrets": {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": _ref("Declared")},
        },
    },
    "Declared": {
        "type": "object",
        "description": "A secret as it is to be. What is not named of grants and window stays as it is.",
        "additionalProperties": False,
        "required": ["name"],
        "oneOf": [{"required": ["fields"]}, {"required": ["sealed"]}],
        "properties": {
            "name": _FULL_NAME,
            "fields": {**_VALUES, "description": "all its fields: name -> value in base64"},
            "sealed": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": names.MAX_FIELDS,
                "propertyNames": _VALUES["propertyNames"],
                "additionalProperties": {"type": "string"},
                "description": "all its fields: name -> what `safe seal` made of the value for this secret and field",
            },
            "grants": {**_GRANTS, "type": ["array", "null"]},
            "not_before_ms": {**_MS_OR_NULL, "description": "null: no such bound"},
            "expires_ms": {**_MS_OR_NULL, "description": "null: no such bound"},
        },
    },
    "Applied": {
        "type": "object",
        "required": ["index", "secrets"],
        "properties": {
            "index": {"type": "integer", "description": "position in the log; 0 if nothing had to be changed"},
            "secrets": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "version", "result"],
                    "properties": {
                        "name": {"type": "string"},
                        "version": {"type": "integer"},
                        "result": {
                            "enum": ["created", "updated", "changed", "unchanged"],
                            "description": "changed: grants or window, which makes no version",
                        },
                    },
                },
            },
        },
    },
    "Rollback": {
        "type": "object",
        "additionalProperties": False,
        "required": ["to"],
        "properties": {
            "to": {**_VERSION, "description": "an older version, see the history"},
            "if_version": {**_VERSION, "type": ["integer", "null"], "description": "only if this is the version now"},
        },
    },
    "Grants": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"add": _GRANTS, "remove": _GRANTS},
    },
    "Written": {
        "type": "object",
        "required": list(_WRITTEN),
        "properties": {
            **_WRITTEN,
            "window_cleared": {
                "type": "boolean",
                "description": "true: the secret had a window of validity before this put, and has none now",
            },
        },
    },
    "History": {
        "type": "object",
        "required": ["name", "deleted", "versions"],
        "properties": {
            "name": {"type": "string"},
            "deleted": {"type": "boolean"},
            "versions": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"version": {"type": "integer"}, "created_ms": _MS, "fields": _SIZES},
                },
            },
        },
    },
    "Value": {
        "type": "object",
        "required": ["name", "version", "fields"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "integer"},
            "fields": {**_VALUES, "description": "field name -> value in base64"},
        },
    },
    "Granted": {
        "type": "object",
        "required": [*_WRITTEN, "grants"],
        "properties": {**_WRITTEN, "grants": {**_GRANTS, "description": "who gets it after the change"}},
    },
    "Secret": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "integer"},
            "created_ms": _MS,
            "updated_ms": _MS,
            "not_before_ms": _MS_OR_NULL,
            "expires_ms": _MS_OR_NULL,
            "fields": _SIZES,
            "grants": _GRANTS,
            "deleted": {"type": "boolean"},
            "index": {"type": "integer"},
            "delivered": {
                "type": "object",
                "description": "with delivered=true: sidecars of this node that hold this version, or an older one",
                "properties": {"current": {"type": "integer"}, "older": {"type": "integer"}},
            },
        },
    },
    "Page": {
        "type": "object",
        "properties": {
            "secrets": {"type": "array", "items": _ref("Secret")},
            "next": {"type": ["string", "null"], "description": "`after` of the next page; null on the last"},
        },
    },
    "Size": {
        "type": "object",
        "additionalProperties": False,
        "required": ["size"],
        "properties": {"size": {"type": "integer", "minimum": 1, "maximum": 9}},
    },
    "Sized": {
        "type": "object",
        "required": ["size", "index"],
        "properties": {"size": {"type": "integer"}, "index": {"type": "integer"}},
    },
    "Status": {
        "type": "object",
        "description": "Where this node stands. `stale`: it has no quorum.",
        "properties": {
            **{key: {"type": "string"} for key in ("node", "version", "name", "member", "state")},
            "at_ms": {**_MS, "description": "this node's wall clock when it answered, in ms"},
            "leader": {"type": ["string", "null"]},
            **{key: {"type": "integer"} for key in ("term", "commit_index", "applied", "last_index", "size")},
            **{key: {"type": "array", "items": {"type": "string"}} for key in ("voters", "learners", "connected")},
            **{key: {"type": "boolean"} for key in ("quorum", "ready", "disk_ok", "stale")},
            **{key: {"type": "integer"} for key in ("secrets", "sidecars")},
        },
    },
    "Explained": {
        "type": "object",
        "properties": {
            "workload": {"type": "string"},
            "verdicts": {"type": "array", "items": _ref("Verdict")},
            "total": {"type": "integer", "description": "how many there are, shown or not"},
        },
    },
    "Verdict": {
        "type": "object",
        "description": "`rule`: the grant that names the workload. `wildcard`: it names others as well.",
        "properties": {
            **{key: {"type": "string"} for key in ("secret", "code", "rule", "detail", "hint")},
            **{key: {"type": "boolean"} for key in ("allowed", "wildcard")},
            "version": {"type": "integer"},
        },
    },
    "Sidecar": {
        "type": "object",
        "properties": {
            **{key: {"type": "string"} for key in ("pod", "namespace", "serviceaccount", "node")},
            "since_ms": _MS,
            "index": {"type": "integer"},
            "placed": {"type": "object", "additionalProperties": {"type": "integer"}},
            "want": {
                "type": "array",
                "items": {"type": "string"},
                "description": "names it asks for; empty: all that is granted",
            },
            "error": {"type": "string", "description": "a stable code; empty when all is well"},
            "connected": {"type": "boolean", "description": "false: it left this node a short while ago, at since_ms"},
            "stale": {"type": "boolean"},
            "left": {"type": "boolean", "description": "it said goodbye"},
            "at_ms": {**_MS, "description": "when it last said what it has; 0: only when it connected"},
            "mode": {"enum": ["run", "init"]},
            "agent": {"type": "string"},
            **{
                key: {"type": ["string", "null"], "description": "what failed and why; null: it is too old to say"}
                for key in ("render", "notify")
            },
            **{key: {"type": ["integer", "null"]} for key in ("notified", "notify_failed", "staleness_ms")},
        },
    },
    "Rollout": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "integer", "description": "the newest one this node knows"},
            "index": {"type": "integer"},
            "node": {"type": "string"},
            "stale": {"type": "boolean", "description": "this node may miss newer versions: it has no quorum"},
            "members": {"type": "array", "items": {"type": "string"}, "description": "nodes that serve pods"},
            "current": {"type": "integer", "description": "pods that are done"},
            "total": {"type": "integer", "description": "pods that count"},
            "pods": {"type": "array", "items": _ref("Standing")},
        },
    },
    "Standing": {
        "type": "object",
        "properties": {
            **{key: {"type": "string"} for key in ("pod", "namespace", "serviceaccount", "node")},
            "connected": {"type": "boolean"},
            "since_ms": _MS,
            "at_ms": _MS,
            "version": {"type": ["integer", "null"], "description": "in its files; null: none"},
            "reason": {
                "type": "string",
                "description": "empty when the newest version is in its files; else behind, stale, disconnected, "
                "render_failed, no_space, write_failed, not_granted, not_yet_valid or expired",
            },
            "detail": {"type": "string"},
            "counts": {
                "type": "boolean",
                "description": "false: the roll-out does not wait for it (not granted, or gone for two minutes)",
            },
        },
    },
    "Problem": {
        "type": "object",
        "description": "RFC 9457. `code` is stable: one of those below, or token_* for a token that was not accepted.",
        "properties": {
            **{key: {"type": "string"} for key in ("type", "title", "detail", "hint", "request_id")},
            "status": {"type": "integer"},
            "code": {"type": "string", "examples": sorted(STATUS)},
        },
    },
}

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
            _query("secret", _FULL_NAME, "this secret, namespace/name; without it every one that is granted"),
            _query("namespace", {"type": "string", "pattern": f"^({_LABEL})?$"}, "secrets of this namespace only"),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "verdicts at most"),
            _CONSISTENCY,
        ],
        "responses": _read("the verdicts", _ref("Explained")),
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
                "responses": _answers("the status", _ref("Status"), "too_many_requests"),
            }
        },
        "/v1/members": {
            "put": {
                "operationId": "resize",
                "summary": "How many nodes the cluster is to have: those with the lowest ordinals.",
                "description": "Answered when the decision is durable on a majority. Nodes then join as learners, get "
                "a vote when they are level, and leave from the highest ordinal down, one at a time; see status.",
                "requestBody": _body("Size"),
                "responses": _answers("decided", _ref("Sized"), "too_large", *_AWAY),
            }
        },
        "/v1/explain/{namespace}/{serviceaccount}": _EXPLAIN,
        "/v1/sidecars": {
            "get": {
                "operationId": "sidecars",
                "summary": "The sidecars of this node, and what is in their files.",
                "responses": _told("the sidecars", {"type": "array", "items": _ref("Sidecar")}, "too_many_requests"),
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
        "schemas": _SCHEMAS,
    },
}
