"""The process `safe`: runs the command and turns every end of it into an exit code.

Why it exists: one place that decides what a failure looks like. What it refuses to do: print a traceback, or the
message of an error it does not know; either may quote a value. Nor does it leave a core file, which would hold one.
"""

from __future__ import annotations

import os
import resource
import sys
import traceback
from collections.abc import Sequence

try:
    import click

    from statefulset.cli import output
    from statefulset.cli.errors import DONE, INTERRUPTED, REFUSED, USAGE, CliError, usage
    from statefulset.cli.group import safe
except ModuleNotFoundError as missing:
    # The plain install is the sidecar's: two packages and no command line.
    sys.exit(f"safe: the {missing.name} package is missing; install raftsafe[cli]")


def _unknown(error: Exception) -> CliError:
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(last.filename)}:{last.lineno}"
    hint = "this is a mistake in the program; please report it with this line"
    return CliError(f"{type(error).__name__} at {where}", code="internal", exit_code=REFUSED, hint=hint)


def run(args: Sequence[str]) -> int:
    """The exit code of `safe ARGS`."""
    as_json = "--json" in args
    try:
        result = safe.main(args=list(args), prog_name="safe", standalone_mode=False)
        if not output.flush():
            return _lost()
        return result if isinstance(result, int) else DONE
    except CliError as error:
        output.fail(error, as_json=as_json)
        return error.exit_code
    except click.ClickException as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click 8.2 and newer
            error.show()
            return USAGE
        context = getattr(error, "ctx", None)
        where = context.command_path if context is not None else "safe"
        output.fail(usage(error.format_message(), f"see `{where} --help`"), as_json=as_json)
        return USAGE
    except click.Abort:
        output.note("\nsafe: stopped")
        return INTERRUPTED
    except ModuleNotFoundError as missing:
        output.note(f"safe: the {missing.name} package is missing; install raftsafe[cli]")
        return REFUSED
    except Exception as error:
        if isinstance(error, output.OutputLostError) or not output.flush():  # the latter: click's own, as for --help
            return _lost()
        output.fail(_unknown(error), as_json=as_json)
        return REFUSED


def _lost() -> int:
    """The exit code when the answer cannot be written: a change that is done stays done."""
    if output.Applied.made:
        output.note("safe: done; the answer could not be written to standard output")
        return DONE
    output.note("safe: standard output cannot be written")
    return REFUSED


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # Ctrl-\ at the prompt would write the value to this folder
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
