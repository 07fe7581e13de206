"""What an end-to-end run needs: a cluster named by KUBECONFIG, and on a failure everything a person would ask for.

Progress goes to standard output (`tox run -e e2e` shows it). Assumptions: tests/DESIGN.md, "End to end".
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from driver import REASON, Driver


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    driver = getattr(item, "funcargs", {}).get("driver")
    if report.failed and isinstance(driver, Driver):
        report.sections.append(("state of the cluster", driver.everything()))


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    running = Driver()
    yield running
    running.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REASON and "skipped" in terminalreporter.stats:
        terminalreporter.write_line(f"end to end: not run: {REASON}")
