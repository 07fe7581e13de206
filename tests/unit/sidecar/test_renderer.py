"""Which files are rendered anew, from what, and what a failure leaves."""

from __future__ import annotations

import json
import os

import pytest

from sidecar import renderer as module
from sidecar.actions import Place
from sidecar.files import Files, PlaceError
from sidecar.render import RenderError
from sidecar.renderer import Renderer, finish
from sidecar.rules import MAX_TEMPLATE, Rule, render
from sidecar.wire.messages import Secret


def secret(name, version=1, **fields):
    return Secret(name, version, version, fields or {"value": b"v%d" % version})


class Pod:
    def __init__(self, root, text):
        self.root = root
        self.files = Files(str(root))
        self.files.recover()
        self.renderer = Renderer(render(text), self.files)
        self.known = dict(self.files.manifest.floors)

    async def place(self, *secrets, gone=(), complete=True, partial=False):
        changes = {one.name: one for one in secrets} | dict.fromkeys(gone)
        self.known |= dict.fromkeys(changes, 1)
        plan = await finish(self.renderer.plan(changes, "shop", self.known, partial), "shop")
        self.dropped = plan.dropped
        return self.files.apply(Place(changes, 1, complete, self.known), "shop", plan.rendered)

    def anew(self, *secrets):
        """Paths that a change of these would render again."""
        plan = self.renderer.plan({one.name: one for one in secrets}, "shop")
        return {path for path, each in plan.rendered.items() if each.data is not None} | {s[0] for s in plan.sources}


async def test_only_what_has_changed_is_rendered(memory):
    pod = Pod(memory, "db.env=env:db; api.json=json:api; all.yaml=yaml")
    assert await pod.place(secret("shop/db"), secret("shop/api"))
    assert pod.anew() == set()
    assert pod.anew(secret("shop/api", 2)) == {"api.json", "all.yaml"}
    before = (memory / "db.env").stat().st_ino
    assert await pod.place(secret("shop/api", 2))
    assert (memory / "db.env").stat().st_ino == before, "the same file, linked"
    assert (memory / "api.json").read_text() == '{\n  "api": "v2"\n}\n'
    assert (memory / "all.yaml").read_text() == '"api": "v2"\n"db": "v1"\n', "the other value was read from the files"
    assert not await pod.place()


async def test_another_rule_is_another_file(memory):
    await Pod(memory, "x=env:db; y=json").place(secret("shop/db"))
    pod = Pod(memory, "x=json:db")
    assert await pod.place()
    assert json.loads((memory / "x").read_text()) == {"db": "v1"} and not os.path.lexists(memory / "y")


async def test_another_template_is_another_file(memory, tmp_path):
    template = tmp_path / "t.j2"
    template.write_text("one {{ secret('db') }}")
    pod = Pod(memory, f"x=template:{template}")
    await pod.place(secret("shop/db"))
    assert (memory / "x").read_text() == "one v1"
    template.write_text("two {{ secret('db') }}")
    assert await pod.place()
    assert (memory / "x").read_text() == "two v1"


async def test_a_rendered_file_that_somebody_removed_is_made_again(memory):
    await Pod(memory, "x=env").place(secret("shop/db"))
    (memory / "..data" / "x").unlink()
    again = Pod(memory, "x=env")
    assert await again.place() and (memory / "x").read_text() == "DB=v1\n"


async def test_a_removal_is_in_the_next_rendering(memory):
    pod = Pod(memory, "x=env; y=env:db")
    await pod.place(secret("shop/db"), secret("shop/api"))
    await pod.place(gone=["shop/api"])
    assert (memory / "x").read_text() == "DB=v1\n"
    await pod.place(gone=["shop/db"])
    assert (memory / "x").read_text() == "" and not os.path.lexists(memory / "y") and not os.path.lexists(memory / "db")


TAKEN = {
    "env": "f=env:db,api",
    "template": '[{"path": "f", "format": "template", "template": "{{ secret(\'db\') }}{{ secret(\'api\') }}"}]',
}


@pytest.mark.parametrize("kind", TAKEN)
async def test_a_file_of_a_secret_that_was_taken_away_goes_and_comes_back_with_it(memory, kind):
    pod = Pod(memory, TAKEN[kind])
    await pod.place(secret("shop/db"), secret("shop/api"))
    assert b"v1" in (memory / "f").read_bytes()
    assert await pod.place(gone=["shop/db"])
    assert pod.dropped == {"f": "f is removed: it is made of shop/db, which was taken away"}
    assert sorted(name for name in os.listdir(memory) if not name.startswith("..")) == ["api"]
    assert not list((memory / "..data").glob("f")), "nothing of it in the generation"
    assert await pod.place(secret("shop/api", 2)), "what is still there goes on changing"
    assert (memory / "api").read_text() == "v2" and pod.dropped
    pod = Pod(memory, TAKEN[kind])
    assert not await pod.place() and pod.dropped, "known after a restart, from the manifest"
    assert await pod.place(secret("shop/db", 2)) and not pod.dropped
    assert (memory / "f").read_bytes().count(b"v2") == 2


async def test_a_secret_that_never_was_there_is_no_removal(memory):
    pod = Pod(memory, "f=env:db,other")
    with pytest.raises(RenderError, match="f: shop/other is not in place"):
        await pod.place(secret("shop/db"))


