"""Children: an answer, or a reason, and none left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import msgpack
import pytest

from sidecar import errand
from sidecar.errand import ErrandError


@pytest.fixture
def module(tmp_path, monkeypatch):
    def make(code):
        (tmp_path / "chore.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return "chore"

    return make


async def test_an_answer(module):
    name = module("import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])")
    assert await errand.run(name, b"abc" * 100_000, 30.0) == b"cba" * 100_000


async def test_one_that_fails_says_how_and_nothing_of_its_own(module):
    for code, words in (
        ("raise SystemExit(3)", "code 3"),
        ("import os\nos.kill(os.getpid(), 9)", "signal 9"),
        ("", "code 0"),
    ):
        with pytest.raises(ErrandError, match=words):
            await errand.run(module(code), b"", 30.0)


async def test_one_that_takes_too_long_is_killed(module, tmp_path):
    name = module(f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    with pytest.raises(ErrandError, match="longer than 1 s"):
        await errand.run(name, b"", 1.0)
    await gone(int((tmp_path / "pid").read_text()))


async def test_one_that_is_given_up_is_killed(module, tmp_path):
    path = tmp_path / "pid"
    name = module(f"import os, time\nopen({str(path)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    task = asyncio.create_task(errand.run(name, b"", 60.0))
    while not path.exists() or not path.read_text():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(path.read_text()))


async def gone(pid):
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("left behind")


FIFTY = {f"shop/s{n}": {"value": b"x" * 100} for n in range(50)}
LOOP = "{% for name, fields in secrets | dictsort %}{{ name }}={{ fields.value }}\n{% endfor %}"


@pytest.mark.parametrize(
    ("module", "request_"),
    [
        ("sidecar.template", ["shop", FIFTY, [["f", LOOP, list(FIFTY)]], []]),
        ("sidecar.http_request", ["POST", "http://127.0.0.1:1/", 1.0]),
    ],
)
def test_a_child_fits_beside_the_sidecar(module, request_):
    """The injector leaves 25 MiB for it (VmHWM, by the child itself: ru_maxrss would count the parent's pages)."""
    code = (
        f"import runpy, sys; runpy.run_module({module!r}, run_name='__main__');"
        "print(open('/proc/self/status').read(), file=sys.stderr)"
    )
    child = [sys.executable, "-P", "-c", code]
    done = subprocess.run(child, input=msgpack.packb(request_), capture_output=True, check=True)
    [peak] = [int(line.split()[1]) for line in done.stderr.decode().splitlines() if line.startswith("VmHWM")]
    print(f"{module}: {peak} KiB at the most")
    assert done.stdout and peak <= 25 << 10
