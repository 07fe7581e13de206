"""What a pod asks for: each good text means one thing, each bad one is a line that quotes it."""

from __future__ import annotations

import json

import pytest

from sidecar import rules
from sidecar.rules import Notify, Rule
from sidecar.settings import SettingsError, load


def test_the_short_form():
    text = "app.env=env:shop/db, api; conf/app.yaml=yaml\n.env = docker-env ;n.conf=template:/etc/t/n.j2;"
    assert rules.render(text) == (
        Rule("app.env", "env", ("shop/db", "api")),
        Rule("conf/app.yaml", "yaml"),
        Rule(".env", "docker-env"),
        Rule("n.conf", "template", template_file="/etc/t/n.j2"),
    )
    assert rules.render("") == () == rules.render(" ; ")


def test_the_json_form():
    body = [
        {"path": "a", "format": "json", "secrets": ["shop/db"], "base64": True, "mode": "0440"},
        {"path": "b", "format": "template", "template": "{{ secret('db') }}"},
    ]
    assert rules.render(json.dumps(body)) == (
        Rule("a", "json", ("shop/db",), base64=True, mode=0o440),
        Rule("b", "template", template="{{ secret('db') }}"),
    )


BAD = [
    "app.env", "=env", "app.env=", "app.env=toml", "../x=env", "/x=env", "a/../b=env", "..data=env", "a//b=env", ".=env",
    "a/..g1=env", "@other=env", "a\0=env", "a/b/c/d/e=env", "x=env:a/../b", "x=env:Shop/db", "x=template", "x=template:t.j2",
    "x=env;x=json", "x=env;x/y=json", "[", "[1]", '[{"path": "a"}]', '[{"path": "a", "format": "env", "extra": 1}]',
    '[{"path": 1, "format": "env"}]', '[{"path": "a", "format": "env", "secrets": "shop/db"}]',
    '[{"path": "a", "format": "env", "secrets": [1]}]', '[{"path": "a", "format": "env", "base64": "yes"}]',
    '[{"path": "a", "format": "env", "template": "x"}]', '[{"path": "a", "format": "env", "mode": "0777"}]',
    '[{"path": "a", "format": "env", "mode": "-1"}]', '[{"path": "a", "format": "template"}]',
    '[{"path": "a", "format": "template", "template": "x", "template_file": "/x"}]',
    '[{"path": "a", "format": "template", "template": "x", "base64": true}]',
    json.dumps([{"path": "a", "format": "template", "template": "x" * (rules.MAX_TEMPLATE + 1)}]),
    ";".join(f"f{n}=env" for n in range(rules.MAX_RULES + 1)),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_rendered_is_one_line_of_the_settings(text):
    env = {"SAFE_NODES": "a:1", "SAFE_CA_FILE": "/c", "SAFE_TOKEN_FILE": "/t", "SAFE_TARGET": "/x", "SAFE_POD": "p"}
    with pytest.raises(SettingsError, match="SAFE_RENDER: ") as caught:
        load({**env, "SAFE_RENDER": text})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_how_an_application_is_told():
    assert rules.notify("") is None is rules.notify(" none ")
    assert rules.notify("signal HUP nginx") == Notify("signal", "HUP", "nginx")
    assert rules.notify("signal SIGusr1 /run/shared/app.pid debounce=2") == Notify(
        "signal", "USR1", "/run/shared/app.pid", debounce=2.0
    )
    assert rules.notify("http put http://localhost:8080/a?b=1 timeout=0.5 retries=0 first=yes") == Notify(
        "http", "PUT", "http://localhost:8080/a?b=1", timeout=0.5, retries=0, first=True
    )


@pytest.mark.parametrize(
    "text",
    [
        "nginx", "signal HUP", "signal KILL nginx", "signal HUP ../x", "signal 1 nginx", "mail a b", "http GET /reload",
        "http GET https://127.0.0.1/", "http GET http://10.0.0.1/", "http GET http://example.com/",
        "http GET http://127.0.0.1.example.com/", "http GET http://user@127.0.0.1/", "http GET http://[::2]/",
        "http GET http://127.0.0.1:0/", "http GET http://127.0.0.1:65536/", "http GET http://127.1/",
        "http GET http://0.0.0.0/", "http GET http://169.254.169.254/latest", "http TRACE http://127.0.0.1/",
        "http GET http://127.0.0.1/\x7f", "http GET http://localhost.:80/", "http GET http://[::ffff:10.0.0.1]/",
        "signal HUP a retries=11", "signal HUP a debounce=0", "signal HUP a debounce=61", "signal HUP a debounce=nan",
        "signal HUP a first=maybe", "signal HUP a x=1", "signal HUP a retries=1 retries=2", "signal HUP a timeout=-1",
    ],
)  # fmt: skip
def test_what_cannot_tell_anybody_is_refused(text):
    with pytest.raises(ValueError, match=r".") as caught:
        rules.notify(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8080/x", (("127.0.0.1",), 8080, "/x")),
        ("http://127.9.9.9", (("127.9.9.9",), 80, "/")),
        ("http://[::1]:81/a?b", (("::1",), 81, "/a?b")),
        ("http://localhost/", (("127.0.0.1", "::1"), 80, "/")),
    ],
)
def test_only_this_pod_is_asked_and_localhost_is_never_resolved(url, found):
    assert rules.address(url) == found
