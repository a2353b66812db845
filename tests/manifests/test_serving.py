"""The Deployment says what the service really reads, serves and needs."""

import inspect
import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from monitoring.publish import KEY
from serving.metrics import Metrics
from serving.settings import Settings
from tests.manifests.rendered import (
    ROOT,
    Manifest,
    container,
    named,
    of_kind,
    pods,
    rendered,
    with_components,
)

# Of the image and its tools, not of the service.
OTHERS = {"VERSION", "CORPUS", "REGISTRY"}


def variables(objects: tuple[Manifest, ...], name: str) -> set[str]:
    found = container(objects, name)
    names = {variable["name"] for variable in found.get("env", [])}
    for source in found.get("envFrom", []):
        if "configMapRef" in source:
            reference = source["configMapRef"]["name"].rpartition("-")[0]
            names |= named(objects, "ConfigMap", reference)["data"].keys()
    return names


def read_by_settings() -> set[str]:
    """Return the variables of the service: those whose value ends up in its settings."""
    code = inspect.getsource(Settings)
    return set(re.findall(r'"(MOME_[A-Z_]+)"', code))


def test_every_variable_is_one_that_the_service_reads(objects: tuple[Manifest, ...]) -> None:
    given = variables(objects, "mome-serving/serving") - OTHERS
    assert {"MOME_BUNDLE", "MOME_SCALE_FILE", "MOME_REQUEST_LOG", "MOME_API_KEY"} <= given
    assert given <= read_by_settings()


def test_the_limits_are_values_that_the_service_takes(objects: tuple[Manifest, ...]) -> None:
    data = named(objects, "ConfigMap", "mome-limits")["data"]
    # As they stand, the service's own defaults: a manifest is no place for a second opinion.
    assert Settings.from_environment(data) == Settings()


