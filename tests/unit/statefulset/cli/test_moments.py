"""Points in time: what is understood, and nothing that depends on where one is."""

from __future__ import annotations

import pytest

from statefulset.cli import moments

NOW = 1_800_000_000.25


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("2027-01-31T12:00:00+02:00", 1_801_389_600_000),
        ("2027-01-31t10:00:00.5z", 1_801_389_600_500),
        ("2027-01-31 10:00:00Z", 1_801_389_600_000),
        ("90s", 1_800_000_090_250),
        ("30m", 1_800_001_800_250),
        ("30d", 1_802_592_000_250),
        ("2w", 1_801_209_600_250),
        ("never", None),
    ],
)
def test_what_is_understood(text, ms):
    assert moments.parse(text, NOW) == ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "30",
        "d",
        "-5d",
        "1.5h",
        "2027-01-31",
        "2027-01-31T12:00:00",
        "2027-13-01T00:00:00Z",
        "30 d",
        "30d5h",
        "2027-02-30T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2027-01-31T12:00Z",
        "2027-W05-7T12:00:00Z",
        "٣d",
    ],
)
def test_what_is_not(text):
    with pytest.raises(ValueError, match="write 2027"):
        moments.parse(text, NOW)
