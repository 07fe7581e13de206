"""Where the store is: the environment, or a `safe dev` of this user, and nothing that somebody else could plant."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from statefulset.cli.connection import Asked, find
from statefulset.cli.errors import USAGE, CliError

UID = os.getuid()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text("pem")
    (tmp_path / "token").write_text("ey.token.x\n")
    return tmp_path


def env(files: Path, server: str) -> dict[str, str]:
    return {"SAFE_SERVER": server, "SAFE_CA_FILE": str(files / "ca.pem"), "SAFE_TOKEN_FILE": str(files / "token")}


def dev(tmp_path: Path, mode: int = 0o700) -> Path:
    folder = tmp_path / f"raftsafe-dev-{UID}"
    folder.mkdir()
    (folder / "ca.pem").write_text("pem")
    (folder / "token").write_text("dev-token")
    (folder / "viewer").write_text("viewer-token")
    client = {
        "servers": ["https://127.0.0.1:8501"],
        "ca_file": str(folder / "ca.pem"),
        "token_file": "token",
        "contexts": {"safe-dev-viewer": str(folder / "viewer")},
    }
    (folder / "client.json").write_text(json.dumps(client))
    folder.chmod(mode)
    return folder


def test_environment(files: Path):
    found = find(env(files, "https://a:8500, https://b:8500/,"), UID, files)
    assert found.servers == ("https://a:8500", "https://b:8500")
    assert found.ca_file == files / "ca.pem"
    assert found.token() == "ey.token.x"


def test_the_token_is_read_at_each_call(files: Path):
    found = find(env(files, "https://a:8500"), UID, files)
    assert found.token() == "ey.token.x"
    (files / "token").write_text("renewed")
    assert found.token() == "renewed"


@pytest.fixture
def sock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A listening socket, named relative to the folder: paths of sockets are short."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("admin.sock")
        bound.listen()
        yield tmp_path / "admin.sock"


def test_the_socket_of_the_pod_is_found(sock: Path, monkeypatch: pytest.MonkeyPatch):
    for named, default in (({"SAFE_ADMIN_SOCKET": str(sock)}, Path("/nowhere")), ({}, sock)):
        monkeypatch.setattr("statefulset.cli.connection.SOCKET", default)
        found = find(named, UID, sock.parent)
        assert found.socket == sock and found.token() == "" and found.servers == ("http://localhost",)


def test_a_named_store_comes_before_the_socket(files: Path, sock: Path):
    found = find({**env(files, "https://a:8500"), "SAFE_ADMIN_SOCKET": str(sock)}, UID, files)
    assert found.socket is None and found.token()


def test_sockets_that_are_not_believed(sock: Path, files: Path):
    find({"SAFE_ADMIN_SOCKET": str(sock)}, 0, files)  # root of the pod
    for path, uid in ((sock, UID + 1), (files / "missing", UID), (files / "token", UID), (files, UID)):
        with pytest.raises(CliError) as caught:
            find({"SAFE_ADMIN_SOCKET": str(path)}, uid, files)
        assert caught.value.exit_code == USAGE and caught.value.hint


@pytest.mark.parametrize(
    "url", ["http://a:8500", "a:8500", "https://", "https://u:p@a:1", "https://a:1/v1", "https://a:x"]
)
def test_urls_that_are_refused(files: Path, url: str):
    with pytest.raises(CliError) as caught:
        find(env(files, url), UID, files)
    assert caught.value.exit_code == USAGE and caught.value.hint


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"a\nb", b"x" * 20_000])
def test_a_file_that_holds_no_token_is_refused_without_its_content(files: Path, content: bytes):
    (files / "token").write_bytes(content)
    with pytest.raises(CliError) as caught:
        find(env(files, "https://a:8500"), UID, files).token()
    assert caught.value.exit_code == USAGE
    if content:
        assert content.decode("latin-1") not in caught.value.message + caught.value.hint


def test_missing_files_and_settings(files: Path):
    for change in ({"SAFE_TOKEN_FILE": ""}, {"SAFE_CA_FILE": str(files / "absent")}, {"SAFE_SERVER": " , "}):
        with pytest.raises(CliError) as caught:
            find({**env(files, "https://a:8500"), **change}, UID, files)
        assert caught.value.exit_code == USAGE
    (files / "token").unlink()
    with pytest.raises(CliError, match="cannot be read"):
        find(env(files, "https://a:8500"), UID, files).token()


def test_dev_folder(tmp_path: Path):
    folder = dev(tmp_path)
    found = find({}, UID, tmp_path)
    assert found.servers == ("https://127.0.0.1:8501",)
    assert found.ca_file == folder / "ca.pem"
    assert found.token() == "dev-token"


def test_the_environment_goes_before_the_dev_folder(files: Path):
    dev(files)
    assert find(env(files, "https://real:8500"), UID, files).servers == ("https://real:8500",)


@pytest.mark.parametrize("key", ["SAFE_TOKEN_FILE", "SAFE_CA_FILE"])
def test_half_an_environment_is_not_filled_up_from_the_dev_folder(files: Path, key: str):
    dev(files)
    with pytest.raises(CliError, match=f"{key} is set, SAFE_SERVER is not") as caught:
        find({key: str(files / "token")}, UID, files)
    assert caught.value.exit_code == USAGE
    assert find({key: ""}, UID, files).token() == "dev-token"


def test_contexts_of_a_dev_folder(files: Path):
    viewer = Asked(context="safe-dev-viewer", cluster=True)
    with pytest.raises(CliError, match="no `safe dev` of yours is running"):
        find({"KUBECONFIG": "/k"}, UID, files, viewer)
    dev(files)
    found = find({"KUBECONFIG": "/k"}, UID, files, viewer)
    assert found.token() == "viewer-token" and found.servers == ("https://127.0.0.1:8501",)
    with pytest.raises(CliError, match="no context of that name") as caught:
        find({}, UID, files, Asked(context="safe-dev-root", cluster=True))
    assert caught.value.exit_code == USAGE and "safe-dev-viewer" in caught.value.hint
    with pytest.raises(CliError, match="SAFE_SERVER is set"):
        find(env(files, "https://a:1"), UID, files, viewer)


def test_a_dev_folder_elsewhere_in_memory(files: Path, tmp_path_factory: pytest.TempPathFactory):
    dev(files)
    other = tmp_path_factory.mktemp("other")
    assert find({"SAFE_DEV_MEMORY": str(files)}, UID, other).token() == "dev-token"
    with pytest.raises(CliError, match="not known where"):
        find({"SAFE_DEV_MEMORY": str(other)}, UID, files)
    (files / f"raftsafe-dev-{UID}").chmod(0o755)
    with pytest.raises(CliError, match="not believed"):
        find({"SAFE_DEV_MEMORY": str(files)}, UID, other)


def test_a_dev_folder_that_others_could_write_is_not_believed(tmp_path: Path):
    dev(tmp_path, 0o755)
    with pytest.raises(CliError, match="not believed"):
        find({}, UID, tmp_path)


def test_a_dev_folder_of_another_user_is_not_believed(tmp_path: Path):
    dev(tmp_path).rename(tmp_path / f"raftsafe-dev-{UID + 1}")
    with pytest.raises(CliError, match="not believed"):
        find({}, UID + 1, tmp_path)


def test_a_symlink_in_its_place_is_not_believed(tmp_path: Path):
    folder = dev(tmp_path)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CliError, match="not believed"):
        find({}, UID, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"servers": 1, "ca_file": "x", "token_file": "y"}',
        '{"servers": [], "ca_file": "x", "token_file": "y", "contexts": 1}',
    ],
)
def test_a_broken_client_json(tmp_path: Path, content: str):
    (dev(tmp_path) / "client.json").write_text(content)
    with pytest.raises(CliError, match="cannot be used"):
        find({}, UID, tmp_path)


def test_nothing_is_known(tmp_path: Path):
    with pytest.raises(CliError) as caught:
        find({}, UID, tmp_path)
    assert "SAFE_SERVER" in caught.value.hint and "safe dev" in caught.value.hint


class Entered:
    """Notes that a cluster was chosen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        monkeypatch.setattr("statefulset.cli.tunnel.connect", lambda path, _: self.paths.append(path))


