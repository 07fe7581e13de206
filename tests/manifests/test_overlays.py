"""Every overlay, built by the real kustomize: valid for Kubernetes 1.36, restricted, and with rights that are few."""

from __future__ import annotations

import subprocess
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
import pytest
import yaml

from statefulset import manifests, podsecurity, rights
from statefulset.cli import output

VERSION = "1.36"


def the(documents: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def pod_specs(documents: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    kinds = ("StatefulSet", "Deployment", "DaemonSet", "Job")
    found = [each for each in documents if each["kind"] in kinds]
    return [(each["metadata"]["name"], each["spec"]["template"]["spec"]) for each in found]


def test_the_versions_are_those_of_the_target(kubectl):
    shown = subprocess.run([kubectl, "version", "--client", "-o", "yaml"], capture_output=True, text=True, check=False)
    versions = yaml.safe_load(shown.stdout)
    print(f"\nkubectl {versions['clientVersion']['gitVersion']}, kustomize {versions['kustomizeVersion']}")
    assert any(each.startswith(f"{VERSION}.") for each in kubernetes_validate.utils.all_versions())


def test_every_document_is_valid(documents, overlay):
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
    print(f"\n{overlay}: {len(documents)} documents valid against Kubernetes {VERSION}, unknown fields refused")


def test_the_validation_notices_mistakes(documents):
    bad = yaml.safe_load(yaml.safe_dump(the(documents, "StatefulSet", "safe")))
    bad["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, VERSION, strict=True)


def test_every_pod_is_restricted_and_cannot_write_its_image(documents):
    specs = pod_specs(documents)
    assert specs
    for name, spec in specs:
        assert podsecurity.violations(spec) == [], name
        for container in spec.get("initContainers", []) + spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert container["resources"]["requests"]
        assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False


def test_no_two_documents_are_one_object(documents):
    keys = [(e["apiVersion"], e["kind"], e["metadata"].get("namespace"), e["metadata"]["name"]) for e in documents]
    assert len(set(keys)) == len(keys)


def test_who_may_do_what(documents, overlay):
    table = rights.table(documents)
    print(f"\n{overlay}\n{output.table(rights.HEAD, table)}")
    for who, where, verbs, what, named in table:
        assert "*" not in verbs and "*" not in what, (who, what)
        resources = set(what.split(","))
        if "secrets" in resources:
            assert where != "everywhere", f"{who} may {verbs} Secrets everywhere"
            own = {"raftsafe/safe-node": "raftsafe-identity", "raftsafe/safe-control": "raftsafe-webhook"}.get(who)
            assert verbs == "create" or (verbs == "get" and named == own), (who, verbs, named)
        assert not resources & {"pods/exec", "serviceaccounts/token"}
        assert not any(each.endswith(".rbac.authorization.k8s.io") for each in resources)
        assert not {"impersonate", "escalate", "bind"} & set(verbs.split(","))


def test_every_node_knows_every_node(documents):
    spec = the(documents, "StatefulSet", "safe")["spec"]
    env = {each["name"]: each.get("value") for each in spec["template"]["spec"]["containers"][0]["env"]}
    assert env["SAFE_PEERS"] == manifests.peers(spec["replicas"])


def test_what_installs_is_what_is_printed(build):
    assert manifests.install(manifests.load(), manifests.Options()) == build("base")


def test_the_dev_overlay_is_the_ephemeral_installation(build):
    assert manifests.install(manifests.load(), manifests.Options(ephemeral=True)) == build("overlays/dev")


def test_five_nodes_on_five_machines(build):
    ours = the(manifests.install(manifests.load(), manifests.Options(replicas=5)), "StatefulSet", "safe")
    theirs = the(build("overlays/ha"), "StatefulSet", "safe")
    affinity = theirs["spec"]["template"]["spec"].pop("affinity")
    ours["spec"]["template"]["spec"].pop("affinity")
    env = [each["spec"]["template"]["spec"]["containers"][0].pop("env") for each in (ours, theirs)]
    assert ours == theirs and sorted(env[0], key=str) == sorted(env[1], key=str)
    assert list(affinity["podAntiAffinity"]) == ["requiredDuringSchedulingIgnoredDuringExecution"]


def test_a_kustomization_of_ones_own_can_move_it(kubectl, tmp_path, build):
    """What people do: an overlay with a namespace and an image of their own."""
    (tmp_path / "base").symlink_to(manifests.BASE)
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [base]\nnamespace: vault\nimages: [{name: localhost/raftsafe/node, newName: r.example/n, newTag: '2'}, "
        "{name: localhost/raftsafe/control, newName: r.example/c, newTag: '2'}]\n"
    )
    command = [kubectl, "kustomize", "--load-restrictor=LoadRestrictionsNone", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    moved = list(yaml.safe_load_all(done.stdout))
    assert "raftsafe" not in {each["metadata"].get("namespace") for each in moved}
    assert {s["namespace"] for each in moved for s in each.get("subjects", ())} == {"vault"}
    assert {c["image"] for _, s in pod_specs(moved) for c in s.get("initContainers", []) + s["containers"]} == {
        "r.example/n:2",
        "r.example/c:2",
    }
