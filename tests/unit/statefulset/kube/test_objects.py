"""The real client against the API in memory: every outcome that decisions are made of."""

from __future__ import annotations

import base64

import pytest

from statefulset.kube.objects import AwayError, ForbiddenError, Objects


@pytest.fixture
def objects(api):
    return Objects("raftsafe", api.folder, api.env)


@pytest.mark.parametrize("kind", ["secret", "config_map"])
def test_there_not_there_made_and_somebody_was_first(objects, api, kind):
    assert objects.get(kind, "raftsafe-identity") is None
    assert objects.create(kind, "raftsafe-identity", {"a.b": b"first"}, "about it") is True
    assert objects.create(kind, "raftsafe-identity", {"a.b": b"second"}, "about it") is False
    assert objects.get(kind, "raftsafe-identity") == {"a.b": b"first"}
    ((_, document),) = api.objects.items()
    assert document["metadata"]["annotations"] == {"raftsafe.io/about": "about it"}


def test_a_secret_may_hold_any_bytes(objects, api):
    assert objects.create("secret", "raftsafe-identity", {"k": bytes(range(256))}, "")
    assert objects.get("secret", "raftsafe-identity") == {"k": bytes(range(256))}
    assert base64.b64decode(api.objects["secrets", "raftsafe-identity"]["data"]["k"]) == bytes(range(256))


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_not_now(objects, api, code):
    api.failing = [code] * 2
    with pytest.raises(AwayError, match=str(code)):
        objects.get("secret", "raftsafe-identity")
    with pytest.raises(AwayError, match=str(code)):
        objects.create("secret", "raftsafe-identity", {}, "")
    assert len(api.asked) == 2, "nothing is repeated behind our back"


@pytest.mark.parametrize("code", [400, 401, 403, 422])
def test_refused(objects, api, code):
    api.failing = [code]
    with pytest.raises(ForbiddenError, match=str(code)):
        objects.create("secret", "raftsafe-identity", {"k": b"canary"}, "")


def test_nobody_there(objects, api):
    api.stop()
    with pytest.raises(AwayError, match="cannot be reached"):
        objects.get("secret", "raftsafe-identity")
    api.stop = lambda: None


def test_a_server_of_another_authority_is_not_believed(api, tmp_path):
    import trustme

    trustme.CA().cert_pem.write_to_path(str(api.folder / "ca.crt"))
    with pytest.raises(AwayError):
        Objects("raftsafe", api.folder, api.env).get("secret", "raftsafe-identity")
    assert api.asked == []


def test_outside_of_a_cluster_it_says_so(api):
    with pytest.raises(ForbiddenError, match="API server of a cluster"):
        Objects("raftsafe", api.folder, {})
