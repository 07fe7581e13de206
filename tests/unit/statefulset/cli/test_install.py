"""`safe install` as a command: what it prints, and what it says when an option cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from statefulset import manifests
from statefulset.cli.__main__ import run
from statefulset.controller import bundle
from statefulset.controller.reconcile import PLURAL


def test_it_prints_the_manifests(capsys):
    assert run(["install"]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == manifests.load()


def test_choices_reach_the_manifests(capsys):
    assert run(["install", "--replicas", "5", "--namespace", "n2", "--image", "i:1", "--storage-class", ""]) == 0
    options = manifests.Options(replicas=5, namespace="n2", image="i:1", storage_class="")
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == manifests.install(manifests.load(), options)


@pytest.mark.parametrize("replicas", ["3", "5"])
def test_it_says_that_applying_again_sets_the_number_of_nodes_again(replicas, capsys):
    assert run(["install", "--replicas", replicas]) == 0
    head = capsys.readouterr().out.partition("---")[0]
    assert f"with {replicas} nodes" in head and "--replicas" in head
    assert all(line.startswith("# ") for line in head.splitlines()), "nothing that kubectl would read"


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


def test_the_way_to_take_it_away_is_the_one_that_leaves_nothing():
    """SafeSecrets while the controller can still let them go; its bundles when it cannot make them again."""
    text = (Path(__file__).parents[4] / "README.md").read_text("utf-8")
    before, _, after = text.partition("safe install | kubectl delete --ignore-not-found -f -")
    assert before.rstrip().endswith(f"kubectl delete {PLURAL} --all -A")
    key, _, value = after.split()[5].partition("=")
    assert after.split()[:5] == ["kubectl", "delete", "configmaps", "-A", "-l"] and bundle.LABELS[key] == value
