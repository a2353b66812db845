"""Every step is set up for a cluster from one file, and runs on one machine as before."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, components, dsl, local
from kfp.kubernetes import kubernetes_executor_config_pb2

from components import catalogue
from mome.config import load_params
from mome.errors import ConfigError
from pipelines.cluster import CLUSTER_FILE, Cluster, Steps, check_devices, load_cluster
from pipelines.compile import COMPILED, PIPELINES, compile_pipeline

GPU = CLUSTER_FILE.with_name("cluster-gpu.yaml")


def cluster(tmp_path: Path, **changes: Any) -> Cluster:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump(changes))
    return load_cluster(path)


def compiled(pipeline: Any, tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the pipeline, and what Kubernetes is told of each executor."""
    path = tmp_path / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(path))
    spec, platform = yaml.safe_load_all(path.read_text())
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for each in settings.values():
        # As the server reads it: an unknown field is an error.
        json_format.ParseDict(each, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    return spec, settings


def trained_on(given: Cluster) -> Any:
    steps = Steps(given)

    @dsl.pipeline(name="trains")
    def trains(
        params: dict[str, Any],
        dataset: dsl.Input[dsl.Dataset],
        validation: dsl.Input[dsl.Metrics],
        foundation: dsl.Input[dsl.Model],
    ) -> None:
        steps.train(dataset=dataset, validation=validation, foundation=foundation, params=params)

    return trains


def test_a_step_gets_all_that_the_file_gives_it(tmp_path: Path) -> None:
    given = cluster(
        tmp_path,
        image_pull_secrets=["registry-login"],
        steps={
            "train": {
                "retries": 3, "backoff_s": 20, "timeout_s": 7200, "shm": "8Gi",
                "cpu": {"request": "500m", "limit": "6"}, "memory": {"request": "2Gi", "limit": "12Gi"},
                "gpu": {"resource": "nvidia.com/mig-1g.10gb", "count": 4},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "node_selector": {"pool": "gpu"}, "volumes": ["work"], "secrets": ["storage"],
                "env": {"NCCL_DEBUG": "WARN"},
                "labels": {"kueue.x-k8s.io/queue-name": "speech"},
                "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                "node_affinity": [
                    {"key": "gpu.product", "operator": "In", "values": ["H100", "H200"]},
                    {"key": "spot", "operator": "DoesNotExist", "weight": 20},
                ],
            }
        },
    )  # fmt: skip
    spec, settings = compiled(trained_on(given), tmp_path)
    container = spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["env"] == [{"name": "NCCL_DEBUG", "value": "WARN"}]
    resources = container["resources"]
    assert resources["resourceCpuRequest"] == "500m"
    assert resources["resourceCpuLimit"] == "6"
    assert resources["resourceMemoryRequest"] == "2Gi"
    assert resources["resourceMemoryLimit"] == "12Gi"
    assert resources["accelerator"]["resourceType"] == "nvidia.com/mig-1g.10gb"
    assert resources["accelerator"]["resourceCount"] == "4"
    task = spec["root"]["dag"]["tasks"]["train"]
    assert task["retryPolicy"]["maxRetryCount"] == 3
    assert task["retryPolicy"]["backoffDuration"] == "20s"
    # Four attempts of an hour's wait and two hours' work, and the pauses between them.
    assert task["retryPolicy"]["backoffMaxDuration"] == f"{4 * (3600 + 7200) + 20 + 40 + 80}s"
    # One process for each GPU.
    assert task["inputs"]["parameters"]["processes"]["runtimeValue"]["constant"] == 4

    train = settings["exec-train"]
    assert train["activeDeadlineSeconds"] == "7200"
    assert train["emptyDirMounts"] == [
        {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "8Gi"}
    ]
    assert train["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert train["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert train["podMetadata"] == {
        "labels": {"kueue.x-k8s.io/queue-name": "speech"},
        "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
    }
    needed, wished = train["nodeAffinity"]
    assert needed == {
        "matchExpressions": [{"key": "gpu.product", "operator": "In", "values": ["H100", "H200"]}]
    }
    assert (wished["matchExpressions"][0]["operator"], wished["weight"]) == ("DoesNotExist", 20)
    assert [(mount["constant"], mount["mountPath"]) for mount in train["pvcMount"]] == [
        ("mome-work", "/tmp/mome-work")
    ]
    (secret,) = train["secretAsEnv"]
    assert secret["secretName"] == "mome-registry-s3"
    assert secret["optional"] is True
    assert {"secretKey": "AWS_ACCESS_KEY_ID", "envVar": "MOME_REGISTRY_S3_ACCESS_KEY_ID"} in secret[
        "keyToEnv"
    ]
    assert train["securityContext"] == {"runAsUser": "1000", "runAsGroup": "1000", "runAsNonRoot": True}
    assert train["imagePullPolicy"] == "IfNotPresent"
    assert [each["secretName"] for each in train["imagePullSecret"]] == ["registry-login"]


def test_every_step_of_the_catalogue_is_limited_in_time_and_memory_and_is_not_root() -> None:
    given = load_cluster()
    assert given.user > 0
    for name in catalogue.__all__:
        step = given.step(name)
        assert 0 < step.timeout_s <= 14400
        assert not step.gpu.count, "the embedded profile needs none"


def test_a_step_of_seconds_has_room_for_an_image_that_is_pulled_and_is_tried_again() -> None:
    given = load_cluster()
    for name in catalogue.__all__:
        assert given.step(name).timeout_s >= 900, name
        assert given.step(name).retries >= 1, name
    assert given.step("require").retries == 1, "a no is said once more where an exit code is tried again"
    assert given.step("train").retries > 1, "a training is pre-empted"


def test_the_folder_that_outlives_a_pod_is_the_one_that_the_image_works_in() -> None:
    given = load_cluster()
    containerfile = Path("Containerfile").read_text()
    (path,) = re.findall(r"MOME_WORK_DIR=(\S+)", containerfile)
    assert given.volumes["work"].path == path
    assert "work" in given.step("train").volumes
    users = set(re.findall(r"^USER (.+)$", containerfile, re.MULTILINE))
    assert users == {f"{given.user}:{given.group}"}


def test_several_nodes_train_through_a_step_that_hands_all_on(tmp_path: Path) -> None:
    given = cluster(
        tmp_path,
        distributed={"nodes": 3},
        steps={
            "train": {
                "gpu": {"count": 2},
                "node_selector": {"pool": "gpu"},
                "env": {"A": "b"},
                "labels": {"kueue.x-k8s.io/queue-name": "speech"},
            }
        },
    )
    spec, settings = compiled(trained_on(given), tmp_path)
    assert "exec-train" not in settings
    parameters = spec["root"]["dag"]["tasks"]["train-distributed"]["inputs"]["parameters"]
    layout = parameters["layout"]["runtimeValue"]["constant"]
    assert (layout["nodes"], layout["processes"], layout["runtime"]) == (3, 2, "torch-distributed")
    (executor,) = spec["deploymentSpec"]["executors"].values()
    assert layout["image"] == executor["container"]["image"]
    assert layout["timeout_s"] == given.step("train").timeout_s
    # The TrainJob queues; the step that waits for it takes no GPU, and would wait for itself.
    assert layout["labels"] == {"kueue.x-k8s.io/queue-name": "speech"}
    assert "podMetadata" not in settings["exec-train-distributed"]
    handed_on = spec["components"]["comp-train-distributed"]["taskConfigPassthroughs"]
    both = {each["field"] for each in handed_on if each.get("applyToTask")}
    assert both == {"ENV", "KUBERNETES_VOLUMES"}, "the waiting step must hold no GPU"
    assert {each["field"] for each in handed_on} - both == {
        "RESOURCES", "KUBERNETES_TOLERATIONS", "KUBERNETES_NODE_SELECTOR", "KUBERNETES_AFFINITY"
    }  # fmt: skip
    waits = settings["exec-train-distributed"]
    assert "emptyDirMounts" not in waits, "Kubeflow does not hand it on: the step asks for it itself"
    assert waits["pvcMount"][0]["mountPath"] == "/tmp/mome-work"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"steps": {"trian": {}}}, r"steps\.trian: no such step; there are .*train"),
        ({"steps": {"train": {"memory": {"limit": "8GB"}}}}, r"steps\.train\.memory\.limit: .*8GB"),
        ({"steps": {"train": {"memory": {"request": "9Gi"}}}}, "the request is 9Gi, but the limit 8Gi"),
        ({"steps": {"train": {"gpus": 1}}}, r"steps\.train\.gpus: extra inputs"),
        ({"steps": {"train": {"gpu": {"count": "1"}}}}, r"steps\.train\.gpu\.count: .*integer"),
        (
            {"steps": {"gate": {"volumes": ["modles"]}}},
            r"steps\.gate: no volume modles; there are work",
        ),
        ({"steps": {"gate": {"secrets": ["s3"]}}}, r"steps\.gate: no secret s3; there are notify"),
        ({"steps": {"train": {"volumes": []}}, "distributed": {"nodes": 2}}, "steps.train has none"),
        ({"steps": {"rehearse": {"gpu": {"count": 1}}}}, "rehearse: MOME_DEVICE is cpu, but gpu.count is 1"),
        ({"user": 0}, "user: .*greater than 0"),
        ({"defaults": {"timeout_s": 0}}, r"timeout_s: .*greater than 0"),
        ({"volumes": {"work": {"path": "work"}}}, r"volumes\.work\.path"),
        ({"run_timeout_s": {"trainig": 60}}, r"run_timeout_s\.trainig: extra inputs"),
        ({"steps": {"train": {"labels": {"queue name": "a"}}}}, r"steps\.train\.labels"),
        ({"steps": {"train": {"node_affinity": [{"key": "a", "operator": "Is"}]}}}, "operator: .*'In'"),
        ({"secrets": {"git": {"keys": {"a": "A"}}}}, "mome-git: expected either keys, .* or path"),
        ({"secrets": {"git": {"path": "git"}}}, r"secrets\.git\.path"),
        (
            {"secrets": {"hub": {"keys": {"token": "AWS_SESSION_TOKEN"}}}},
            "mome-hub: AWS_SESSION_TOKEN would be taken by Kubeflow's launcher",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"(?i){expected}"):
        cluster(tmp_path, **changes)


