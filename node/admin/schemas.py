"""What the bodies and answers of the API are made of, as JSON Schema: the components of the OpenAPI document.

Why it exists: the routes (openapi.py) are read for what there is, these for what it looks like.
What it refuses to do: say less than bodies.py checks: what a generated client may send is not refused for its form.
"""

from __future__ import annotations

from typing import Any, Final

from node.admin.bodies import MAX_INT
from node.admin.problem import STATUS
from node.store.commands import MAX_BATCH
from sidecar.wire import names

Json = dict[str, Any]

LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
ACCOUNT: Final = "[a-z0-9](([.]?[a-z0-9-])*[.]?[a-z0-9])?"
_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
"""Padded and canonical: one text for each value."""
_FIELD: Final = "^[A-Za-z0-9]([.]?[A-Za-z0-9_-])*[.]?$"
VERSION: Final[Json] = {"type": "integer", "minimum": 1, "maximum": MAX_INT}

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
        "pattern": rf"^({LABEL}|\*)/({ACCOUNT}|\*)$",
        "examples": ["payments/api", "payments/*"],
    },
    "maxItems": 4096,
    "description": "namespace/serviceaccount; each part may be * alone",
}


def ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


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
FULL_NAME: Final[Json] = {
    "type": "string",
    "maxLength": 317,
    "pattern": f"^{LABEL}/{ACCOUNT}$",
    "description": "namespace/name",
}
SCHEMAS: Final[Json] = {
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
            "if_version": {**VERSION, "type": ["integer", "null"], "description": "only if this is the version now"},
            "not_before_ms": {**_MS_OR_NULL, "description": "null: no such bound; without it, it stays"},
            "expires_ms": {**_MS_OR_NULL, "description": "null: no such bound; without it, it stays"},
        },
    },
    "Apply": {
        "type": "object",
        "additionalProperties": False,
        "required": ["secrets"],
        "properties": {
            "secrets": {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": ref("Declared")},
        },
    },
    "Declared": {
        "type": "object",
        "description": "A secret as it is to be. What is not named of grants and window stays as it is.",
        "additionalProperties": False,
        "required": ["name"],
        "oneOf": [{"required": ["fields"]}, {"required": ["sealed"]}],
        "properties": {
            "name": FULL_NAME,
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
            "to": {**VERSION, "description": "an older version, see the history"},
            "if_version": {**VERSION, "type": ["integer", "null"], "description": "only if this is the version now"},
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
            "secrets": {"type": "array", "items": ref("Secret")},
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
            "verdicts": {"type": "array", "items": ref("Verdict")},
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
            "pods": {"type": "array", "items": ref("Standing")},
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
                "description": "empty when the newest version is in its files; else behind, ahead, stale, "
                "disconnected, render_failed, no_space, write_failed, not_granted, not_yet_valid or expired",
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
