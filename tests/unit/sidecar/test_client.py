"""The shell's small parts; what it does as a whole is tested as a process."""

from __future__ import annotations

import importlib.metadata

from sidecar import client


def test_the_agent_names_this_release():
    assert f"safe-sidecar/{importlib.metadata.version('raftsafe')}" == client.AGENT