def test_a_kubeconfig_is_found_last_unless_a_cluster_is_named(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, named = Entered(monkeypatch), Asked(context="prod", cluster=True)
    config = {"KUBECONFIG": "/k"}
    find(config, UID, files, Asked())
    assert entered.paths == ["/k"]
    dev(files)
    assert find(config, UID, files, Asked()).servers == ("https://127.0.0.1:8501",), "a running `safe dev`"
    assert find({**config, **env(files, "https://a:1")}, UID, files, Asked()).servers == ("https://a:1",)
    find(config, UID, files, named)
    assert entered.paths == ["/k", "/k"], "named"
    with pytest.raises(CliError, match="SAFE_SERVER is set"):
        find({**config, **env(files, "https://a:1")}, UID, files, named)
    with pytest.raises(CliError, match="no kubeconfig"):
        find({}, UID, files, named)


def test_the_usual_place_of_a_kubeconfig(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = Entered(monkeypatch)
    with pytest.raises(CliError, match="not known where"):
        find({"HOME": str(files)}, UID, files, Asked())
    (files / ".kube").mkdir()
    (files / ".kube" / "config").write_text("")
    find({"HOME": str(files)}, UID, files, Asked())
    assert entered.paths == [str(files / ".kube" / "config")]
    with pytest.raises(CliError, match="not known where"):
        find({"HOME": str(files)}, UID, files)