def test_a_file_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_cluster(tmp_path / "nothing.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    monkeypatch.setenv("MOME_CLUSTER", str(tmp_path / "list.yaml"))
    with pytest.raises(ConfigError, match="expected sections, got list"):
        load_cluster()
    (tmp_path / "list.yaml").write_text("a: [\n")
    with pytest.raises(ConfigError, match="not YAML"):
        load_cluster()


def test_gpus_are_asked_for_where_the_parameters_use_them_and_nowhere_else() -> None:
    embedded, papers = load_params(), load_params(profile="lrs3-8b")
    check_devices(load_cluster(), embedded)
    check_devices(load_cluster(GPU), papers)
    with pytest.raises(ConfigError, match=r"train\.device is cpu .* but steps\.train\.gpu\.count is 8"):
        check_devices(load_cluster(GPU), embedded)
    with pytest.raises(ConfigError, match=r"train\.device is cuda .* but steps\.train\.gpu\.count is 0"):
        check_devices(load_cluster(), papers)


def test_steps_see_the_volume_that_a_models_folder_or_a_noise_file_lies_on() -> None:
    for given in (load_cluster(), load_cluster(GPU)):
        for name in ("configure", "build_foundation", "train", "evaluate"):
            assert "models" in given.step(name).volumes, name


@pytest.mark.parametrize("profile", sorted(path.stem for path in Path("mome/profiles").glob("lr*.yaml")))
def test_the_papers_profiles_are_given_what_they_need(profile: str) -> None:
    papers, given = load_params(profile=profile), load_cluster(GPU)
    check_devices(given, papers)
    rehearse = given.step("rehearse")
    assert rehearse.gpu.count == 1
    assert rehearse.env["MOME_DEVICE"] == papers.evaluate.device == "cuda"
    assert rehearse.memory == given.step("evaluate").memory, "both hold the whole model"
    assert load_params().rehearse.startup_timeout_s < papers.rehearse.startup_timeout_s < rehearse.timeout_s


def test_a_profile_is_compiled_for_a_cluster_and_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.compile", "--output", str(tmp_path), "--allow-tags"]
    environment = os.environ | {"MOME_CLUSTER": str(GPU)}
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: train.device is cpu in the parameters, but steps.train.gpu.")
    assert refused.stderr.count("\n") == 1
    subprocess.run([*command, "--profile", "lrs3-8b"], env=environment, check=True, capture_output=True)
    spec, platform = yaml.safe_load_all((tmp_path / "training.yaml").read_text())
    executors = spec["deploymentSpec"]["executors"]
    assert executors["exec-rehearse"]["container"]["resources"]["accelerator"]["resourceCount"] == "1"
    assert executors["exec-train"]["container"]["resources"]["accelerator"]["resourceCount"] == "8"
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert [mount["mountPath"] for mount in settings["exec-build-foundation"]["pvcMount"]] == ["/models"]
    tasks = spec["components"]["comp-exit-handler-1"]["dag"]["tasks"]
    given = tasks["configure"]["inputs"]["parameters"]["gpus"]["runtimeValue"]["constant"]
    assert given == {"train": 8, "evaluate": 1}


def test_no_secret_and_no_address_of_a_registry_stands_in_the_files() -> None:
    for path in (CLUSTER_FILE, GPU):
        assert not re.search(r"https?://|://|:\d{4,5}/|[A-Za-z0-9+/]{40}", path.read_text()), path


def test_no_variable_of_a_step_is_one_that_the_launcher_takes_for_its_own_artifacts() -> None:
    for name in PIPELINES:
        _, platform = yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text())
        settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        given = {
            key["envVar"]
            for each in settings.values()
            for secret in each.get("secretAsEnv", [])
            for key in secret["keyToEnv"]
        }
        assert not [variable for variable in given if variable.startswith(("AWS_", "GOOGLE_", "AZURE_"))]


