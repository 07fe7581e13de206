"""python tests/images/audit_deps.py: the locked versions of the images against the database of known vulnerabilities.

Why it exists: a lock keeps what is known to be bad as faithfully as what is good.
What it refuses to do: be green about what was not looked up. pip-audit calls a package that the database does not
answer for "skipped" and ends with 0; here that is exit code 3.

Exit codes: 0 nothing known against any package; 1 something known; 3 the database was not reached, or not for all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

IMAGES = Path(__file__).parents[2] / "statefulset" / "images"
KNOWN, UNREACHED = 1, 3


def look_up(lock: Path) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package of the lock; None if it could not be asked."""
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    done = subprocess.run(
        [*command, "--format", "json", "--requirement", str(lock)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print((done.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1])
        return None
    return found


def verdict(packages: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """(what is known against some of them, which were not looked up)."""
    known = [
        f"{one['name']} {one['version']}: {vulnerability['id']}, fixed in {', '.join(vulnerability['fix_versions']) or '-'}"
        for one in packages
        for vulnerability in one.get("vulns", ())
    ]
    return known, [one["name"] for one in packages if "skip_reason" in one]


def main() -> int:
    worst = 0
    for lock in sorted(IMAGES.glob("*.lock")):
        packages = look_up(lock)
        if packages is None:
            print(f"{lock.name}: NOT CHECKED, the database could not be asked")
            worst = worst or UNREACHED
            continue
        known, skipped = verdict(packages)
        print(
            f"{lock.name}: {len(packages) - len(skipped)} of {len(packages)} packages looked up, {len(known)} findings"
        )
        for line in known:
            print(f"  {line}")
        if skipped:
            print(f"  NOT CHECKED, the database does not answer for: {', '.join(skipped)}")
            worst = worst or UNREACHED
        if known or not packages:
            worst = KNOWN
    if worst == UNREACHED:
        print(
            "nothing is known about what was not checked: run this where https://pypi.org/pypi/NAME/VERSION/json answers"
        )
    return worst


if __name__ == "__main__":
    sys.exit(main())
