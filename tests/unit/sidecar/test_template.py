"""Templates: what they may say, what they may not, and that no error says a value."""

from __future__ import annotations

import subprocess
import sys

import msgpack
import pytest

from sidecar import template as module
from sidecar.template import render_all

SECRETS = {
    "shop/db": {"user": b"u", "password": b"canary-1"},
    "shop/key": {"value": b"canary-2"},
    "other/bin": {"value": b"\xff\0"},
}


def rendered(text, names=("shop/db", "shop/key", "other/bin")):
    found, dropped, failed = render_all("shop", SECRETS, [("f.conf", text, list(names))])
    assert not dropped
    return failed.get("f.conf") or found["f.conf"].decode()


@pytest.mark.parametrize(
    "text",
    [
        "{{ secret('gone') }}", "{{ secret('shop/gone', 'x') }}", "{{ secrets['shop/gone'].value }}",
        "{{ secrets.get('shop/gone').value }}", "{{ secrets['shop/gone']['value'] }}",
        "{% if secrets['shop/gone'] is defined %}{% endif %}{{ missing }}",
    ],
)  # fmt: skip
def test_a_file_that_asks_for_what_was_taken_away_is_left_out_and_the_others_are_made(text):
    sources = [("f", text, ["shop/db"]), ("g", "{{ secret('db', 'user') }}", ["shop/db"])]
    assert render_all("shop", SECRETS, sources, ["shop/gone"]) == ({"g": b"u"}, {"f": "shop/gone"}, {})
    found, dropped, failed = render_all("shop", SECRETS, sources)
    assert not dropped and failed["f"].startswith("f: "), "a name that never was there is a mistake"
    assert found == {"g": b"u"}, "the others are made all the same, for who may use them"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{% if 'shop/gone' in secrets %}x{% endif %}", b""),
        ("{{ secrets.get('shop/gone', {}).value | default('none') }}", b"none"),
        ("{{ secrets | length }}", b"1"),
    ],
)
def test_a_template_may_do_without_what_was_taken_away(text, made):
    assert render_all("shop", SECRETS, [("f", text, ["shop/db"])], ["shop/gone"]) == ({"f": made}, {}, {})


def test_what_fails_before_it_asks_is_a_mistake_of_the_template():
    _, dropped, failed = render_all("shop", SECRETS, [("f", "{{ missing }}{{ secret('gone') }}", [])], ["shop/gone"])
    assert not dropped and "'missing' is undefined" in failed["f"]


def test_no_template_reaches_the_names_that_were_taken_away():
    assert "the sandbox forbids it" in rendered("{{ secrets._taken }}")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ secret('db', 'user') }}\n", "u\n"),
        ("{{ secret('shop/key') }}", "canary-2"),
        ("{{ secrets['shop/db'].user }}", "u"),
        ("{% for name, fields in secrets | dictsort %}{{ name }} {% endfor %}", "other/bin shop/db shop/key "),
        ("{{ secret('other/bin') | b64encode }} {{ secret('key') | b64encode }}", "/wA= Y2FuYXJ5LTI="),
        ("{{ \"it's\" | sh }} {{ 'no' | yaml }} {{ 'a\"' | json }} {{ 'a=b' | properties }}", "'it'\\''s' \"no\" \"a\\\"\" a\\=b"),
        ("<{{ '<&>' }}>", "<<&>>"),
    ],
)  # fmt: skip
def test_what_templates_can_say(text, made):
    assert rendered(text) == made


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a\n{{ missing }}", "line 2: something is undefined: 'missing' is undefined"),
        ("{{ secrets.shop.db }}", "line 1: something is undefined: 'sidecar.template.Visible object' has no attribute 'shop'"),
        ("{{ secret('nope') }}", "line 1: a value is missing or unfit: there is no secret nope"),
        ("\n\n{{ secret('db', 'x') }}", "line 3: a value is missing or unfit: db has no field x"),
        ("{{ secret('other/bin') }}", "a value is not UTF-8 text; use the filter b64encode"),
        ("{% if %}", "line 1: syntax: Expected an expression, got 'end of statement block'"),
        ("{{ 'a' | nofilter }}", "line 1: syntax: No filter named 'nofilter'."),
        ("{{ ''.__class__ }}", "line 1: the sandbox forbids it"),
        ("{{ secret.__globals__ }}", "line 1: something is undefined"),
        ("{{ secret._secrets }}", "line 1: the sandbox forbids it"),
        ("{{ secrets.update({}) }}", "line 1: the sandbox forbids it"),
        ("{{ range(1000000) }}", "OverflowError"),
        ("{% include '/etc/passwd' %}", "line 1: TypeError"),
        ("{% import 'os' as os %}", "line 1: TypeError"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "it calls itself without end"),
        ("{{ secrets | tojson }}", "TypeError"),
    ],
)  # fmt: skip
def test_what_fails_is_said_with_its_line(text, error):
    said = rendered(text)
    assert said.startswith("f.conf: ") and error in said, said


