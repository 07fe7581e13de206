"""The one error of the CLI."""

from __future__ import annotations

from statefulset.cli.errors import AWAY, DONE, REFUSED, USAGE, CliError, spoken, usage


def test_exit_codes_are_the_documented_ones():
    assert (DONE, REFUSED, USAGE, AWAY) == (0, 1, 2, 3)


def test_usage():
    error = usage("it is wrong", "do this")
    assert (error.code, error.exit_code, error.hint) == ("usage", USAGE, "do this")


def test_json_names_everything():
    error = CliError("m", code="conflict", exit_code=REFUSED, hint="h", request_id="r")
    assert error.as_json() == {
        "error": {"code": "conflict", "message": "m", "hint": "h", "request_id": "r", "exit_code": 1}
    }


def test_keys_of_a_request_become_options():
    assert spoken("expires_ms is not after not_before_ms") == "--expires is not after --not-before"
    assert spoken("secret number 2: if_version is wrong", "") == "secret number 2: if-version is wrong"
    assert spoken("add ?consistency=local (safe: --local) to read") == "add --local to read"
    assert spoken("name a time to come (with `safe`: --expires, in a file expires)") == "name a time to come"
    assert spoken("there is no secret a/expires_ms_x") == "there is no secret a/expires_ms_x"
