"""Patterns: what they mean, what they refuse, and that every value is as likely as any other."""

from __future__ import annotations

import collections
import string

import pytest

from statefulset.cli import generate
from statefulset.cli.errors import CliError


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("[ab]{3}", ("ab", "ab", "ab")),
        ("[a-c]x[0-1]{2}", ("abc", "x", "01", "01")),
        ("[aab-b]", ("ab",)),
        ("[a-]", ("-a",)),
        (r"[\]\\\-]", (r"-\]",)),
        (r"\[\{", ("[", "{")),
        ("[x]{2}{", None),
        ("[ -~]", ("".join(map(chr, range(32, 127))),)),
        ("a b", ("a", " ", "b")),
        ("[A-Za-z0-9]", ("".join(sorted(string.ascii_letters + string.digits)),)),
        ("", None),
        ("[a]{0}", None),
        ("[]", None),
        ("[", None),
        ("]", None),
        ("{3}", None),
        ("[a]{3", None),
        ("[a]{3,5}", None),
        ("[c-a]", None),
        (r"\d{8}", None),
        (r"[\w]{8}", None),
        ("ä", None),
        ("[ä]", None),
        ("[a-€]", None),
        ("a\nb", None),
        ("[a]{4097}", None),
        ("[a]{9999}[b]{9999}", None),
    ],
)
def test_a_pattern_is_understood_or_refused(pattern, parts):
    if parts is not None:
        assert generate.parse(pattern) == parts
        return
    with pytest.raises(CliError) as caught:
        generate.parse(pattern)
    assert caught.value.exit_code == 2 and caught.value.hint


def test_each_character_is_drawn_on_its_own_from_its_set():
    asked = []
    value = generate.draw(generate.parse("[a-c]{2}-[xy]"), lambda choices: asked.append(choices) or choices[-1])
    assert (value, asked) == (b"cc-y", ["abc", "abc", "-", "xy"])


def test_the_system_draws_uniformly():
    """Chi-square over 61 degrees of freedom: above 140 once in some ten million runs."""
    drawn = collections.Counter(b"".join(generate.make("[A-Za-z0-9]{4096}") for _ in range(16)))
    expected = 16 * 4096 / 62
    assert len(drawn) == 62 and sum((count - expected) ** 2 / expected for count in drawn.values()) < 140


def test_what_everybody_could_guess_is_no_value():
    with pytest.raises(CliError):
        generate.make("secret")
    assert generate.bits(generate.parse("[ab]{10}")) == 10
    assert generate.make("[ab]{64}") != generate.make("[ab]{64}")
