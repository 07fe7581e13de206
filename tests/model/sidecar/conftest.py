"""Strategies for names and messages, shared by the models of the sidecar."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import strategies as st

from sidecar.wire import codes
from sidecar.wire import messages as m

label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
name = st.builds(lambda a, b: f"{a}/{b}", label, label)
field = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,8}", fullmatch=True)
number = st.integers(0, m.MAX_NUMBER)
version = st.integers(1, m.MAX_NUMBER)
text = st.text(max_size=30)
word = st.text(min_size=1, max_size=30)
versions = st.dictionaries(name, version, max_size=4)
delay = st.integers(0, m.MAX_DELAY_MS)

from_client = st.one_of(
    st.builds(
        m.Hello,
        st.lists(version, min_size=1, max_size=4).map(tuple),
        word,
        word,
        word,
        text,
        number,
        versions,
        st.lists(name, max_size=3).map(tuple),
        st.sampled_from(["run", "init"]),
    ),
    st.builds(m.Receipt, number, versions, text, number, st.builds(m.Report, text, text, number, number, number)),
    st.builds(m.Token, word),
    st.builds(m.Bye),
    st.builds(m.Ping, number),
    st.builds(m.Pong, number),
)
from_node = st.one_of(
    st.builds(m.Welcome, st.integers(2, 9), text, number, st.integers(10, 60_000), st.booleans(), text),
    st.builds(m.Welcome, st.just(1), text, number, st.integers(10, 60_000), st.booleans()),
    st.builds(m.Refused, word, text, text, delay),
    st.builds(m.Secret, name, version, number, st.dictionaries(field, st.binary(max_size=50), min_size=1, max_size=4)),
    st.builds(m.Gone, name, st.sampled_from(sorted(codes.GONE))),
    st.builds(m.Sync, number, st.booleans(), st.booleans()),
    st.builds(m.Stale, st.booleans()),
    st.builds(m.Goaway, text, delay),
    st.builds(m.Denied, name, word, text),
    st.builds(m.Ping, number),
    st.builds(m.Pong, number),
)


@pytest.fixture(scope="session")
def strategies() -> SimpleNamespace:
    return SimpleNamespace(from_client=from_client, from_node=from_node)
