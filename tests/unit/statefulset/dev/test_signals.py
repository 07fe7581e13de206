from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from statefulset.cli.dev import signals


def hit(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", signals.STOPPING)
def test_each_signal_stops_once(number: int) -> None:
    before = signal.getsignal(number)
    with signals.installed():
        with pytest.raises(signals.Stopped) as caught:
            hit(number)
        assert caught.value.number == number
        hit(number)
        hit(signal.SIGINT)
    assert signal.getsignal(number) == before


def test_a_shield_finishes_what_was_begun() -> None:
    steps = []
    with signals.installed(), pytest.raises(signals.Stopped):
        with signals.shield():
            with signals.shield():
                hit()
                steps.append("inner")
            steps.append("outer")
        steps.append("after")
    assert steps == ["inner", "outer"]


def test_a_shield_lets_errors_through() -> None:
    with signals.installed(), pytest.raises(ValueError, match="mine"), signals.shield():
        raise ValueError("mine")


def test_no_handler_of_errors_swallows_it() -> None:
    assert not issubclass(signals.Stopped, Exception)


def test_a_shield_in_another_thread_does_not_hold_back_the_main_one() -> None:
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with signals.shield():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert inside.wait(30)
        with signals.installed(), pytest.raises(signals.Stopped):
            hit()
    finally:
        leave.set()
        thread.join()


def test_a_sleep_is_interrupted() -> None:
    source = (
        "import time\n"
        "from statefulset.cli.dev import signals\n"
        "with signals.installed():\n"
        "    try:\n"
        "        print('up', flush=True)\n"
        "        time.sleep(600)\n"
        "    except signals.Stopped as stopped:\n"
        "        print(stopped)\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "SIGHUP\n"


def test_whoever_leaves_is_not_killed_by_one_more() -> None:
    source = (
        "import os, signal\n"
        "from statefulset.cli.dev import signals\n"
        "with signals.installed():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except signals.Stopped:\n"
        "        signals.leave()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
