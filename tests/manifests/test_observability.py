"""Alerts and dashboard ask for metrics that exist, with labels that those have."""

import json
import re

import pytest
from prometheus_client import CollectorRegistry

from serving.metrics import Metrics
from tests.manifests.rendered import MANIFESTS, Manifest, named, of_kind

# Of the kubelet and of kube-state-metrics.
CLUSTER = {
    "kube_cronjob_status_last_successful_time": {"cronjob"},
    "kubelet_volume_stats_available_bytes": {"persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"persistentvolumeclaim"},
}
SCRAPED = {"namespace", "pod", "le"}  # Prometheus' own labels, and the buckets'
SUFFIXES = {
    "histogram": ("_bucket", "_count", "_sum"),
    "counter": ("_total",),
    "gauge": ("",),
    "summary": ("_count", "_sum"),
}


class Instruments:
    """Stands for BentoML's client of Prometheus, and notes what is created with it."""

    def __init__(self) -> None:
        self.metrics: dict[str, set[str]] = {}

    def __getattr__(self, kind: str):
        def create(*, name: str, namespace: str = "", labelnames=(), **_: object) -> None:
            for suffix in SUFFIXES[kind.lower()]:
                # A counter is named with its suffix or without; the suffix comes once.
                full = f"{namespace}_{name}"
                self.metrics[full if full.endswith(suffix) else full + suffix] = set(labelnames)

        return create


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """Return every metric that a serving pod has, with its labels."""
    from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware

    instruments = Instruments()
    RunnerTrafficMetricsMiddleware(None, namespace="bentoml_service")._setup(
        metrics_client=instruments, duration_buckets=(1.0,)
    )
    registry = CollectorRegistry()
    Metrics(registry)
    ours = {}
    for collector in set(registry._collector_to_names):
        for suffix in SUFFIXES[collector._type]:
            ours[collector._name + suffix] = set(collector._labelnames)
    assert instruments.metrics.keys() >= {"bentoml_service_request_total"}
    return instruments.metrics | ours


def asked(expression: str) -> dict[str, set[str]]:
    """Return the metrics of an expression and the labels that it matches on."""
    found = {}
    for name, _, matchers in re.findall(r"\b([a-z]\w+_\w+)\b(\{([^}]*)\})?", expression):
        if name in ("histogram_quantile",) or name in re.findall(r"by \(([^)]*)\)", expression):
            continue
        if "_" in name and re.search(rf"\b{name}(\{{|\[|\)| |$)", expression):
            found[name] = set(re.findall(r"(\w+)[=!]", matchers))
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(", ")}
    return {name: labels | grouped for name, labels in found.items() if name not in grouped}


def check(expression: str, exposed: dict[str, set[str]]) -> None:
    metrics = asked(expression)
    assert metrics, expression
    for name, labels in metrics.items():
        known = exposed | CLUSTER
        assert name in known, f"{name} in {expression}"
        assert labels <= known[name] | SCRAPED, f"{labels} of {name} in {expression}"


def test_every_alert_asks_for_what_is_there(
    everything: tuple[Manifest, ...], exposed: dict[str, set[str]]
) -> None:
    (found,) = of_kind(everything, "PrometheusRule")
    rules = [rule for group in found["spec"]["groups"] for rule in group["rules"]]
    assert len(rules) == 5
    for rule in rules:
        check(rule["expr"], exposed)
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_every_panel_asks_for_what_is_there(exposed: dict[str, set[str]]) -> None:
    path = MANIFESTS / "components" / "prometheus" / "mome.json"
    panels = json.loads(path.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == 6
    for panel in panels:
        for target in panel["targets"]:
            check(target["expr"], exposed)


@pytest.mark.parametrize(
    "expression",
    ["rate(mome_transcriptions_total[5m])", 'mome_model_info{model="x"}', "sum by (route) (mome_model_info)"],
)
def test_what_does_not_exist_is_seen(expression: str, exposed: dict[str, set[str]]) -> None:
    with pytest.raises(AssertionError, match="in "):
        check(expression, exposed)


def test_the_dashboard_is_found_by_grafana(everything: tuple[Manifest, ...]) -> None:
    (found,) = (
        each for each in of_kind(everything, "ConfigMap") if each["metadata"]["name"] == "mome-dashboard"
    )
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["mome.json"])["uid"] == "mome-serving"


def test_invented_paths_are_not_kept(everything: tuple[Manifest, ...]) -> None:
    (monitor,) = of_kind(everything, "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    (keep,) = endpoint["metricRelabelings"]
    assert keep["action"] == "keep"

    def kept(name: str, path: str = "") -> bool:
        return re.fullmatch(keep["regex"], f"{name};{path}") is not None

    assert kept("mome_transcription_seconds_bucket")
    assert kept("bentoml_service_request_total", "/v1/audio/transcriptions")
    assert kept("bentoml_service_last_request_timestamp_seconds")
    assert not kept("bentoml_service_request_total", "/v1/whatever")
    assert not kept("python_gc_objects_collected_total")


def test_prometheus_is_let_in(everything: tuple[Manifest, ...]) -> None:
    policy = named(everything, "NetworkPolicy", "mome-metrics")["spec"]
    (monitor,) = of_kind(everything, "PodMonitor")
    assert policy["podSelector"] == monitor["spec"]["selector"]