@pytest.mark.parametrize(
    "text",
    [
        "{{ secrets[secret('key')] }}", "{{ secret(secret('key')) }}", "{{ secret('db', secret('key')) }}",
        "{{ secret('key') | attr(secret('db', 'password')) | upper }}", "{{ ''[secret('key')].x }}",
        "{{ secret('key').format(1)[secret('key')]() }}", "{{ '%d' % secret('key') }}", "{{ secret('key')() }}",
        "{{ secrets['shop/key'].value / 2 }}", "{{ [1][secret('key')] }}", "{{ secret('key') | round }}",
    ],
)  # fmt: skip
def test_no_error_says_a_value(text):
    said = rendered(text)
    assert said.startswith("f.conf: ") and "canary" not in said, said


def test_a_template_sees_only_what_it_names():
    assert "Visible object' has no attribute" in rendered("{{ secrets['shop/key'].value }}", ["shop/db"])
    assert "there is no secret key" in rendered("{{ secret('key') }}", ["shop/db"])


def test_too_much_output_is_an_error():
    assert rendered("{% for n in range(99999) %}{{ 'x' * 100 }}{% endfor %}").endswith("writes more than 1048576 bytes")


def child(text, secrets=SECRETS):
    request = msgpack.packb(["shop", secrets, [["f.conf", text, list(secrets)]], []])
    return subprocess.run([sys.executable, "-m", "sidecar.template"], input=request, capture_output=True, check=False)


def test_the_process_renders():
    assert msgpack.unpackb(child("{{ secret('key') }}").stdout) == [{"f.conf": b"canary-2"}, {}, {}]


@pytest.mark.parametrize(
    "text", ["{{ 'a' * 999999999 }}", "{{ '%999999999d' % 1 }}", "{{ ('x' * 99999).replace('x', 'y' * 99999) }}"]
)
def test_the_process_has_no_more_memory_than_it_is_given(text):
    [found, _, failed] = msgpack.unpackb(child(text).stdout)
    assert found == {} and "too much memory" in failed["f.conf"]


def test_the_process_ends_when_its_time_is_over():
    done = child("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}")
    assert done.returncode < 0 and done.stdout == b""


def test_the_process_has_room_for_the_largest_set():
    secrets = {f"shop/s{n}": {"value": b"x" * (1 << 20)} for n in range(32)}
    assert msgpack.unpackb(child("{{ secrets | length }}", secrets).stdout) == [{"f.conf": b"32"}, {}, {}]


def test_without_jinja2_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "install raftsafe[template]" in rendered("x")


def test_a_sidecar_does_not_carry_jinja2():
    code = "import sys, sidecar.client\nprint({'jinja2', 'http.client', 'subprocess', 'sidecar.template'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout in ("set()\n", "{'subprocess'}\n"), "asyncio imports subprocess itself"


def test_words_of_the_template_may_be_repeated_and_no_others():
    assert module.repeatable("'user' is undefined", "{{ user }}")
    assert not module.repeatable("'hunter2' is undefined", "{{ user }}")


@pytest.mark.parametrize("value", ["!!??$$", "user!!", "$$.user", "'\"'", "user-user", "(user)!", "\u00ff\u00b6"])
@pytest.mark.parametrize("text", ["{{ secrets['shop/user'][secret('user')] }}", "{{ secret(secret('user')) }}"])
def test_a_value_of_signs_is_no_word_of_anybody(text, value):
    secrets = {"shop/user": {"value": value.encode()}}
    _, _, failed = module.render_all("shop", secrets, [("f", text, ["shop/user"])])
    assert failed["f"] and value not in failed["f"]


def test_it_is_the_first_choice_of_the_oom_killer_before_proc_is_closed_to_it():
    code = (
        "from sidecar import memory, template\n"
        "memory.conceal = lambda: print(open('/proc/self/oom_score_adj').read())\n"
        "template.resource.setrlimit = lambda *_: None\ntemplate.confine(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "1000"
