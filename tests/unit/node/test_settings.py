from __future__ import annotations

import base64
import dataclasses
import re
from pathlib import Path

import pytest

from node import settings
from node.errors import Fatal
from node.settings import Address, Settings, load

GOOD = {
    "SAFE_NAME": "safe-0",
    "SAFE_PEERS": "safe-0=10.0.0.1:8300, safe-1=safe-1.safe:8300",
    "SAFE_DATA_DIR": "/data",
    "SAFE_IDENTITY_DIR": "/identity",
    "SAFE_API_SERVER": "https://api:6443/",
}


def test_the_least_that_is_needed_and_the_defaults() -> None:
    loaded = load(GOOD)
    assert loaded.peers == {"safe-0": Address("10.0.0.1", 8300), "safe-1": Address("safe-1.safe", 8300)}
    assert loaded.data_dir == Path("/data")
    assert (loaded.api_server, loaded.review_grace, loaded.admin_socket) == ("https://api:6443", 3600.0, None)
    assert loaded.api_token == Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    assert (loaded.heartbeat, loaded.election_min, loaded.election_max) == (0.05, 0.25, 0.5)


@pytest.mark.parametrize("rate", ["0", "-1", "many", "1.5"])
def test_a_rate_that_is_none(rate: str) -> None:
    with pytest.raises(Fatal, match="SAFE_ADMIN_RATE"):
        load(GOOD | {"SAFE_ADMIN_RATE": rate})


def test_everything_can_be_said() -> None:
    loaded = load(
        GOOD
        | {
            "SAFE_ADMIN_LISTEN": "[::1]:9",
            "SAFE_ELECTION": "1:2",
            "SAFE_HEARTBEAT": "0.2",
            "SAFE_ADMIN_RATE": "7",
            "SAFE_API_CA": "/ca",
            "SAFE_API_TOKEN_FILE": "/mine",
            "SAFE_REVIEW_GRACE": "600",
            "SAFE_ADMIN_SOCKET": "/run/raftsafe/admin.sock",
            "SAFE_SERVER_NAMES": "safe,10.0.0.1",
            "SAFE_ISSUER_TOKEN_FILE": "/token",
            "SAFE_ISSUER": "https://issuer.example",
        }
    )
    assert str(loaded.admin_listen) == "[::1]:9" and loaded.admin_rate == 7
    assert (loaded.api_ca, loaded.api_token, loaded.review_grace) == (Path("/ca"), Path("/mine"), 600.0)
    assert loaded.admin_socket == Path("/run/raftsafe/admin.sock")
    assert (loaded.election_min, loaded.election_max, loaded.heartbeat) == (1.0, 2.0, 0.2)
    assert loaded.server_names == ("safe", "10.0.0.1") and loaded.issuer_token == Path("/token")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"SAFE_NAME": ""}, "SAFE_NAME is not set"),
        ({"SAFE_NAME": "Safe_0"}, "SAFE_NAME 'Safe_0' is not a DNS label"),
        ({"SAFE_NAME": "safe-9"}, "does not name this node, safe-9"),
        ({"SAFE_PEERS": "safe-0"}, "'safe-0' is not name=host:port"),
        ({"SAFE_PEERS": "safe-0=x:1,safe-0=y:1"}, "stands there twice"),
        ({"SAFE_PEERS": "safe-0=x"}, "'x' is not host:port"),
        ({"SAFE_PEERS": "safe-0=x:99999"}, "is not host:port"),
        ({"SAFE_DELIVERY_LISTEN": "nowhere"}, "is not host:port"),
        ({"SAFE_ELECTION": "0.1:0.2"}, "3 x SAFE_HEARTBEAT < MIN < MAX"),
        ({"SAFE_ELECTION": "0.5:0.25"}, "MIN < MAX"),
        ({"SAFE_ELECTION": "soon"}, "SAFE_ELECTION must be MIN:MAX"),
        ({"SAFE_HEARTBEAT": "often"}, "SAFE_HEARTBEAT must be a number"),
        ({"SAFE_SNAPSHOT_BYTES": "1"}, "SAFE_SNAPSHOT_BYTES"),
        ({"SAFE_API_SERVER": ""}, "SAFE_API_SERVER is not an https address, and this is not a pod"),
        ({"SAFE_API_SERVER": "http://api"}, "SAFE_API_SERVER is not an https address"),
        ({"SAFE_REVIEW_GRACE": "1"}, "SAFE_REVIEW_GRACE must be 60 to 86400 seconds"),
        ({"SAFE_REVIEW_GRACE": "864000"}, "SAFE_REVIEW_GRACE must be 60 to 86400 seconds"),
        ({"SAFE_REVIEW_GRACE": "nan"}, "SAFE_REVIEW_GRACE must be 60 to 86400 seconds"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_that_names_it(change: dict[str, str], says: str) -> None:
    with pytest.raises(Fatal) as caught:
        load(GOOD | change)
    assert says in caught.value.message and "\n" not in caught.value.message


def token(tmp_path: Path, payload: bytes) -> dict[str, str]:
    body = base64.urlsafe_b64encode(payload).rstrip(b"=")
    (tmp_path / "token").write_bytes(b"e30." + body + b".c2ln")
    return GOOD | {"SAFE_ISSUER_TOKEN_FILE": str(tmp_path / "token")}


@pytest.mark.parametrize("pad", range(4))
def test_the_issuer_is_read_from_the_pods_own_token(tmp_path: Path, pad: int) -> None:
    env = token(tmp_path, b'{"iss": "https://kubernetes.default.svc.cluster.local"' + b" " * pad + b"}")
    assert load(env).issuer == "https://kubernetes.default.svc.cluster.local"
    assert load(env | {"SAFE_ISSUER": "https://other"}).issuer == "https://other"


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"7", b'{"iss": 7}', b'{"iss": "http://plain"}', b"\xff"])
def test_a_token_that_names_no_issuer_is_told(tmp_path: Path, payload: bytes) -> None:
    with pytest.raises(Fatal, match="SAFE_ISSUER is not set"):
        load(token(tmp_path, payload))


