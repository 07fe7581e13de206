"""Settings: each mistake is one line that names the variable."""

from __future__ import annotations

import pytest

from sidecar.settings import ALLOW_DISK, Node, SettingsError, load

GOOD = {
    "SAFE_NODES": "safe-0.safe:8400, [::1]:8401",
    "SAFE_CA_FILE": "/ca",
    "SAFE_TOKEN_FILE": "/token",
    "SAFE_TARGET": "/run/secrets/raftsafe",
    "SAFE_POD": "web-0",
}


def test_a_good_environment():
    settings = load({**GOOD, "SAFE_SECRETS": "shop/db, shop/api,shop/db"})
    assert settings.nodes == (Node("safe-0.safe", 8400), Node("::1", 8401))
    assert settings.secrets == ("shop/db", "shop/api")
    assert (settings.mode, settings.deadline, settings.file_mode) == ("run", 60.0, 0o444)
    assert not settings.allow_disk and settings.max_staleness == 0
    assert [str(node) for node in settings.nodes] == ["safe-0.safe:8400", "[::1]:8401"]


def test_the_command_line_goes_before_the_environment():
    assert load({**GOOD, "SAFE_MODE": "init"}).mode == "init"
    assert load({**GOOD, "SAFE_MODE": "init"}, "run").mode == "run"


def test_check_needs_the_target_alone():
    assert load({"SAFE_TARGET": "/x"}, "check").target == "/x"


def test_the_pod_is_the_host_name_unless_said():
    assert load({key: value for key, value in GOOD.items() if key != "SAFE_POD"}).pod


@pytest.mark.parametrize("missing", ["SAFE_NODES", "SAFE_CA_FILE", "SAFE_TOKEN_FILE", "SAFE_TARGET"])
def test_what_is_missing_is_named(missing):
    with pytest.raises(SettingsError, match=missing):
        load({key: value for key, value in GOOD.items() if key != missing})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SAFE_NODES", "safe"), ("SAFE_NODES", "safe:"), ("SAFE_NODES", ":8400"), ("SAFE_NODES", "safe:0"),
        ("SAFE_NODES", "safe:65536"), ("SAFE_NODES", "safe:x"), ("SAFE_NODES", "safe:٣"), ("SAFE_NODES", ","),
        ("SAFE_NODES", "säfe:1"), ("SAFE_NODES", ",".join(f"n{n}:1" for n in range(65))),
        ("SAFE_SECRETS", "db"), ("SAFE_SECRETS", "shop/../x"), ("SAFE_SECRETS", ",".join(f"a/b{n}" for n in range(2049))),
        ("SAFE_DEADLINE", "soon"), ("SAFE_DEADLINE", "0"), ("SAFE_DEADLINE", "nan"), ("SAFE_DEADLINE", "inf"),
        ("SAFE_MAX_STALENESS", "-1"), ("SAFE_FILE_MODE", "0555"), ("SAFE_FILE_MODE", "rw"), ("SAFE_FILE_MODE", "0044"),
        ("SAFE_FILE_MODE", "4444"), ("SAFE_ALLOW_DISK", "yes"), ("SAFE_ALLOW_DISK", "true"), ("SAFE_TARGET", "secrets"),
        ("SAFE_TARGET", "/a\0b"), ("SAFE_POD", "a\nb"), ("SAFE_POD", "x" * 254), ("SAFE_POD", "\udcff"),
        ("SAFE_MODE", "daemon"), ("SAFE_FILE_GROUP", "staff"), ("SAFE_FILE_GROUP", "-1"), ("SAFE_FILE_GROUP", "2147483648"),
        ("SAFE_RENDER", "x=toml"), ("SAFE_NOTIFY", "nginx"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_line(key, value):
    with pytest.raises(SettingsError) as caught:
        load({**GOOD, key: value})
    line = str(caught.value)
    assert "\n" not in line
    assert key in line or key == "SAFE_MODE"


def test_disk_is_allowed_in_so_many_words():
    assert load({**GOOD, "SAFE_ALLOW_DISK": ALLOW_DISK}).allow_disk


def test_rendering_and_telling_are_read():
    settings = load({**GOOD, "SAFE_RENDER": "app.env=env", "SAFE_NOTIFY": "signal HUP app", "SAFE_FILE_GROUP": "2000"})
    assert [rule.path for rule in settings.render] == ["app.env"] and settings.notify.target == "app"
    assert settings.file_group == 2000
    plain = load(GOOD)
    assert (plain.render, plain.notify, plain.file_group) == ((), None, None)


def test_a_stricter_file_mode():
    assert load({**GOOD, "SAFE_FILE_MODE": "0440"}).file_mode == 0o440
