"""The served OpenAPI document against the server: whatever it allows is taken, whatever it forbids is refused, and every
answer is one that it describes.

Calls are drawn by schemathesis from the document that the running node serves, over TLS; half of the well-formed names
are turned into names that exist, else every answer would be "not found"."""

from __future__ import annotations

import functools
import json
import os
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from node.admin.openapi import DOCUMENT

EXAMPLES = int(os.environ.get("SAFE_API_EXAMPLES", "60"))
"""Calls drawn for each operation and mode."""
NAMES = ("pay/db", "pay/gone", "web/tls")
OPERATIONS = [
    (path, method)
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method not in ("parameters", "summary")
]
# Without a parameter or a body there is nothing to get wrong.
NOTHING = {"/v1/openapi.json", "/livez", "/readyz", "/v1/sealing-key"}
CASES = [(*one, GenerationMode.POSITIVE) for one in OPERATIONS]
CASES += [(*one, GenerationMode.NEGATIVE) for one in OPERATIONS if one[0] not in NOTHING]
IDS = [f"{method} {path} {mode.value}" for path, method, mode in CASES]
BEYOND = (
    "expires_ms is not after not_before_ms",
    "would end",
    "in the past",
    "there is nothing to change",
    "add and remove are both empty",
    "a grant stands in add and in remove",
    "would have no field left",
    "has the name of one before it",
    "does not open",
    "secret is namespace/name, or namespace one namespace",
)
"""Refusals (400) of what a schema cannot forbid: how two values go together."""


@functools.cache
def operations(url: str) -> dict[tuple[str, str], Any]:
    schema = schemathesis.openapi.from_dict(json.loads(json.dumps(DOCUMENT)))
    schema.config.update(base_url=url)
    return {(one.path, one.method): one for one in (result.ok() for result in schema.get_all_operations())}


@pytest.fixture
def call(served: Any) -> Any:
    """Sends one case and checks the answer against the document."""

    def call(case: Any, *, allowed: bool) -> Any:
        word = "".join(map(str, (case.path_parameters or {}).values()))
        good = word.isascii() and word.replace("-", "").replace(".", "").isalnum() and word == word.lower()
        if good and len(word) % 2:
            known = NAMES[len(word) // 2 % len(NAMES)]
            case.path_parameters["namespace"], case.path_parameters["name"] = known.split("/")
        response = case.call(headers=served.headers, verify=served.ca, session=served.session)
        if not allowed and response.status_code == 400 and "text/plain" in str(response.headers.get("content-type")):
            return response  # not even HTTP as aiohttp reads it, which answers by itself
        transport = {"verify": served.ca}  # a check sends it again without the token
        excluded = [positive_data_acceptance]
        if response.status_code == 413:
            excluded.append(negative_data_rejection)  # it is a refusal too
        sent = parse_qs(urlsplit(response.request.url).query, keep_blank_values=True)
        if set(case.query or {}) - set(sent):
            excluded.append(
                negative_data_rejection
            )  # what was wrong with it was an empty list, of which nothing is sent
        case.validate_response(response, excluded_checks=excluded, transport_kwargs=transport)
        if allowed and response.status_code not in (200, 404, 409, 410, 422):
            assert response.status_code == 400, (response.status_code, response.text)
            # Python's $ also stands before a last line feed, which a pattern of JSON Schema does not mean.
            artefact = "\\n" in json.dumps([case.body, case.query], default=str)
            assert artefact or any(words in response.json()["detail"] for words in BEYOND), response.text
        return response

    return call


def test_the_document_that_is_served_is_the_one_that_is_tested(served: Any) -> None:
    assert served.call("GET", "/v1/openapi.json") == json.loads(json.dumps(DOCUMENT))


@pytest.mark.parametrize(("path", "method", "mode"), CASES, ids=IDS)
def test_every_operation_does_what_it_says(served: Any, call: Any, path: str, method: str, mode: Any) -> None:
    operation = operations(served.url)[path, method]
    statuses: set[int] = set()
    allowed = mode is GenerationMode.POSITIVE

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        database=None,
    )
    @given(st.data())
    def every(data: st.DataObject) -> None:
        statuses.add(call(data.draw(operation.as_strategy(generation_mode=mode)), allowed=allowed).status_code)

    every()
    print(f"{method} {path} {mode.value}: {sorted(statuses)}")
    assert statuses & {200, 404, 409} if allowed else statuses - {200}
