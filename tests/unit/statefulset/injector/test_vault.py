from __future__ import annotations

import json

import pytest

from statefulset.injector.annotations import Refused
from statefulset.injector.vault import translate

V = "vault.hashicorp.com/"


def test_a_pod_with_only_vaults_annotations_is_left_to_vault():
    assert translate({V + "agent-inject-secret-db": "secret/db"}, "shop") == ({}, [])


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("secret/data/payments/db", "payments/db"),
        ("secret/payments/db", "payments/db"),
        ("secret/db", "shop/db"),
        ("secret/data/db", "shop/db"),
        ("kv/data/db", "shop/db"),
        ("payments/db", "payments/db"),
        ("team/data/a/b", "a/b"),
    ],
)
def test_paths(path, name):
    ours, _ = translate({V + "agent-inject": "true", V + "agent-inject-secret-conf": path}, "shop")
    assert ours["raftsafe.io/secrets"] == name
    assert json.loads(ours["raftsafe.io/render"]) == [{"path": "conf", "format": "json", "secrets": [name]}]


def test_a_path_that_is_no_name_here_is_named():
    with pytest.raises(Refused, match="agent-inject-secret-db"):
        translate({V + "agent-inject": "true", V + "agent-inject-secret-db": "database/creds/a/b/c"}, "shop")


def test_the_common_ones():
    ours, warnings = translate(
        {
            V + "agent-inject": "true",
            V + "agent-pre-populate-only": "true",
            V + "secret-volume-path": "/s",
            V + "agent-inject-containers": "web",
            V + "agent-run-as-user": "100",
            V + "agent-limits-mem": "64Mi",
            V + "agent-inject-secret-db": "secret/db",
            V + "agent-inject-file-db": "db.json",
        },
        "shop",
    )
    assert warnings == []
    assert ours["raftsafe.io/mode"] == "init" and ours["raftsafe.io/path"] == "/s"
    assert ours["raftsafe.io/containers"] == "web" and ours["raftsafe.io/user"] == "100"
    assert ours["raftsafe.io/resources"] == "limits.memory=64Mi"
    assert json.loads(ours["raftsafe.io/render"])[0]["path"] == "db.json"


def test_what_is_not_understood_is_said():
    given = {"role": "web", "agent-inject-template-db": "{{ x }}", "agent-inject-command-db": "kill", "tls-secret": "t"}
    _, warnings = translate({V + "agent-inject": "true", **{V + k: v for k, v in given.items()}}, "shop")
    assert len(warnings) == 4
    for key in given:
        assert any(warning.startswith(V + key) for warning in warnings)
