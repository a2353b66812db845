"""Alerts and dashboard ask for metrics that exist, with labels that those have."""

import json
import re

import pytest
from prometheus_client import CollectorRegistry

from monitoring.metrics import Metrics as MonitorMetrics
from serving.metrics import Metrics
from tests.manifests.rendered import MANIFESTS, Manifest, named, of_kind

# Of the kubelet.
CLUSTER = {
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
    """Return every metric that a serving pod and the monitor have, with their labels."""
    from bentoml._internal.server.http.instruments import RunnerTrafficMetricsMiddleware

    instruments = Instruments()
    RunnerTrafficMetricsMiddleware(None, namespace="bentoml_service")._setup(
        metrics_client=instruments, duration_buckets=(1.0,)
    )
    registry = CollectorRegistry()
    Metrics(registry)
    MonitorMetrics(registry)
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
    assert len(rules) == 8
    for rule in rules:
        check(rule["expr"], exposed)
        assert rule["annotations"].keys() == {"summary", "description"}
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_every_panel_asks_for_what_is_there(exposed: dict[str, set[str]]) -> None:
    path = MANIFESTS / "components" / "prometheus" / "mome.json"
    panels = json.loads(path.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == 14
    for panel in panels:
        for target in panel["targets"]:
            check(target["expr"], exposed)


def test_estimated_errors_stand_beside_the_promise_of_their_modality(exposed: dict[str, set[str]]) -> None:
    path = MANIFESTS / "components" / "prometheus" / "mome.json"
    (panel,) = (each for each in json.loads(path.read_text())["panels"] if each["id"] == 14)
    estimated, promised = (asked(target["expr"]) for target in panel["targets"])
    wer, promise = "mome_estimated_wer_sum", "mome_monitor_max_wer"
    assert {"scale", "modality"} <= exposed[wer] & estimated[wer]
    assert "modality" in exposed[promise] & promised[promise]


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


def scraped(endpoint: Manifest, name: str, labels: dict[str, str]) -> dict[str, str] | None:
    """Return a metric's labels as Prometheus stores them under an operator's PodMonitor; None if dropped."""
    # What the operator writes on every target of a PodMonitor, before the monitor's own rules.
    target = {"namespace": "mome", "pod": "pod-7", "container": "serving", "endpoint": endpoint["port"]}
    for rule in endpoint.get("relabelings", []):
        assert rule["action"] == "labeldrop"
        target = {label: value for label, value in target.items() if not re.fullmatch(rule["regex"], label)}
    # A target's label wins over a metric's of the same name, unless the monitor says otherwise.
    assert not endpoint.get("honorLabels")
    stored = {f"exported_{label}" if label in target else label: value for label, value in labels.items()}
    stored |= target | {"__name__": name}
    for rule in endpoint["metricRelabelings"]:
        assert rule["action"] == "keep"
        if not re.fullmatch(rule["regex"], ";".join(stored.get(label, "") for label in rule["sourceLabels"])):
            return None
    return stored


def test_invented_paths_are_not_kept(everything: tuple[Manifest, ...]) -> None:
    monitor = named(everything, "PodMonitor", "mome-serving")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")

    # BentoML's label arrives under its own name, as the alerts and panels ask for it.
    path = {"endpoint": "/v1/audio/transcriptions", "http_response_code": "200"}
    stored = scraped(endpoint, "bentoml_service_request_total", path)
    assert stored is not None
    assert path.items() <= stored.items()
    assert {"namespace", "pod"} <= stored.keys()
    assert scraped(endpoint, "mome_transcription_seconds_bucket", {"le": "1.0"})
    assert scraped(endpoint, "bentoml_service_last_request_timestamp_seconds", {})
    assert not scraped(endpoint, "bentoml_service_request_total", {"endpoint": "/v1/whatever"})
    assert not scraped(endpoint, "python_gc_objects_collected_total", {})


def test_prometheus_is_let_in(everything: tuple[Manifest, ...]) -> None:
    for name, policy in (("mome-serving", "mome-metrics"), ("mome-monitor", "mome-monitor-metrics")):
        opened = named(everything, "NetworkPolicy", policy)["spec"]
        assert opened["podSelector"] == named(everything, "PodMonitor", name)["spec"]["selector"]
