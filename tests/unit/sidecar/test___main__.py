"""The command: what each mode needs, prints and returns."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sidecar import manifest as mf
from sidecar.__main__ import run
from sidecar.manifest import Manifest


def test_help_and_nonsense(capsys):
    assert run(["--help"], {}) == 0
    assert "safe-sidecar [run|init|check]" in capsys.readouterr().out
    assert run(["serve"], {}) == 2
    assert run(["run", "init"], {}) == 2


def test_a_wrong_setting_is_one_line_and_two(capsys):
    assert run(["run"], {}) == 2
    assert capsys.readouterr().err == "safe-sidecar: SAFE_TARGET must be the absolute path of the folder to write to\n"


@pytest.mark.parametrize(("complete", "code"), [(True, 0), (False, 1)])
def test_check_reads_what_is_in_place(tmp_path, complete, code, capsys):
    (tmp_path / "..g1").mkdir()
    (tmp_path / "..g1" / mf.FILE).write_bytes(mf.encode(Manifest(1, complete)))
    (tmp_path / "..data").symlink_to("..g1")
    assert run(["check"], {"SAFE_TARGET": str(tmp_path)}) == code


def test_check_before_anything_is_in_place(tmp_path, capsys):
    assert run(["check"], {"SAFE_TARGET": str(tmp_path)}) == 1
    assert "not in place yet" in capsys.readouterr().err


def test_check_pays_neither_for_tls_nor_for_a_loop():
    code = (
        "import sys\nfrom sidecar.__main__ import run\nrun(['check'], {'SAFE_TARGET': '/nowhere'})\n"
        "print({'ssl', 'asyncio', 'uvloop', 'ctypes', 'sidecar.client'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert result.stdout == "set()\n"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_stop_while_it_starts_is_heard(number):
    """As process 1 of a container it would be lost otherwise; the others would end by it, and not with 0."""
    code = (
        "import os, signal, sys, time\nfrom sidecar import memory, __main__ as program\n"
        f"memory.conceal = lambda: (os.kill(os.getpid(), signal.{number}), time.sleep(30))\n"
        "sys.exit(program.run(['run'], {'SAFE_NODES': 'localhost:1', 'SAFE_CA_FILE': '/x', 'SAFE_TOKEN_FILE': '/x',"
        " 'SAFE_TARGET': '/proc/self'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20).returncode == 0
