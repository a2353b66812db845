"""A trial on a cluster: the candidate is the champion but for its version, and callers reach the router."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from serving.rollout.__main__ import _command as command
from serving.rollout.router import Limits
from tests.manifests.rendered import (
    MANIFESTS,
    ROOT,
    Manifest,
    build,
    container,
    containers,
    named,
    of_kind,
    pods,
    selects,
    with_components,
)
from tests.manifests.test_security import allowed


@pytest.fixture(scope="module", params=["cpu", "gpu", "kubeflow-profile"])
def trial(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, ...]:
    """Every overlay with a trial, and a registry in a bucket."""
    folder = tmp_path_factory.mktemp(request.param)
    return with_components(folder, ["rollout", "registry-s3"], request.param)


def test_the_candidate_is_the_champion_in_all_but_its_version_and_its_log(
    trial: tuple[Manifest, ...],
) -> None:
    champion = json.loads(json.dumps(pods(trial)["mome-serving"]["spec"]))
    candidate = json.loads(json.dumps(pods(trial)["mome-candidate"]["spec"]))
    for spec in (champion, candidate):
        for found in [*spec["initContainers"], *spec["containers"]]:
            names = [each["name"] for each in found["env"]]
            assert names.index("VERSION") <= names.index(
                "MOME_BUNDLE" if "MOME_BUNDLE" in names else "VERSION"
            )
            found["env"].sort(key=lambda each: str(each["name"]))  # a patch puts what it names first
    model, other = (
        named(trial, "ConfigMap", name)["metadata"]["name"] for name in ("mome-model", "mome-candidate")
    )
    for found in [*champion["initContainers"], *champion["containers"]]:
        for variable in found["env"]:
            if variable["name"] == "VERSION":
                assert variable["valueFrom"]["configMapKeyRef"] == {"name": model, "key": "version"}
                variable["valueFrom"]["configMapKeyRef"]["name"] = other
    (serving,) = champion["containers"]
    serving["env"] = [each for each in serving["env"] if each["name"] != "MOME_REQUEST_LOG"]
    serving["volumeMounts"] = [each for each in serving["volumeMounts"] if each["name"] != "requests"]
    champion["volumes"] = [each for each in champion["volumes"] if each["name"] != "requests"]
    del champion["topologySpreadConstraints"]
    assert {"name": "MOME_DEVICE", "value": "cuda"} in serving["env"] or "nvidia.com/gpu" not in str(champion)
    assert champion["initContainers"][0]["envFrom"], "both read the registry"
    assert candidate == champion


def test_callers_reach_the_router_and_the_router_both_versions(trial: tuple[Manifest, ...]) -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pods(trial).items()}

    def behind(service: str) -> list[str]:
        selector = {"matchLabels": named(trial, "Service", service)["spec"]["selector"]}
        return [name for name, own in labels.items() if selects(selector, own)]

    router = container(trial, "mome-router/router")
    given = dict(zip(router["args"][1::2], router["args"][2::2], strict=True))
    assert behind("mome-serving") == ["mome-router"]
    assert behind(given["--champion"].removeprefix("http://")) == ["mome-serving"]
    assert behind(given["--candidate"].removeprefix("http://")) == ["mome-candidate"]
    for workload in ("mome-serving", "mome-candidate"):
        peers = [peer for rule in allowed(trial, workload, "ingress") for peer in rule["from"]]
        assert [p for p in peers if "podSelector" in p and selects(p["podSelector"], labels["mome-router"])]
    called = [
        rule
        for rule in allowed(trial, "mome-router", "egress")
        if {"protocol": "TCP", "port": "http"} in rule["ports"]
    ]
    assert {name for rule in called for peer in rule["to"] for name, own in labels.items()
            if selects(peer["podSelector"], own)} == {"mome-serving", "mome-candidate"}  # fmt: skip
    # The candidate itself is reached by nobody else.
    (only,) = [peer for rule in allowed(trial, "mome-candidate", "ingress") for peer in rule["from"]]
    assert selects(only["podSelector"], labels["mome-router"])
    assert not selects(only["podSelector"], {"mome/client": "true"})


def test_the_routers_command_is_one_that_it_takes(
    trial: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    router = container(trial, "mome-router/router")
    values = {"CHAMPION": "a" * 12, "CANDIDATE": "b" * 12} | {
        name.upper(): value for name, value in named(trial, "ConfigMap", "mome-rollout")["data"].items()
    }
    assert {each["name"] for each in router["env"]} == values.keys()
    words = [re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], word) for word in router["args"]]
    (mount,) = (each["mountPath"] for each in router["volumeMounts"] if each["name"] == "rollout")
    words = [str(tmp_path) + word if word.startswith(mount) else word for word in words]
    started: list[dict[str, object]] = []
    monkeypatch.setattr("serving.rollout.__main__.web.run_app", lambda _, **options: started.append(options))
    monkeypatch.setattr(sys, "argv", ["rollout", *words])
    command()
    assert (started[0]["host"], started[0]["port"]) == ("0.0.0.0", router["ports"][0]["containerPort"])
    assert [path.name for path in (tmp_path / "rollout").iterdir()] == [
        "a" * 12 + "-" + "b" * 12 + "-shadow.json"
    ]


def test_a_router_that_goes_has_a_successor_and_time_for_its_answers(trial: tuple[Manifest, ...]) -> None:
    deployment = named(trial, "Deployment", "mome-router")["spec"]
    assert deployment["replicas"] == 1
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pause_s = container(trial, "mome-router/router")["lifecycle"]["preStop"]["sleep"]["seconds"]
    from serving.rollout.__main__ import _SHUTDOWN_S
    from serving.rollout.router import _END_S

    assert deployment["template"]["spec"]["terminationGracePeriodSeconds"] > pause_s + _SHUTDOWN_S + _END_S
    memory = container(trial, "mome-router/router")["resources"]["limits"]["memory"]
    assert memory == "2Gi"
    assert 2 * Limits.max_buffered_bytes + 5e8 < 2 * 2**30


def test_all_of_a_trial_is_found_by_one_label(trial: tuple[Manifest, ...]) -> None:
    found = {
        (each["kind"], re.sub(r"-[a-z0-9]{10}$", "", each["metadata"]["name"]))
        for each in trial
        if each["metadata"].get("labels", {}).get("app.kubernetes.io/component") == "rollout"
    }
    assert found == {
        ("ConfigMap", "mome-candidate"),
        ("ConfigMap", "mome-rollout"),
        ("Deployment", "mome-candidate"),
        ("Deployment", "mome-router"),
        ("NetworkPolicy", "mome-candidate"),
        ("NetworkPolicy", "mome-router"),
        ("Service", "mome-candidate"),
        ("Service", "mome-champion"),
    }
    kinds = {kind.lower() for kind, _ in found}
    day_two = (ROOT / "docs" / "day-two.md").read_text()
    (line,) = re.findall(r"delete (\S+) -l app\.kubernetes\.io/component=rollout", day_two)
    assert set(line.split(",")) == kinds
    assert of_kind(trial, "Secret") == []


@pytest.mark.parametrize("name", ["day-two.md", "README.md"])
def test_an_overlay_that_is_changed_as_the_manual_says_has_the_candidate(tmp_path: Path, name: str) -> None:
    folder = MANIFESTS if name == "README.md" else ROOT / "docs"
    blocks = re.findall(r"```yaml\n(.*?)```", (folder / name).read_text(), re.DOTALL)
    (block,) = [yaml.safe_load(text) for text in blocks if "mome-candidate" in text]
    plain = with_components(tmp_path, ["rollout"])
    path = tmp_path / "manifests" / "overlays" / "cpu" / "kustomization.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | block))
    objects: tuple[Manifest, ...] = tuple(yaml.safe_load_all(build(path.parent)))
    if name == "day-two.md":
        found = named(objects, "ConfigMap", "mome-candidate")
        assert found["data"] == {"version": "5d0c4b7e91aa"}
        (before,) = {
            each["metadata"]["name"] for each in of_kind(plain, "ConfigMap") if "candidate" in str(each)
        }
        assert found["metadata"]["name"] != before, "another version starts other pods"
        assert named(objects, "ConfigMap", "mome-rollout")["data"]["mode"] == "shadow"
    else:
        images = {
            found["image"] for where, found in containers(objects) if where.startswith("mome-candidate/")
        }
        assert images == {"registry.example.org/speech/mome-serve@sha256:" + 64 * "3"}
