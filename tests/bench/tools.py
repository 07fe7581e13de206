"""Programs of the distribution that a row needs: found, or installed, or said to be missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from children import BenchError

PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
INSTALL = 300.0


class Missing(BenchError):
    """A program is not here and could not be installed."""


def need(program: str, package: str, said: Callable[[str], None]) -> str:
    """The path of `program`; installs Debian's `package` first if it is not there. Raises Missing, saying why."""
    found = shutil.which(program, path=PLACES)
    if found is not None:
        return found
    said(f"{program} is not here: apt-get install -y {package}")
    why = _install(package)
    found = shutil.which(program, path=PLACES)
    if found is None:
        raise Missing(f"{program} (package {package}) is not here and could not be installed: {why}")
    return found


def _install(package: str) -> str:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    why = ""
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", package]):
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=INSTALL, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{' '.join(command)}: {error}"
        if done.returncode != 0:
            why = f"{' '.join(command)}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    return why
