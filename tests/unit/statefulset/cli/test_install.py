"""`safe install` as a command: what it prints, and what it says when an option cannot be."""

from __future__ import annotations

import pytest
import yaml

from statefulset import manifests
from statefulset.cli.__main__ import run


def test_it_prints_the_manifests(capsys):
    assert run(["install"]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == manifests.load()


def test_choices_reach_the_manifests(capsys):
    assert run(["install", "--replicas", "5", "--namespace", "n2", "--image", "i:1", "--storage-class", ""]) == 0
    options = manifests.Options(replicas=5, namespace="n2", image="i:1", storage_class="")
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == manifests.install(manifests.load(), options)


def test_review_lists_objects_and_rights(capsys):
    assert run(["install", "--review"]) == 0
    text = capsys.readouterr().out
    for document in manifests.load():
        assert f"{document['kind']}  " in text and document["metadata"]["name"] in text
    words = " ".join(text.split())  # columns are as wide as their widest word
    assert "raftsafe/safe-node everywhere create tokenreviews.authentication.k8s.io" in words


@pytest.mark.parametrize("arguments", [["--replicas", "4"], ["--namespace", "kube-system"], ["--image", "a b"]])
def test_what_cannot_be_is_a_usage_error(arguments, capsys):
    assert run(["install", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and arguments[0] in err
