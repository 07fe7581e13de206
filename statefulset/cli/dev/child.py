"""Becomes the program it is told to, after asking the kernel to kill it when its parent dies.

Why it exists: `safe dev` may itself be killed with SIGKILL, and then nobody is left to clean up: its nodes must not
live on and hold ports. The request survives exec, so the program needs to know nothing of it.
What it refuses to do: run without a parent, or import anything of ours; it is started for each process and must cost
milliseconds. Usage: python -I -S child.py PARENT_PID PROGRAM ARGUMENT...
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked
    try:
        os.execv(command[0], command)  # noqa: S606 - that is what this file is for
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