def test_a_step_that_fetches_recordings_finds_the_credentials_of_git_where_git_looks() -> None:
    containerfile = Path("Containerfile").read_text()
    (home,) = re.findall(r"\bHOME=(\S+)", containerfile)
    for name, fetching in (
        ("training", ("version-corpus", "prepare")),
        ("training_sharded", ("version-corpus", "plan-shards", "prepare-shard", "collect-shards")),
    ):
        _, platform = yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text())
        settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        for step in fetching:
            (mounted,) = settings[f"exec-{step}"]["secretAsVolume"]
            assert mounted["secretName"] == "mome-git"
            assert mounted["mountPath"] == f"{home}/.config/git"
            assert mounted["optional"] is True


@dsl.component(base_image="mome-data:1", install_kfp_package=False)
def look(env: str) -> str:
    import os

    return os.environ.get(env, "nothing")


def test_on_one_machine_the_same_pipeline_runs_and_is_told_nothing_of_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.catalogue.gate", look)
    monkeypatch.delenv("MOME_REGISTRY_S3_ACCESS_KEY_ID", raising=False)
    steps = Steps(load_cluster())

    @dsl.pipeline(name="looks")
    def looks() -> str:
        return steps.gate(env="MOME_REGISTRY_S3_ACCESS_KEY_ID").output

    _, settings = compiled(looks, tmp_path)
    assert settings["exec-look"]["pvcMount"], "there is something to leave out"
    before = dict(os.environ)
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"))
    with pytest.warns((RuntimeWarning, UserWarning)):
        run = components.load_component_from_file(str(tmp_path / "pipeline.yaml"))()
    assert run.output == "nothing"
    assert dict(os.environ) == before


@pytest.mark.parametrize("name", PIPELINES)
def test_no_step_of_a_pipeline_is_forgotten(name: str) -> None:
    spec, platform = yaml.safe_load_all(compile_pipeline(name, load_params()))
    settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors = spec["deploymentSpec"]["executors"]
    assert settings.keys() == executors.keys()
    for executor, each in settings.items():
        assert each["securityContext"]["runAsNonRoot"] is True
        assert int(each["activeDeadlineSeconds"]) > 0
        resources = executors[executor]["container"]["resources"]
        assert resources["resourceMemoryLimit"], executor
        assert resources["resourceCpuRequest"], executor
