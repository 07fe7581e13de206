"""The notifier at work: a burst is one word, and what became of it is reported."""

from __future__ import annotations

import asyncio

from sidecar import told as module
from sidecar.rules import Notify
from sidecar.told import Told


def rig(monkeypatch, answers, **options):
    calls, reports = [], []

    async def tell(rule):
        calls.append(rule)
        return answers.pop(0) if answers else ""

    monkeypatch.setattr(module, "tell", tell)
    rule = Notify("signal", "HUP", "app", debounce=0.1, **options)
    made = Told(rule, lambda *report: reports.append(report), lambda: reports.append("settled"))
    return made, calls, reports


async def until(ready):
    for _ in range(3000):
        if ready():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


async def test_a_burst_is_one_word_and_one_report(monkeypatch):
    told, calls, reports = rig(monkeypatch, [])
    for _ in range(5):
        told.swapped(True)
    await until(lambda: reports)
    await until(lambda: len(reports) == 2)
    assert len(calls) == 1 and reports == ["settled", ("", 1, 0)]


async def test_the_first_set_is_not_told_unless_asked(monkeypatch):
    told, calls, _ = rig(monkeypatch, [])
    told.swapped(False)
    await asyncio.sleep(0.5)
    assert calls == []
    told, calls, _ = rig(monkeypatch, [], first=True)
    told.swapped(False)
    await until(lambda: calls)


async def test_a_failure_is_reported_and_mended(monkeypatch, capsys):
    told, calls, reports = rig(monkeypatch, ["refused"], retries=1)
    told.swapped(True)
    await until(lambda: reports and reports[-1] == ("", 1, 0))
    assert reports.index("settled") == len(reports) - 2, "not before it is told"
    assert len(calls) == 2 and "could not be told: refused" in capsys.readouterr().err


async def test_a_mistake_of_ours_is_a_failure_like_another(monkeypatch):
    told, _, reports = rig(monkeypatch, [], retries=0)

    async def broken(_):
        raise RuntimeError("canary")

    monkeypatch.setattr(module, "tell", broken)
    told.swapped(True)
    await until(lambda: reports)
    assert reports == [("internal error, RuntimeError", 0, 1)], "and nothing is settled by it"


async def test_a_change_while_it_is_told_is_still_owed(monkeypatch):
    told, calls, reports = rig(monkeypatch, [])
    gate = asyncio.Event()

    async def slow(rule):
        calls.append(rule)
        await gate.wait()
        return ""

    monkeypatch.setattr(module, "tell", slow)
    told.swapped(True)
    await until(lambda: calls)
    told.swapped(True)
    gate.set()
    await until(lambda: len(calls) == 2)
    await until(lambda: ("", 2, 0) in reports)
    assert reports.count("settled") == 1


async def test_nothing_goes_on_after_the_end(monkeypatch):
    told, calls, reports = rig(monkeypatch, [])
    told.swapped(True)
    told.cancel()
    await asyncio.sleep(0.5)
    assert calls == [] == reports
