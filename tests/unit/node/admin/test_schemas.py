"""The patterns of the document and the code that checks the same texts agree, on texts that nearly fit too."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.admin import schemas
from node.admin.bodies import _base64
from node.admin.problem import STATUS
from node.errors import Rejected
from node.store.commands import is_grant
from sidecar.wire import names

near = st.text("ab1-._A*/ \n", max_size=12)
PROPERTIES = schemas.SCHEMAS["Put"]["properties"]


def fits(schema: dict, text: str) -> bool:
    # Python's $ also stands before a last line feed, which a pattern of JSON Schema does not mean.
    pattern = schema["pattern"].replace("$", r"\Z")
    return len(text) <= schema.get("maxLength", 1 << 30) and re.search(pattern, text) is not None


@settings(max_examples=300, deadline=None)
@given(near)
@example("a/" + "b" * 253)
@example("a" * 63 + "/b")
@example("a" * 64 + "/b")
@example("a/b..c")
def test_names(text: str) -> None:
    assert fits(schemas.FULL_NAME, text) == names.is_secret(text)


@settings(max_examples=300, deadline=None)
@given(near)
@example("a" * 253)
@example("a" * 254)
@example("tls.crt")
def test_fields(text: str) -> None:
    assert fits(PROPERTIES["fields"]["propertyNames"], text) == names.is_field(text)


@settings(max_examples=300, deadline=None)
@given(near)
@example("*/*")
@example("a/*")
@example("*/b.c")
def test_grants(text: str) -> None:
    assert fits(PROPERTIES["grants"]["items"], text) == is_grant(text)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=9) | st.text("AQgw=+/-_ \n", max_size=8))
def test_values(given_: bytes | str) -> None:
    text = base64.b64encode(given_).decode() if isinstance(given_, bytes) else given_
    schema = PROPERTIES["fields"]["additionalProperties"]
    if fits(schema, text):
        assert base64.b64encode(_base64("f", text)).decode() == text
    else:
        with pytest.raises(Rejected):
            _base64("f", text)


def test_every_code_is_an_example_of_a_problem() -> None:
    assert schemas.SCHEMAS["Problem"]["properties"]["code"]["examples"] == sorted(STATUS)