async def test_a_part_leaves_alone_what_its_changes_do_not_touch(memory, tmp_path):
    template = tmp_path / "t.j2"
    template.write_text("one")
    rule = {"path": "f", "format": "template", "template_file": str(template), "secrets": ["api"]}
    text = json.dumps([rule, {"path": "g", "format": "env", "secrets": ["db"]}])
    pod = Pod(memory, text)
    await pod.place(secret("shop/db"), secret("shop/api"))
    template.write_text("{{ broken")
    with pytest.raises(RenderError, match=r"^f: "):
        await pod.place(gone=["shop/db"])
    assert await pod.place(gone=["shop/db"], partial=True)
    assert (memory / "f").read_text() == "one" and not os.path.lexists(memory / "g")
    more = Pod(memory, json.dumps([rule, {**rule, "path": "h"}]))
    assert not await more.place(partial=True) and not os.path.lexists(memory / "h"), "nothing new either"


BROKEN = {
    "syntax": "{% broken",
    "undefined": "{{ missing }}",
    "too large": "{{ 'x' * 2000000 }}",
    "no end": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "no file": None,
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_what_was_taken_away_goes_with_each_file_that_may_hold_it_whatever_its_template_says(
    memory, tmp_path, kind, monkeypatch
):
    monkeypatch.setattr(module, "MAX_SECONDS", 3.0 if kind == "no end" else 60.0)
    template = tmp_path / "t.j2"
    template.write_text("{{ secret('db') }}")
    text = json.dumps(
        [
            {"path": "f", "format": "template", "template_file": str(template)},
            {"path": "g", "format": "template", "template": "{{ secrets | length }}"},
            {"path": "all", "format": "env"},
            {"path": "api.env", "format": "env", "secrets": ["api"]},
        ]
    )
    pod = Pod(memory, text)
    await pod.place(secret("shop/db"), secret("shop/api"))
    assert (memory / "f").read_text() == "v1"
    if BROKEN[kind] is None:
        template.unlink()
    else:
        template.write_text(BROKEN[kind])
    with pytest.raises(RenderError, match=r"^f"):
        await pod.place(gone=["shop/db"])
    assert await pod.place(gone=["shop/db"], partial=True)
    assert sorted(name for name in os.listdir(memory) if not name.startswith("..")) == ["all", "api", "api.env", "g"]
    assert (memory / "all").read_text() == "API=v1\n" and (memory / "g").read_text() == "1", "the others are made"
    assert list(pod.dropped) == ["f"] and "f is removed, as it may hold what was taken away" in pod.dropped["f"]
    template.write_text("{{ secret('api') }}")
    assert await pod.place() and not pod.dropped and (memory / "f").read_text() == "v1", "mended, it is back"


@pytest.mark.parametrize(
    ("name", "fields", "path"),
    [
        ("shop/app", {}, "app"),
        ("shop/app", {}, "app/conf"),
        ("shop/app", {"user": b"u", "x": b"x"}, "app"),
        ("shop/app", {"user": b"u", "x": b"x"}, "app/user"),
        ("shop/app", {"user": b"u", "x": b"x"}, "app/user/a"),
    ],
)
async def test_a_rendered_file_goes_before_a_secret_of_its_name(memory, name, fields, path):
    pod = Pod(memory, f"{path}=json")
    await pod.place(secret(name, **fields), secret("shop/other"))
    assert (memory / path).is_file() and (memory / "other").is_file()
    hidden = sorted(
        str(each.relative_to(memory / "..data" / "..raw")) for each in (memory / "..data" / "..raw").rglob("*")
    )
    assert hidden == (["app", "app/user", "app/x"] if fields else ["app"])
    assert {each for each in os.listdir(memory) if not each.startswith("..")} == {"app", "other"}
    assert Files(str(memory)).recover().versions() == {name: 1, "shop/other": 1}
    assert await pod.place(secret(name, 2, **fields))
    plain = Pod(memory, "")
    assert await plain.place()
    assert (memory / "app" / "x" if fields else memory / "app").read_bytes() in (b"x", b"v2")


async def test_a_rendered_file_beside_the_fields_of_a_secret(memory):
    await Pod(memory, "api/url=env:api").place(secret("shop/api", user=b"u", password=b"p"))
    assert (memory / "api/user").read_bytes() == b"u" and (memory / "api/url").read_bytes() == b"PASSWORD=p\nUSER=u\n"


async def test_its_own_mode(memory):
    pod = Pod(memory, '[{"path": "x", "format": "env", "mode": "0400"}, {"path": "y", "format": "env"}]')
    await pod.place(secret("shop/db"))
    assert [(memory / name).stat().st_mode & 0o777 for name in "xy"] == [0o400, 0o444]
    await pod.place(gone=["shop/never"])
    assert (memory / "x").stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("content", [None, b"\xff", b"x" * (MAX_TEMPLATE + 1), b"{{ x"])
async def test_a_template_file_that_cannot_be_used_is_named(memory, tmp_path, content):
    path = tmp_path / "t.j2"
    if content is not None:
        path.write_bytes(content)
    pod = Pod(memory, f"x=template:{path}; y=env")
    with pytest.raises(RenderError, match=r"^x: "):
        await pod.place(secret("shop/db"))
    assert [name for name in os.listdir(memory) if name != "..data"] == [], "nothing of it is there"


async def test_a_value_in_force_that_cannot_be_read_is_damage(memory):
    pod = Pod(memory, "x=env")
    await pod.place(secret("shop/db"), secret("shop/api"))
    (memory / "..data" / "db").unlink()
    with pytest.raises(PlaceError) as caught:
        await pod.place(secret("shop/api", 2))
    assert caught.value.damaged


def test_no_repr_shows_a_value(memory):
    pod = Pod(memory, "x=env")
    plan = pod.renderer.plan({"shop/db": secret("shop/db", value=b"canary")}, "shop")
    assert "canary" not in repr(plan)


def test_rules_are_values():
    assert repr(Rule("x", "env")) == repr(Rule("x", "env")), "the checksum of a rule is made of it"
