from __future__ import annotations

import pytest

from statefulset.injector.annotations import KNOWN, Refused, quantity, read, wanted

from .conftest import denial, pod


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "sidecar"),
        ("path", "relative"),
        ("path", "/a/../b"),
        ("path", "/"),
        ("size", "1Gi"),
        ("size", "16MB"),
        ("size", "1"),
        ("containers", "A_b"),
        ("containers", " , "),
        ("user", "root"),
        ("user", "-1"),
        ("resources", "cpu=5m"),
        ("resources", "requests.cpu"),
        ("resources", "limits.memory=lots"),
        ("secrets", "Bad_Name"),
        ("secrets", "a/b/c"),
        ("file-mode", "0755"),
        ("file-mode", "x"),
        ("deadline", "soon"),
        ("max-staleness", "-1"),
    ],
)
def test_a_wrong_one_denies_the_pod_and_is_named(name, value):
    assert f"raftsafe.io/{name}" in denial(pod({f"raftsafe.io/{name}": value}))


def test_a_typing_mistake_is_found():
    assert "did you mean raftsafe.io/secrets?" in denial(pod({"raftsafe.io/secret": "db"}))
    assert "known:" in denial(pod({"raftsafe.io/qqqq": "db"}))


def test_few_settings():
    assert 10 <= len(KNOWN) <= 15


@pytest.mark.parametrize(
    ("labels", "annotations", "answer"),
    [
        ({}, {}, False),
        ({"raftsafe.io/inject": "true"}, {}, True),
        ({}, {"raftsafe.io/inject": "true"}, True),
        ({"raftsafe.io/inject": "true"}, {"raftsafe.io/inject": "false"}, False),
    ],
)
def test_label_or_annotation(labels, annotations, answer):
    assert wanted(labels, annotations) is answer


def test_another_word_is_refused():
    with pytest.raises(Refused, match="inject must be"):
        wanted({}, {"raftsafe.io/inject": "yes"})


def test_quantities():
    assert [quantity(text) for text in ("7", "2Ki", "3Mi", "1Gi")] == [7, 2048, 3 << 20, 1 << 30]


def test_empty_values_are_as_if_not_there():
    assert read({"raftsafe.io/secrets": " "}, "shop").environment == {}
