"""`safe-sidecar [run|init|check]`: wiring only.

Why it exists: a place to start from that imports no more than the mode needs: `check` runs every second as a probe
while a pod starts, and must not pay for TLS or a loop. What it refuses to do: take any setting from the command line,
where every process of the pod could read it.
"""

from __future__ import annotations

import os
import signal
import sys

from sidecar import manifest
from sidecar.settings import Settings, SettingsError, load

USAGE = """usage: safe-sidecar [run|init|check]

  run    receive secrets until stopped (the default, or SAFE_MODE)
  init   receive them once and end: 0 done, 1 refused or missing, 3 store away
  check  0 if the first whole set is in place, 1 if not; speaks to nobody

Settings are SAFE_* environment variables; 2 means that they cannot work.
"""


def _say(text: str) -> None:
    sys.stderr.write(f"safe-sidecar: {text}\n")


def _check(settings: Settings) -> int:
    found = manifest.load(f"{settings.target}/..data")
    if found is not None and found.complete:
        return 0
    _say("the first set of secrets is not in place yet")
    return 1


def _serve(settings: Settings) -> int:
    # Until the loop has handlers of its own. Process 1 of a container is not ended by a signal that it does not handle,
    # and with a small share of a processor the imports below take seconds.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    from sidecar import memory

    memory.conceal()
    if memory.swap_is_on():
        _say("this machine has swap, which may hold values: memory is not locked here, see sidecar/DESIGN.md")
    memory.one_resolver_thread()
    from sidecar import client, volume
    from sidecar.files import Files

    volume.prepare(settings.target, settings.allow_disk)
    held = volume.lock(settings.target)
    try:
        volume.check_owner(settings.target)
        if settings.file_group is not None:
            volume.check_group(settings.target, settings.file_group)
        return client.run(client.Client(settings, Files(settings.target, settings.file_mode, settings.file_group)).run)
    finally:
        os.close(held)


def run(arguments: list[str], environment: dict[str, str]) -> int:
    """The exit code."""
    if arguments in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    if len(arguments) > 1 or (arguments and arguments[0] not in ("run", "init", "check")):
        sys.stderr.write(USAGE)
        return 2
    try:
        settings = load(environment, arguments[0] if arguments else "")
        return _check(settings) if settings.mode == "check" else _serve(settings)
    except SettingsError as error:
        _say(str(error))
        return 2


def main() -> None:
    sys.exit(run(sys.argv[1:], dict(os.environ)))


if __name__ == "__main__":
    main()
