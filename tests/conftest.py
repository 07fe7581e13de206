"""What holds for every test that draws its cases with hypothesis.

Why it exists: hypothesis fails a test that takes 200 ms for a case or is slow to draw one, by the clock. On a machine that
others use as well that says nothing about the test, and it was what failed. What it refuses to do: relax anything else;
a test that hangs still meets the timeout in pyproject.toml.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("no-clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no-clock")
