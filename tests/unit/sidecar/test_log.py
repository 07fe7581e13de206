"""The log: one line an event, whoever chose the words."""

from __future__ import annotations

import sys

from sidecar.log import log


def test_the_log_is_one_line_an_event(capsys):
    log("a\nb\x1b[31m\u2028c")
    assert capsys.readouterr().err == "safe-sidecar: a b [31m c\n"


def test_nobody_reading_is_no_reason_to_fail(monkeypatch):
    class Closed:
        def write(self, _):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Closed())
    log("x")
