"""Runs the steps of a check one after the other, and says what was seen.

Why it exists: one command that a person or a build can trust: exit code 0 if, and only if, every promise held and
nothing was left behind. What it refuses to do: go on after a step that failed; the next ones
would only add noise.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from statefulset.cli import output
from statefulset.cli.dev import signals
from statefulset.cli.dev.check import failures, plaintext, refusals, writes
from statefulset.cli.dev.check.context import Context, Failed, Passed
from statefulset.cli.dev.errors import DevError
from statefulset.cli.dev.harness import DevCluster, Options
from statefulset.cli.errors import DONE, REFUSED, CliError

STEPS: Final[tuple[tuple[str, Callable[[Context], Passed]], ...]] = (
    ("a", writes.exact),
    ("b", writes.fast),
    ("c", failures.leader_lost),
    ("d", failures.quorum_lost),
    ("e", failures.everything_lost),
    ("f", refusals.refused),
    ("g", plaintext.nothing_at_rest),
)


class Log:
    """The lines, and the same as JSON. With `as_json` the lines go to standard error."""

    def __init__(self, as_json: bool) -> None:
        self._say = output.note if as_json else output.say
        self._began = time.monotonic()
        self.steps: list[dict[str, Any]] = []

    def line(self, text: str) -> None:
        self._say(text)
        sys.stdout.flush()

    def passed(self, step: str, passed: Passed, seconds: float) -> None:
        self.steps.append({"step": step, "ok": True, "seconds": round(seconds, 3), **passed.figures})
        self.line(f"ok    {step:5}  {passed.line}  [{seconds:.1f} s]")

    def failed(self, step: str, title: str, expected: str, seen: str) -> None:
        self.steps.append({"step": step, "ok": False, "expected": expected, "seen": seen})
        self.line(f"FAIL  {step:5}  {title}\n             expected: {expected}\n             seen:     {seen}")

    def end(self, ok: bool, options: Options, as_json: bool) -> None:
        seconds = time.monotonic() - self._began
        self.line(f"{'all steps hold' if ok else 'FAILED'} after {seconds:.1f} s")
        if as_json:
            whole = {"ok": ok, "seconds": round(seconds, 3), "nodes": options.nodes, "steps": self.steps}
            output.say_json(whole)
            sys.stdout.flush()


def run(options: Options, as_json: bool) -> int:
    """The exit code of `safe dev --check`: 0, 1, or 128 + the signal that ended it."""
    log = Log(as_json)
    cluster = DevCluster(options)
    ok, stopped = False, 0
    try:
        ok = _start(cluster, log) and _steps(Context(cluster, os.urandom), log)
    except signals.Stopped as signal:
        signals.leave()
        stopped = signal.number
        log.failed("stop", "the check was ended", "no signal", str(signal))
    finally:
        began = time.monotonic()
        left = cluster.stop()
    if left:
        log.failed("end", "nothing is left behind", "no process and no file", "; ".join(left))
    elif ok:
        started = len(cluster.supervisor.pids)
        log.passed("end", Passed(f"none of {started} processes and no file is left"), time.monotonic() - began)
    log.end(ok and not left, options, as_json)
    return 128 + stopped if stopped else DONE if ok and not left else REFUSED


def _start(cluster: DevCluster, log: Log) -> bool:
    """What is in the way before there is a cluster (a port, no tmpfs) is an error of its own: raises DevError."""
    began = time.monotonic()
    try:
        cluster.start()
    except DevError as error:
        if not error.details:
            raise
        log.failed("start", "the cluster comes up", "every node ready", error.message)
        _tell(log, error.details)
        return False
    except CliError as error:
        log.failed("start", "the cluster comes up", "every node ready", error.message)
        return False
    names = cluster.names
    log.passed("start", Passed(f"{len(names)} nodes are ready: {', '.join(names)}"), time.monotonic() - began)
    return True


def _steps(context: Context, log: Log) -> bool:
    for step, function in STEPS:
        began = time.monotonic()
        title = (function.__doc__ or "").partition(": ")[2].strip()
        try:
            passed = function(context)
            if dead := context.cluster.supervisor.deaths():
                how = "; ".join(f"{name} {context.cluster.supervisor[name].how_it_ended()}" for name in dead)
                raise Failed("no process to die by itself", how, dead)
        except Failed as failure:
            log.failed(step, title, failure.expected, failure.seen)
            names = failure.logs or context.cluster.names
        except DevError as error:
            log.failed(step, title, "the cluster to work", error.message)
            _tell(log, error.details)
            return False
        except CliError as error:
            log.failed(step, title, "the store to do it", f"{error.message} ({error.code})")
            names = context.cluster.names
        except Exception as error:  # a step that breaks has failed too; the message is not told, it may quote a value
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{os.path.basename(last.filename)}:{last.lineno}"
            log.failed(step, title, "the step to run to its end", f"{type(error).__name__} at {where}")
            names = context.cluster.names
        else:
            log.passed(step, passed, time.monotonic() - began)
            continue
        _tell(log, context.cluster.trouble(names, "").details)
        return False
    return True


def _tell(log: Log, lines: tuple[str, ...]) -> None:
    for line in lines:
        log.line(f"  {line}")