def test_the_probes_and_the_port_are_those_of_bentoml(objects: tuple[Manifest, ...]) -> None:
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.server.base_app import BaseAppFactory

    class Factory(BaseAppFactory):
        name = "probe"

    routes = {route.path for route in Factory().get_system_routes()}
    found = container(objects, "mome-serving/serving")
    probes = [found[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [probe["path"] for probe in probes] == ["/readyz", "/readyz", "/livez"]
    assert {probe["path"] for probe in probes} <= routes
    assert {probe["port"] for probe in probes} == {"http"}
    (port,) = found["ports"]
    assert port["containerPort"] == BentoMLContainer.http.port.get()
    assert found["args"][-2:] == ["--port", str(port["containerPort"])]
    (service_port,) = named(objects, "Service", "mome-serving")["spec"]["ports"]
    assert service_port["targetPort"] == port["name"]


def test_the_command_names_the_service_of_the_package(cpu: tuple[Manifest, ...]) -> None:
    from serving import package

    found = container(cpu, "mome-serving/serving")
    assert found["command"] == ["bentoml", "serve", package._SERVICE]


def test_the_scale_is_mounted_as_a_folder_that_follows_the_config_map(objects: tuple[Manifest, ...]) -> None:
    found = container(objects, "mome-serving/serving")
    mounts = {mount["name"]: mount for mount in found["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pods(objects)["mome-serving"]["spec"]["volumes"]}
    path = next(variable["value"] for variable in found["env"] if variable["name"] == "MOME_SCALE_FILE")
    assert path == f"{mounts['scale']['mountPath']}/{KEY}"
    assert volumes["scale"]["configMap"] == {"name": "mome-scale"}  # no items: the key comes and goes
    # Applying the manifests must leave the monitor's key alone.
    assert "data" not in named(objects, "ConfigMap", "mome-scale")
    assert not [mount for found in mounts.values() for mount in found if mount == "subPath"]


def test_a_pod_that_goes_answers_what_it_has(objects: tuple[Manifest, ...]) -> None:
    # BentoML's supervisor waits for the worker for a day.
    spec = pods(objects)["mome-serving"]["spec"]
    pause_s = container(objects, "mome-serving/serving")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] > pause_s + Settings().drain_s


def test_a_version_that_does_not_come_up_takes_no_pod_away(objects: tuple[Manifest, ...]) -> None:
    spec = named(objects, "Deployment", "mome-serving")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert spec["revisionHistoryLimit"] >= 2
    startup = container(objects, "mome-serving/serving")["startupProbe"]
    startup_s = startup["periodSeconds"] * startup["failureThreshold"]
    pull = container(objects, "mome-serving/pull")["command"]
    pull_s = int(pull[pull.index("--timeout") + 1])
    left_s = spec["progressDeadlineSeconds"] - startup_s - pull_s - spec["minReadySeconds"]
    # 2.3 GB of image onto a new node, at 10 MB/s.
    assert left_s > 2300 / 10


def test_a_pod_waits_for_its_version_before_it_fetches_it(objects: tuple[Manifest, ...]) -> None:
    first, second = pods(objects)["mome-serving"]["spec"]["initContainers"]
    assert (first["name"], second["name"]) == ("wait", "pull")
    assert "flock" not in first["command"], "whoever waits for a version keeps nobody from another one"
    credentials = [found.get("envFrom", []) for found in (first, second)]
    assert credentials[0] == credentials[1], "both read the registry"


def test_whoever_waits_for_a_rollout_hears_its_end(cpu: tuple[Manifest, ...]) -> None:
    deadline_s = named(cpu, "Deployment", "mome-serving")["spec"]["progressDeadlineSeconds"]
    text = "".join((ROOT / "docs" / name).read_text() for name in ("operations.md", "day-two.md"))
    waits = re.findall(r"rollout status deployment/mome-serving --timeout=(\d+)m", text)
    assert waits
    assert all(60 * int(minutes) >= deadline_s for minutes in waits)


def test_a_changed_version_changes_the_pods_and_can_be_undone(cpu: tuple[Manifest, ...]) -> None:
    name = named(cpu, "ConfigMap", "mome-model")["metadata"]["name"]
    assert re.fullmatch(r"mome-model-[a-z0-9]{10}", name)
    references = [
        variable["valueFrom"]["configMapKeyRef"]["name"]
        for where in ("mome-serving/wait", "mome-serving/pull", "mome-serving/serving", "mome-monitor/watch")
        for variable in container(cpu, where)["env"]
        if "configMapKeyRef" in variable.get("valueFrom", {})
    ]
    assert set(references) == {name}


def test_threads_are_counted_from_a_whole_number_of_cores(objects: tuple[Manifest, ...]) -> None:
    resources = container(objects, "mome-serving/serving")["resources"]
    assert resources["limits"]["cpu"] == resources["requests"]["cpu"]
    assert resources["limits"]["cpu"].isdecimal()


def test_a_gpu_is_asked_for_and_used() -> None:
    found = container(rendered("gpu"), "mome-serving/serving")
    assert found["resources"]["limits"]["nvidia.com/gpu"] == found["resources"]["requests"]["nvidia.com/gpu"]
    assert {"name": "MOME_DEVICE", "value": "cuda"} in found["env"]
    # On a GPU load does not show as CPU.
    autoscaler = named(rendered("gpu"), "HorizontalPodAutoscaler", "mome-serving")["spec"]
    assert autoscaler["minReplicas"] >= 2
    assert [waiting_seconds(metric) for metric in autoscaler["metrics"]] == [60]


def waiting_seconds(metric: Manifest) -> float | None:
    """Return how many seconds of recordings may wait for a pod, of a metric that the service has."""
    if metric["type"] != "Pods":
        return None
    registry = CollectorRegistry()
    Metrics(registry)
    assert metric["pods"]["metric"]["name"] in {each.name for each in registry.collect()}
    return float(metric["pods"]["target"]["averageValue"])


def test_pods_are_added_before_anybody_is_refused(tmp_path: Path) -> None:
    objects = with_components(tmp_path)
    most = float(named(objects, "ConfigMap", "mome-limits")["data"]["MOME_MAX_WAITING_S"])
    metrics = named(objects, "HorizontalPodAutoscaler", "mome-serving")["spec"]["metrics"]
    (waiting,) = filter(None, map(waiting_seconds, metrics))
    assert len(metrics) == 2, "CPU counts as well"
    assert waiting < most / 4


def test_the_decoders_of_a_pod_fit_beside_its_model(cpu: tuple[Manifest, ...]) -> None:
    resources = container(cpu, "mome-serving/serving")["resources"]["limits"]
    each = int(named(cpu, "ConfigMap", "mome-limits")["data"]["MOME_DECODE_MEMORY_MB"]) * 1e6
    (memory,) = re.fullmatch(r"(\d+)Gi", resources["memory"]).groups()
    long = int(named(cpu, "ConfigMap", "mome-limits")["data"]["MOME_MAX_LONG"]) + 1  # and one of a job
    assert (int(resources["cpu"]) + long) * each + 1.0e9 < int(memory) * 2**30


def test_volumes_are_claims_that_exist(objects: tuple[Manifest, ...]) -> None:
    claims = {found["metadata"]["name"]: found for found in of_kind(objects, "PersistentVolumeClaim")}
    used = [
        volume["persistentVolumeClaim"]["claimName"]
        for template in pods(objects).values()
        for volume in template["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert set(used) <= claims.keys()
    for name in {name for name in used if used.count(name) > 1}:
        assert claims[name]["spec"]["accessModes"] == ["ReadWriteMany"], name
