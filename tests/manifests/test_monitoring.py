"""The component for Prometheus: its resources by the documented fields of the operator's, its expressions by a real parser,
and every metric and label in them against a node's /metrics."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import kubernetes_validate
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from node.admin.metrics import Metrics
from node.admin.rights import NEEDS
from statefulset import manifests, rights

NODE = Path(__file__).parents[1] / "unit" / "node" / "admin" / "conftest.py"
_NAME = {"type": "string", "minLength": 1}
_LABELS = {"type": "object", "additionalProperties": _NAME}
_DURATION = {"type": "string", "pattern": r"^([0-9]+(ms|[smhdwy]))+$"}


def _closed(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    """An object in which nothing else may stand."""
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


_KEY = _closed(("name", "key"), name=_NAME, key=_NAME)
_RULE = _closed(("alert", "expr"), alert=_NAME, expr=_NAME, labels=_LABELS, annotations=_LABELS, **{"for": _DURATION})
_ENDPOINT = _closed(
    ("port",),
    port=_NAME,
    path=_NAME,
    scheme={"enum": ["http", "https"]},
    interval=_DURATION,
    scrapeTimeout=_DURATION,
    bearerTokenFile=_NAME,
    tlsConfig=_closed((), serverName=_NAME, ca=_closed((), configMap=_KEY, secret=_KEY)),
)
SPECS = {
    "ServiceMonitor": _closed(
        ("selector", "endpoints"),
        selector=_closed((), matchLabels=_LABELS),
        endpoints={"type": "array", "minItems": 1, "items": _ENDPOINT},
    ),
    "PrometheusRule": _closed(
        ("groups",),
        groups={"type": "array", "items": _closed(("name",), name=_NAME, rules={"type": "array", "items": _RULE})},
    ),
}
"""The fields that are used here, as https://prometheus-operator.dev/docs/api-reference/api/ documents them (0.84)."""
SCRAPED = {"job", "instance", "namespace", "pod", "service", "endpoint", "container"}
"""Labels of a target that the Prometheus operator sets."""


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return manifests.load(manifests.MONITORING)


def the(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (each for each in documents if each["kind"] == kind)
    return found


def valid(document: dict[str, Any]) -> None:
    """By the schema of its kind, unknown fields refused."""
    if document["kind"] not in SPECS:
        kubernetes_validate.validate(document, "1.36", strict=True)
        return
    assert document["apiVersion"] == "monitoring.coreos.com/v1"
    assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
    jsonschema.validate(document["spec"], SPECS[document["kind"]])


def test_every_document_is_valid(documents):
    for document in documents:
        valid(document)


def test_the_validation_notices_mistakes(documents):
    for kind, change in (
        ("ServiceMonitor", lambda spec: spec["endpoints"][0].update(tokenFile="/x")),
        ("ServiceMonitor", lambda spec: spec["endpoints"][0]["tlsConfig"]["ca"]["configMap"].pop("key")),
        ("PrometheusRule", lambda spec: spec["groups"][0]["rules"][0].update(when="now")),
    ):
        (bad,) = (each for each in manifests.load(manifests.MONITORING) if each["kind"] == kind)
        change(bad["spec"])
        with pytest.raises(jsonschema.ValidationError):
            valid(bad)


def test_a_kustomization_takes_it_as_a_component(kubectl, build, tmp_path, documents):
    for name, path in (("base", manifests.BASE), ("monitoring", manifests.MONITORING)):
        (tmp_path / name).symlink_to(path)
    (tmp_path / "kustomization.yaml").write_text(
        "sortOptions: {order: fifo}\nresources: [base]\ncomponents: [monitoring]\n"
    )
    command = [kubectl, "kustomize", "--load-restrictor=LoadRestrictionsNone", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(yaml.safe_load_all(done.stdout)) == [*build("base"), *documents]


def test_what_is_scraped_is_there(documents):
    """Port, CA and server name are those of the installation; one Service has a port of that name."""
    base = manifests.load()
    spec = the(documents, "ServiceMonitor")["spec"]
    (endpoint,) = spec["endpoints"]
    labels = spec["selector"]["matchLabels"]
    found = [
        each["metadata"]["name"]
        for each in base
        if each["kind"] == "Service"
        and labels.items() <= each["metadata"]["labels"].items()
        and endpoint["port"] in {port["name"] for port in each["spec"]["ports"]}
    ]
    assert found == ["safe-admin"]
    nodes = the(base, "StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    env = {each["name"]: each.get("value", "") for each in nodes["env"]}
    assert endpoint["tlsConfig"]["serverName"] in env["SAFE_SERVER_NAMES"].split(",")
    ((port,),) = (rule["ports"] for rule in the(documents, "NetworkPolicy")["spec"]["ingress"])
    assert port["port"] in {each["containerPort"] for each in nodes["ports"] if each["name"] == endpoint["port"]}


def test_prometheus_may_scrape_and_nothing_else(documents):
    (need,) = NEEDS["cluster.metrics"]
    (rule,) = the(documents, "ClusterRole")["rules"]
    assert (rule["verbs"], rule["resources"]) == ([need.verb], [need.resource])
    for _, where, _, what, _ in rights.table(documents):
        assert where != "everywhere" or what == "safeclusters.raftsafe.io"


# -- alerts ----------------------------------------------------------------------------------------------------------
def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("admin_node", NODE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["admin_node"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """Metric -> its labels, of a node in this process."""
    text = Metrics(_module().Node().services).text().decode()
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(text):
        names = [f"{family.name}_total"] if family.type == "counter" else [family.name]
        for name in names:
            found[name] = set()
        for sample in family.samples:
            found[sample.name] |= set(sample.labels)
    return found


def selectors(expression: Any) -> list[Any]:
    """Every vector selector of a parsed expression."""
    if isinstance(expression, promql_parser.VectorSelector):
        return [expression]
    parts = [getattr(expression, name, None) for name in ("expr", "lhs", "rhs", "vector_selector", "param")]
    parts += list(getattr(expression, "args", None) or ())
    return [found for part in parts if part is not None for found in selectors(part)]


def test_every_expression_is_promql_over_metrics_that_exist(documents, told):
    rules = [rule for group in the(documents, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 8
    for rule in rules:
        found = selectors(promql_parser.parse(rule["expr"]))
        assert found, rule["alert"]
        for each in found:
            assert each.name in told, f"{rule['alert']}: no node tells {each.name}"
            used = {matcher.name for matcher in each.matchers.matchers}
            assert used <= SCRAPED | told[each.name], f"{rule['alert']}: {used}"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "remedy"}
