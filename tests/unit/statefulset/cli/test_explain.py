"""`safe explain` on the command line; the verdicts themselves are the store's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from statefulset.cli import options
from statefulset.cli.client import Answer
from statefulset.cli.explain import explain

YES = {"secret": "pay/db", "version": 3, "allowed": True, "code": "", "rule": "pay/*", "wildcard": True}
NO = {"secret": "pay/x", "version": 0, "allowed": False, "code": "not_found", "rule": "", "wildcard": False}


class Client:
    def __init__(self, data: dict[str, Any]) -> None:
        self.data, self.asked = data, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def read(self, path, params):
        self.asked.append((path, params))
        return Answer(self.data, True, "https://a")


def run(monkeypatch, verdicts, *arguments, total=None):
    data = {"workload": "pay/api", "verdicts": verdicts, "total": len(verdicts) if total is None else total}
    client = Client(data)
    monkeypatch.setattr(options, "client", lambda timeout: client)
    return CliRunner().invoke(explain, list(arguments)), client.asked


def test_a_table_with_reasons_and_what_to_do(monkeypatch):
    verdicts = [{**YES, "detail": "granted by pay/*", "hint": ""}, {**NO, "detail": "there is none", "hint": "put it"}]
    done, asked = run(monkeypatch, verdicts, "pay/api", total=7)
    assert done.exit_code == 0 and asked == [("/v1/explain/pay/api", {})]
    assert "granted by pay/*" in done.output and "NO" in done.output and "there is none (not_found)" in done.output
    assert "hint: put it" in done.output and "5 more" in done.output and "out of date" in done.output


def test_what_is_asked(monkeypatch):
    _, asked = run(monkeypatch, [], "pay/api", "pay/db", "--local")
    assert asked == [("/v1/explain/pay/api", {"secret": "pay/db", "consistency": "local"})]
    done, asked = run(monkeypatch, [], "pay/api", "--namespace", "pay")
    assert asked == [("/v1/explain/pay/api", {"namespace": "pay"})]
    assert "nothing is granted to pay/api in namespace pay" in done.output


def test_json(monkeypatch):
    done, _ = run(monkeypatch, [], "pay/api", "--json")
    assert json.loads(done.stdout)["verdicts"] == []


@pytest.mark.parametrize(
    "arguments", [["pay/*"], ["pay"], ["pay/api", "db"], ["pay/api", "pay/db", "--namespace", "pay"], []]
)
def test_usage(monkeypatch, arguments):
    done, asked = run(monkeypatch, [], *arguments)
    assert done.exit_code == 2 and asked == []
