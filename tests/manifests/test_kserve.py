"""An InferenceService that serves as the Deployment does, and is found by all that finds that one's pods."""

import copy
import json

import kubernetes_validate
import pytest

from tests.manifests.rendered import Manifest, named, of_kind, pods, rendered, selects, with_components

# What KServe's predictor has beside the fields of a pod (v1beta1, ComponentExtensionSpec).
EXTENSIONS = {
    "annotations",
    "deploymentStrategy",
    "labels",
    "maxReplicas",
    "minReplicas",
    "scaleMetric",
    "scaleTarget",
}


@pytest.fixture(scope="module", params=["cpu", "kubeflow-profile"])
def overlay(request: pytest.FixtureRequest) -> str:
    """The overlays that it fits."""
    return str(request.param)


@pytest.fixture(scope="module")
def objects(overlay: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, ...]:
    """One of them with KServe, and a registry in a bucket before it."""
    return with_components(tmp_path_factory.mktemp(overlay), ["registry-s3", "kserve"], overlay)


@pytest.fixture(scope="module")
def plain(overlay: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, ...]:
    """The same without KServe."""
    return with_components(tmp_path_factory.mktemp(overlay), ["registry-s3"], overlay)


def predictor(objects: tuple[Manifest, ...]) -> Manifest:
    (found,) = of_kind(objects, "InferenceService")
    assert found["apiVersion"] == "serving.kserve.io/v1beta1"
    assert found["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "RawDeployment"}
    return copy.deepcopy(found["spec"]["predictor"])


def test_its_pod_is_the_deployments_field_by_field(
    objects: tuple[Manifest, ...], plain: tuple[Manifest, ...]
) -> None:
    pod = predictor(objects)
    assert {name for name in pod if name in EXTENSIONS} == EXTENSIONS
    for name in EXTENSIONS:
        del pod[name]
    assert [found.pop("name") for found in pod["containers"]] == ["kserve-container"]
    expected = json.loads(json.dumps(pods(plain)["mome-serving"]["spec"]))
    assert [found.pop("name") for found in expected["containers"]] == ["serving"]
    assert pod == expected
    assert pod["initContainers"][0]["envFrom"], "with what another component has given the Deployment"


@pytest.mark.parametrize("version", ["1.33", "1.36"])
def test_what_kserve_makes_of_it_is_a_deployment_that_kubernetes_knows(
    objects: tuple[Manifest, ...], version: str
) -> None:
    pod = predictor(objects)
    beside = {name: pod.pop(name) for name in EXTENSIONS}
    made = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "mome-predictor"},
        "spec": {
            "selector": {"matchLabels": {"app": "isvc.mome-predictor"}},
            "strategy": beside["deploymentStrategy"],
            "template": {
                "metadata": {
                    "labels": beside["labels"] | {"app": "isvc.mome-predictor"},
                    "annotations": beside["annotations"],
                },
                "spec": pod,
            },
        },
    }
    kubernetes_validate.validate(made, version, strict=True)


def test_it_stands_instead_of_the_deployment_and_its_autoscaler(
    objects: tuple[Manifest, ...], overlay: str
) -> None:
    assert "mome-serving" not in pods(objects)
    assert of_kind(objects, "HorizontalPodAutoscaler") == []
    found, before = predictor(objects), rendered(overlay)
    autoscaler = named(before, "HorizontalPodAutoscaler", "mome-serving")["spec"]
    assert (found["minReplicas"], found["maxReplicas"]) == (
        autoscaler["minReplicas"],
        autoscaler["maxReplicas"],
    )
    (metric,) = autoscaler["metrics"]
    assert found["scaleMetric"] == metric["containerResource"]["name"]
    assert found["scaleTarget"] == metric["containerResource"]["target"]["averageUtilization"]
    assert found["deploymentStrategy"] == named(before, "Deployment", "mome-serving")["spec"]["strategy"]


def test_service_budget_and_policies_find_its_pods(
    objects: tuple[Manifest, ...], plain: tuple[Manifest, ...]
) -> None:
    labels = predictor(objects)["labels"]
    before = pods(plain)["mome-serving"]["metadata"]["labels"]
    said = {name for name in before if not name.endswith(("/managed-by", "/version"))}
    assert {name: labels[name] for name in said} == {name: before[name] for name in said}
    assert named(objects, "Service", "mome-serving")["spec"]["selector"].items() <= labels.items()
    assert selects(named(objects, "PodDisruptionBudget", "mome-serving")["spec"]["selector"], labels)
    for name in ("mome-serving", "mome-default-deny", "mome-serving-registry"):
        assert selects(named(objects, "NetworkPolicy", name)["spec"]["podSelector"], labels), name
    (port,) = predictor(objects)["containers"][0]["ports"]
    assert named(objects, "Service", "mome-serving")["spec"]["ports"][0]["targetPort"] == port["name"]


def test_a_candidate_can_be_on_trial_beside_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    objects = with_components(tmp_path_factory.mktemp("trial"), ["rollout", "kserve"])
    alone = with_components(tmp_path_factory.mktemp("alone"), ["rollout"])
    assert pods(objects)["mome-candidate"] == pods(alone)["mome-candidate"]
    champion = named(objects, "Service", "mome-champion")["spec"]["selector"]
    assert champion.items() <= predictor(objects)["labels"].items()
    model = named(objects, "ConfigMap", "mome-model")["metadata"]["name"]
    assert model in json.dumps(predictor(objects))
