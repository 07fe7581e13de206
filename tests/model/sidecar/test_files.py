"""Any history of generations, interrupted anywhere: a reader at any step sees one whole generation."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sidecar.actions import Place
from sidecar.files import Files
from sidecar.wire.messages import Secret

NAMES = ["shop/db", "shop/api", "other/db", "other/key"]
FIELDS = st.sampled_from([("value",), ("user", "password"), ("k",), ("value", "k")])
CHANGE = st.dictionaries(st.sampled_from(NAMES), st.none() | FIELDS, max_size=4)
HISTORY = st.lists(st.tuples(CHANGE, st.none() | st.integers(0, 40), st.booleans()), min_size=1, max_size=8)


def place_of(name, field, fields):
    namespace, _, base = name.partition("/")
    path = base if namespace == "shop" else f"@{namespace}/{base}"
    return path if fields == {"value"} else f"{path}/{field}"


def expected(secrets):
    return {
        place_of(secret.name, field, set(secret.fields)): data
        for secret in secrets.values()
        for field, data in secret.fields.items()
    }


def inside(root):
    """Everything in the generation in force."""
    found = {}
    for folder, _, names in os.walk(root / "..data"):
        for name in names:
            path = Path(folder) / name
            if name != "..manifest.json":
                found[str(path.relative_to(root / "..data"))] = path.read_bytes()
    return found


def through_the_links(root, paths):
    found = {}
    for path in paths:
        try:
            found[path] = (root / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
    return found


@given(HISTORY)
def test_a_reader_sees_one_whole_generation_at_any_step(history):
    root = Path(tempfile.mkdtemp(prefix="raftsafe-model-", dir="/dev/shm"))
    try:
        run(root, history)
    finally:
        shutil.rmtree(root)


def run(root, history):
    files = Files(str(root))
    files.recover()
    now = {}
    for number, (change, crash_after, sweep) in enumerate(history, start=1):
        changes = {
            name: fields
            and Secret(name, number, number, {field: b"%d %s" % (number, field.encode()) for field in fields})
            for name, fields in change.items()
        }
        after = {name: secret for name, secret in (now | changes).items() if secret}
        crashed = False
        for step, _ in enumerate(files.steps(Place(changes, number, True, {}), "shop")):
            seen = inside(root)
            assert seen in (expected(now), expected(after)), "torn, or a mix of two generations"
            paths = set(expected(now)) | set(expected(after))
            linked = through_the_links(root, paths)
            assert linked == {path: data for path, data in seen.items() if path in paths}, "a file is missing"
            if step == crash_after:
                crashed = True
                break
        if crashed:
            survived = inside(root)
            files = Files(str(root))
            found = files.recover()
            now = after if survived == expected(after) else now
            assert found.versions() == {name: secret.version for name, secret in now.items()}
        else:
            now = after
        if sweep:
            files.sweep()
        assert inside(root) == expected(now)
        assert through_the_links(root, expected(now)) == expected(now)
        tops = {path.partition("/")[0] for path in expected(now)}
        assert {name for name in os.listdir(root) if not name.startswith("..")} == tops
    files.sweep()
    assert sum(name.startswith("..g") for name in os.listdir(root)) <= 1
