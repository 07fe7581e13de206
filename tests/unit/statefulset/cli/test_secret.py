"""How one secret is described."""

from __future__ import annotations

from statefulset.cli.secret import came_of, describe


def record(**more):
    base = {
        "name": "a/b",
        "version": 3,
        "created_ms": 0,
        "updated_ms": 1000,
        "not_before_ms": None,
        "expires_ms": None,
        "fields": [{"name": "user", "size": 2}, {"name": "password", "size": 0}],
        "grants": ["a/x", "b/*"],
        "deleted": False,
        "index": 9,
    }
    return {**base, **more}


def lines(**more) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in describe(record(**more)).splitlines())
    return {key: value.strip() for key, value in pairs}


def test_everything_that_is_known():
    assert lines() == {
        "name": "a/b",
        "version": "3",
        "fields": "user (2 bytes), password (0 bytes)",
        "given to": "a/x, b/*",
        "created": "1970-01-01T00:00:00Z",
        "updated": "1970-01-01T00:00:01Z",
        "valid": "always",
    }


def test_windows_of_validity():
    assert lines(not_before_ms=0)["valid"] == "from 1970-01-01T00:00:00Z"
    assert lines(expires_ms=0)["valid"] == "until 1970-01-01T00:00:00Z"
    assert lines(not_before_ms=0, expires_ms=1000)["valid"] == "from 1970-01-01T00:00:00Z until 1970-01-01T00:00:01Z"


def test_what_to_do_next():
    assert "safe grant" in lines(grants=[])["given to"]
    shown = lines(deleted=True)
    assert shown["valid"] == "deleted" and "safe undelete a/b" in shown["next"]


def test_a_revoke_is_judged_by_what_is_left():
    def came(workloads, before, after):
        found = came_of(workloads, before, after)
        return found.gone, found.narrowed, found.absent, found.still

    assert came(["a/x"], ["a/x", "b/*"], ["b/*"]) == (("a/x",), (), (), ())
    assert came(["a/*"], ["a/*", "a/x"], ["a/x"]) == (("a/*",), (), (), ())
    assert came(["a/x"], [], []) == ((), (), ("a/x",), ())
    for wider in ("a/*", "*/x", "*/*"):
        assert came(["a/x"], ["a/x", wider], [wider]) == ((), ("a/x",), (), (("a/x", wider),))
        assert came(["a/x"], [wider], [wider]) == ((), (), ("a/x",), (("a/x", wider),))
    assert came(["a/*"], ["a/*", "*/*"], ["*/*"]) == ((), ("a/*",), (), (("a/*", "*/*"),))