def test_a_token_that_is_not_there_or_not_one_is_told(tmp_path: Path) -> None:
    env = token(tmp_path, b"{}")
    (tmp_path / "token").write_bytes(b"no dots")
    with pytest.raises(Fatal, match="does not hold a token"):
        load(env)
    (tmp_path / "token").unlink()
    with pytest.raises(Fatal, match="does not hold a token"):
        load(env)


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("10.96.0.1", {"KUBERNETES_SERVICE_PORT_HTTPS": "6443"}, "https://10.96.0.1:6443"),
        ("fd00::1", {}, "https://[fd00::1]:443"),
    ],
)
def test_in_a_pod_the_api_server_is_known(host: str, port: dict[str, str], url: str) -> None:
    env = {**GOOD, "SAFE_API_SERVER": "", "KUBERNETES_SERVICE_HOST": host, **port}
    assert load(env).api_server == url


POD = GOOD | {"SAFE_PEERS": "safe-0=safe-0.safe-peers:8300,safe-1=safe-1.safe-peers:8300"}


def test_addresses_of_pods_beyond_safe_peers_follow_the_pattern_of_those_named() -> None:
    loaded = load(POD)
    assert loaded.peer_template == "{name}.safe-peers:8300"
    assert loaded.address_of("safe-4") == Address("safe-4.safe-peers", 8300)
    assert load(POD | {"SAFE_PEER_TEMPLATE": "{name}.x:1"}).address_of("safe-2") == Address("safe-2.x", 1)
    assert load(GOOD).address_of("safe-2") is None


def test_a_pod_beyond_safe_peers_dials_all_with_lower_ordinals() -> None:
    loaded = load(POD | {"SAFE_NAME": "safe-3"})
    assert list(loaded.peers) == ["safe-0", "safe-1", "safe-2", "safe-3"]
    assert loaded.peers["safe-2"] == Address("safe-2.safe-peers", 8300)
    assert list(load(POD).peers) == ["safe-0", "safe-1"]


@pytest.mark.parametrize("template", ["safe-peers:8300", "{name}.safe-peers"])
def test_a_template_that_cannot_work_is_refused(template: str) -> None:
    with pytest.raises(Fatal):
        load(POD | {"SAFE_PEER_TEMPLATE": template})


def test_the_table_in_the_document_has_every_setting_and_its_default() -> None:
    source = Path(settings.__file__)
    table = re.findall(r"^\| (`SAFE_.*?) \| (.*?) \| .* \|$", (source.parent / "DESIGN.md").read_text(), re.MULTILINE)
    variable = re.compile("SAFE_[A-Z_]*[A-Z]")
    told = [name for first, _ in table for name in variable.findall(first)]
    assert len(told) == len(set(told))
    assert set(told) == set(variable.findall(source.read_text()))
    defaults = {field.name: field.default for field in dataclasses.fields(Settings)}
    compared = set()
    for name, default in table:
        key = name.strip("`").removeprefix("SAFE_").lower()
        if re.fullmatch("`[^`]+`", default) and key in defaults:
            value = defaults[key]
            text = f"{value:g}" if isinstance(value, float) else value
            assert default.strip("`") == (",".join(text) if isinstance(text, tuple) else str(text)), name
            compared.add(key)
    assert compared >= {"admin_rate", "review_grace", "disk_stall", "cluster", "log_level", "server_names"}
