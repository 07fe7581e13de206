from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .conftest import container, denial, env, injected, pod


def mounts(of):
    return {mount["name"]: mount for mount in of.get("volumeMounts", [])}


def test_an_ordinary_pod_gets_a_native_sidecar_before_everything_else():
    done = injected(pod(initContainers=[{"name": "migrate", "image": "m"}, {"name": "warm", "image": "w"}]))
    assert [each["name"] for each in done["spec"]["initContainers"]] == ["raftsafe-sidecar", "migrate", "warm"]
    ours = container(done, "raftsafe-sidecar")
    assert ours["restartPolicy"] == "Always"
    assert ours["startupProbe"]["exec"]["command"] == ["safe-sidecar", "check"]
    assert ours["command"] == ["safe-sidecar"] and ours["args"] == ["run"]
    assert done["metadata"]["annotations"]["raftsafe.io/status"] == "injected"
    assert done["metadata"]["labels"] == {"raftsafe.io/injected": "true"}


def test_the_volume_is_memory_with_a_limit_and_read_only_for_the_application():
    done = injected(pod({"raftsafe.io/size": "1Mi"}, initContainers=[{"name": "migrate", "image": "m"}]))
    volumes = {volume["name"]: volume for volume in done["spec"]["volumes"]}
    assert volumes["raftsafe"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Mi"}
    for name in ("web", "migrate"):
        assert mounts(container(done, name))["raftsafe"] == {
            "name": "raftsafe",
            "mountPath": "/run/secrets/raftsafe",
            "readOnly": True,
        }
    assert "readOnly" not in mounts(container(done, "raftsafe-sidecar"))["raftsafe"]


def test_only_the_sidecar_sees_the_token():
    done = injected(pod(automountServiceAccountToken=False))
    sources = next(v for v in done["spec"]["volumes"] if v["name"] == "raftsafe-identity")["projected"]["sources"]
    assert sources[0]["serviceAccountToken"] == {"audience": "raftsafe", "expirationSeconds": 3600, "path": "token"}
    assert sources[1]["configMap"]["name"] == "raftsafe-ca"
    assert "raftsafe-identity" in mounts(container(done, "raftsafe-sidecar"))
    assert "raftsafe-identity" not in mounts(container(done, "web"))


def test_a_second_pass_changes_nothing():
    once = injected(pod(initContainers=[{"name": "migrate", "image": "m"}], volumes=[{"name": "v", "emptyDir": {}}]))
    assert injected(copy.deepcopy(once)) == once


def test_a_container_that_another_webhook_added_later_gets_its_mount():
    once = injected(pod())
    once["spec"]["containers"].append({"name": "late", "image": "l"})
    assert "raftsafe" in mounts(container(injected(once), "late"))


@given(
    inits=st.integers(0, 3),
    apps=st.integers(1, 3),
    volumes=st.booleans(),
    mode=st.sampled_from(["native", "init", "classic"]),
)
def test_whatever_the_pod_looks_like_nothing_of_its_own_changes(inits, apps, volumes, mode):
    own = {"volumeMounts": [{"name": "mine", "mountPath": "/mine"}]} if volumes else {}
    before = pod(
        {"raftsafe.io/mode": mode},
        initContainers=[{"name": f"i{n}", "image": "i", **own} for n in range(inits)],
        containers=[{"name": f"c{n}", "image": "c"} for n in range(apps)],
        **({"volumes": [{"name": "mine", "emptyDir": {}}]} if volumes else {}),
    )
    after = injected(before)
    assert injected(after) == after
    for kind in ("initContainers", "containers"):
        kept = [each for each in after["spec"].get(kind, []) if not each["name"].startswith("raftsafe-")]
        assert [each["name"] for each in kept] == [each["name"] for each in before["spec"][kind]]
        for old, new in zip(before["spec"][kind], kept, strict=True):
            assert new["volumeMounts"][: len(old.get("volumeMounts", []))] == old.get("volumeMounts", [])
            assert {k: v for k, v in new.items() if k != "volumeMounts"} == {
                k: v for k, v in old.items() if k != "volumeMounts"
            }
    assert [v for v in after["spec"]["volumes"] if v["name"] == "mine"] == (before["spec"].get("volumes") or [])


def test_init_mode_fetches_once():
    done = injected(pod({"raftsafe.io/mode": "init", "raftsafe.io/deadline": "20"}))
    ours = container(done, "raftsafe-init")
    assert ours["args"] == ["init"] and "restartPolicy" not in ours and "startupProbe" not in ours
    assert env(ours)["SAFE_DEADLINE"] == "20"
    assert [each["name"] for each in done["spec"]["containers"]] == ["web"]


def test_classic_mode_fetches_first_and_then_stays():
    done = injected(pod({"raftsafe.io/mode": "classic"}))
    assert done["spec"]["initContainers"][0]["args"] == ["init"]
    assert [each["name"] for each in done["spec"]["containers"]] == ["web", "raftsafe-sidecar"]


def test_a_classic_sidecar_in_a_job_is_refused():
    assert "keeps a Job from ending" in denial(pod({"raftsafe.io/mode": "classic"}, restartPolicy="Never"))
    assert injected(pod(restartPolicy="Never"))  # a native one is what Jobs need


def test_restricted_pod_security():
    security = container(injected(pod()), "raftsafe-sidecar")["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize(
    ("annotation", "of_pod", "user"),
    [
        ({}, {}, 65532),
        ({}, {"runAsUser": 1000}, 1000),
        ({"raftsafe.io/user": "7"}, {"runAsUser": 1000}, 7),
        ({}, {"runAsUser": 0}, 65532),
    ],
)
def test_the_user(annotation, of_pod, user):
    done = injected(pod(annotation, securityContext=of_pod))
    assert container(done, "raftsafe-sidecar")["securityContext"]["runAsUser"] == user


def test_names_without_a_namespace_are_of_the_pods_own():
    done = injected(pod({"raftsafe.io/secrets": "db, other/api"}))
    assert env(container(done, "raftsafe-sidecar"))["SAFE_SECRETS"] == "shop/db,other/api"


def test_resources_can_be_said():
    done = injected(pod({"raftsafe.io/resources": "requests.cpu=1m,limits.memory=200Mi,limits.cpu=1"}))
    resources = container(done, "raftsafe-sidecar")["resources"]
    assert resources == {"requests": {"cpu": "1m", "memory": "32Mi"}, "limits": {"memory": "200Mi", "cpu": "1"}}


def test_memory_leaves_room_for_the_volume():
    limits = container(injected(pod({"raftsafe.io/size": "100Mi"})), "raftsafe-sidecar")["resources"]["limits"]
    assert int(limits["memory"]) >= (100 << 20) + (30 << 20)


def test_only_the_containers_named_get_the_mount():
    more = [{"name": "web", "image": "w"}, {"name": "log", "image": "l"}]
    done = injected(pod({"raftsafe.io/containers": "web"}, containers=more))
    assert "raftsafe" in mounts(container(done, "web")) and "raftsafe" not in mounts(container(done, "log"))


def test_what_is_in_the_way_is_refused():
    mount = {"name": "web", "image": "w", "volumeMounts": [{"name": "x", "mountPath": "/run/secrets/raftsafe/"}]}
    assert "raftsafe.io/path: container web has something else" in denial(pod(containers=[mount]))
    assert "volume raftsafe of its own" in denial(pod(volumes=[{"name": "raftsafe", "emptyDir": {}}]))
    assert "no container nobody" in denial(pod({"raftsafe.io/containers": "nobody"}))
    assert "only Linux" in denial(pod(os={"name": "windows"}))
