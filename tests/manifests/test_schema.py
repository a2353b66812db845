"""What is applied is what Kubernetes knows, field by field, and every object can be found by its labels."""

import copy
import json
from collections.abc import Sequence

import kubernetes_validate
import pytest
from yamllint import linter
from yamllint.config import YamlLintConfig

import mome
from tests.manifests.rendered import MANIFESTS, OVERLAYS, Manifest, named, of_kind, pods, rendered, selects

VERSIONS = ("1.33", "1.34", "1.35", "1.36")
# Not Kubernetes' own: their schemas come with the operators.
FOREIGN = {
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
}
NAME = "app.kubernetes.io/name"


def our_own(objects: Sequence[Manifest]) -> list[Manifest]:
    return [found for found in objects if (found["apiVersion"], found["kind"]) not in FOREIGN]


@pytest.fixture(scope="session")
def different(everything: tuple[Manifest, ...]) -> list[Manifest]:
    """Return the objects of all overlays, equal ones once."""
    objects = [*everything, *(found for name in OVERLAYS for found in rendered(name))]
    return [json.loads(text) for text in {json.dumps(found, sort_keys=True) for found in objects}]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_field_is_one_that_kubernetes_knows(different: list[Manifest], version: str) -> None:
    own = our_own(different)
    assert {"Deployment", "CronJob", "HorizontalPodAutoscaler", "NetworkPolicy"} <= {f["kind"] for f in own}
    for found in own:
        kubernetes_validate.validate(found, version, strict=True)


def test_a_field_that_does_not_exist_is_seen(cpu: tuple[Manifest, ...]) -> None:
    deployment = copy.deepcopy(named(cpu, "Deployment", "mome-serving"))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_no_object_is_defined_twice(objects: tuple[Manifest, ...]) -> None:
    keys = [
        (found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"]) for found in objects
    ]
    assert len(keys) == len(set(keys))


def test_every_object_says_what_it_belongs_to(objects: tuple[Manifest, ...]) -> None:
    for found in objects:
        labels = found["metadata"].get("labels", {})
        assert labels.get("app.kubernetes.io/part-of") == "mome", found["metadata"]["name"]
        assert labels.get("app.kubernetes.io/version", mome.__version__) == mome.__version__
        generated = found["kind"] == "ConfigMap" and NAME not in labels
        assert generated or labels[NAME]


def test_every_namespaced_object_is_in_one_namespace(objects: tuple[Manifest, ...]) -> None:
    everywhere = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
    assert {f["metadata"].get("namespace") for f in objects if f["kind"] not in everywhere} == {"mome"}


def test_every_selector_finds_its_pods_and_no_others(objects: tuple[Manifest, ...]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods(objects).items()}
    for found in of_kind(objects, "Service", "PodDisruptionBudget", "Deployment", "PodMonitor"):
        selector = found["spec"]["selector"]
        selector = {"matchLabels": selector} if found["kind"] == "Service" else selector
        meant = found["metadata"]["name"]
        if found["kind"] == "Service" and "mome-router" in labels:
            meant = {"mome-serving": "mome-router", "mome-champion": "mome-serving"}.get(meant, meant)
        assert {name for name, own in labels.items() if selects(selector, own)} == {meant}
    for found in of_kind(objects, "HorizontalPodAutoscaler"):
        target = found["spec"]["scaleTargetRef"]
        assert named(objects, target["kind"], target["name"])["apiVersion"] == target["apiVersion"]
        assert "replicas" not in named(objects, "Deployment", "mome-serving")["spec"]


def test_the_files_are_laid_out_as_yamllint_has_it() -> None:
    config = YamlLintConfig(file=str(MANIFESTS / ".yamllint.yaml"))
    files = [*MANIFESTS.rglob("*.yaml")]
    assert len(files) > 20
    problems = [f"{path}: {found}" for path in files for found in linter.run(path.read_text(), config)]
    assert problems == []
