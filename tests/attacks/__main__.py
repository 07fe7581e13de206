"""python tests/attacks [--only WORD]

Attacks on three real nodes and their sidecars, as `safe dev` starts them, each with the refusal that it met, as a table.
Exit code 1 if one met another refusal than the arranged one, if the value that was at stake was seen by an attacker or
in a log, or if afterwards those who are entitled are not served any more.
"""

from __future__ import annotations

import argparse
import base64
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import calls
import doors
import slow
import tokens
import volumes
from table import Attack, Met, meet, printed
from world import CANARY, SECRET, World

from statefulset.cli.dev.check.plaintext import files_below, needles, search
from statefulset.cli.dev.harness import DevCluster, Options

LEAST = 40


def entitled(world: World) -> str:
    """Those who may, can: otherwise a door that is shut for everybody would pass every attack."""
    put = world.put(SECRET, world.admin, CANARY, grants=["bank/teller"])
    given = world.hello(world.workload(), SECRET)
    peers = {name: len(status["connected"]) for name, status in world.cluster.status().items()}
    return f"{put}, {given}, peers {sorted(peers.values())}"


def hidden(world: World) -> str:
    """No attacker was answered with the value, and it is in no file of a node and in no log."""
    wanted = needles(CANARY)
    if any(needle in data for data in world.seen for needle in wanted):
        return "an attacker saw the value"
    home = world.cluster.home
    control = home.logs / "control"
    control.write_bytes(b"x" + base64.b64encode(b"x" + CANARY))
    assert search([control], wanted)[0] == [control]
    control.unlink()
    found, searched = search(files_below([home.data, home.logs]), wanted)
    return f"found in {found[0].name}" if found else "nowhere" if searched > 5_000 else f"only {searched} bytes"


CONTROL = "200, given bank/vault, peers \\[2, 2, 2\\]"


def run(only: str) -> list[Met]:
    chosen = [
        attack for attack in (*tokens.ATTACKS, *doors.ATTACKS, *calls.ATTACKS, *volumes.ATTACKS) if only in attack.name
    ]
    waiting = [attack for attack in slow.ATTACKS if only in attack.name]
    with (
        DevCluster(Options(port=0, private=True, restart=False)) as cluster,
        ThreadPoolExecutor(len(slow.ATTACKS)) as pool,
    ):
        world = World(cluster)
        results = [meet(Attack("(control) before", "all", CONTROL, entitled), world)]
        world.seen.clear()
        pending = [pool.submit(meet, attack, world) for attack in waiting]
        results += [meet(attack, world) for attack in chosen]
        results += [one.result() for one in pending]
        results.append(meet(Attack("(control) the value stayed hidden", "all", "nowhere", hidden), world))
        results.append(meet(Attack("(control) after", "all", CONTROL, entitled), world))
        dead = [name for name in cluster.names if not cluster.node(name).alive]
        results.append(Met(Attack("(control) nobody died", "all", "nobody", lambda _: ""), " ".join(dead) or "nobody"))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="attacks with this word in their name")
    options = parser.parse_args()
    started = time.monotonic()
    results = run(options.only)
    print(printed(results))
    attacks = [met for met in results if not met.attack.name.startswith("(")]
    failed = [met for met in results if not met.ok]
    print(f"\n{len(attacks)} attacks in {time.monotonic() - started:.0f} s, {len(failed)} rows are not as they must be")
    enough = bool(options.only) or len(attacks) >= LEAST
    return 1 if failed or not enough else 0


if __name__ == "__main__":
    sys.exit(main())
