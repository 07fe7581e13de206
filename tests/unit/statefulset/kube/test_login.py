"""A kubeconfig as the kubernetes client reads it: which context, which token, and what is said of one that is bad."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from statefulset.kube.login import Login
from statefulset.kube.objects import ForbiddenError

from ..farside.apiserver import ApiServer
from ..farside.cluster import Cluster


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiServer]:
    running = ApiServer(tmp_path, Cluster())
    running.tokens["t"] = "ops/admin"
    yield running
    running.stop()


def test_contexts_of_several_files(api: ApiServer) -> None:
    first, second = api.kubeconfig("a", {"token": "t"}, "one"), api.kubeconfig("b", {"token": "u"}, "two")
    both = f"{first}:{second}"
    assert Login(both, "").context == "one", "the first file's current one, as kubectl has it"
    assert Login(both, "").bearer() == "t"
    assert Login(both, "two").context == "two"
    with pytest.raises(ForbiddenError, match="three"):
        Login(both, "three")


def test_a_token_file_that_ends_with_a_line_feed(api: ApiServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    login = Login(str(api.kubeconfig("k", {"tokenFile": str(tmp_path / "token")})), "")
    assert [login.bearer(), login.bearer()] == ["t", "t"]
    assert login.api.get("/api/v1/namespaces/shop/configmaps/none") is None, "the API server takes it"


def test_a_certificate_is_no_token(api: ApiServer) -> None:
    login = Login(str(api.kubeconfig("k", api.certificate("ops/admin"))), "")
    assert login.bearer() == "" and login.user == "somebody"
    api.issued["ops/robot"] = "made"
    assert login.token_of("ops/robot", "raftsafe-admin") == "made"
    assert api.requested == [["raftsafe-admin"]]


@pytest.mark.parametrize("text", ["", "{", "[]", "clusters: 5", "apiVersion: v1\nkind: Config\n"])
def test_no_kubeconfig(tmp_path: Path, text: str) -> None:
    path = tmp_path / "k"
    path.write_text(text)
    with pytest.raises(ForbiddenError, match="kubeconfig"):
        Login(str(path), "")
    with pytest.raises(ForbiddenError, match="kubeconfig"):
        Login(str(tmp_path / "absent"), "")
