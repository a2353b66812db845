"""What is wrong with a cluster is said before a run is started, one line each, with what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from components.images import FOLDERS
from mome.cli import main
from pipelines.calls import Patience
from pipelines.compile import COMPILED, PIPELINES
from pipelines.preflight import __main__ as preflight
from pipelines.preflight.namespace import ARTIFACTS
from tests.pipelines.preflight.planted_cluster import (
    CRD,
    OF_2_17,
    OWN,
    RUNTIME,
    SETTINGS,
    SHARED,
    TOKEN,
    Cluster,
    claim,
    kubeconfig,
    named,
    running,
    secret,
    trainjobs,
)

Look = Callable[..., tuple[int, dict[str, tuple[str, str]]]]
DIGESTS = {name: f"sha256:{number:064x}" for number, name in enumerate(FOLDERS)}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Return a cluster on which nothing is left to do, and who asks it."""
    with running() as found:
        found.images = {f"team/mome-{name}@{digest}" for name, digest in DIGESTS.items()}
        (tmp_path / "lock.json").write_text(json.dumps(DIGESTS))
        (tmp_path / "token").write_text(TOKEN)
        monkeypatch.setattr("components.images.LOCK", tmp_path / "lock.json")
        monkeypatch.setattr(preflight, "PATIENCE", Patience(attempts=1, first_wait_s=0.01))
        for name in ("KF_PIPELINES_TOKEN", "KF_PIPELINES_OIDC_AUDIENCE", "MOME_IMAGE_TAG", "MOME_CLUSTER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("KUBECONFIG", kubeconfig(found, tmp_path))
        monkeypatch.setenv("MOME_IMAGE_REGISTRY", f"{found.host}/team")
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", f"http://{found.host}")
        monkeypatch.setenv("KF_PIPELINES_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("KF_PIPELINES_NAMESPACE", "team-a")
        yield found


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Look:
    """Run the command; returns its exit code, and by subject the mark and the text of each line."""

    def run(*options: str) -> tuple[int, dict[str, tuple[str, str]]]:
        monkeypatch.setattr(sys, "argv", ["preflight", *options])
        code = main(preflight._command)
        printed = capsys.readouterr()
        lines = {}
        for line in printed.out.splitlines():
            subject, _, text = line[8:].partition(": ")
            assert subject not in lines
            lines[subject] = (line[:6].strip(), text)
        left = sum(mark == "TO DO" for mark, _ in lines.values())
        assert printed.err == (f"error: {left} to do before a run is started\n" if left else "")
        return code, lines

    return run


def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(changes))
    monkeypatch.setenv("MOME_CLUSTER", str(tmp_path / "cluster.yaml"))


def test_on_a_cluster_with_all_that_the_manual_makes_there_is_nothing_to_do(
    cluster: Cluster, look: Look
) -> None:
    code, lines = look()
    assert code == 0
    assert {mark for mark, _ in lines.values()} == {"right"}
    assert list(lines)[:2] == ["server", "token"]
    assert {f"image {name}" for name in FOLDERS} <= lines.keys()
    claims = {"claim mome-models", "claim mome-monitor", "claim mome-requests", "claim mome-work"}
    assert claims | {"namespace team-a", "service account default-editor", "Trainer"} <= lines.keys()
    assert lines["retries"][1].startswith("OnError: a pod that is lost is started again; one that exits")


def test_all_that_the_steps_mount_and_take_from_secrets_is_looked_at(cluster: Cluster, look: Look) -> None:
    _, lines = look()
    wanted = set()
    for name in PIPELINES:
        _, platform = yaml.safe_load_all((COMPILED / f"{name}.yaml").read_text())
        for each in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
            wanted |= {f"claim {mount['constant']}" for mount in each.get("pvcMount", [])}
            taken = each.get("secretAsEnv", []) + each.get("secretAsVolume", [])
            wanted |= {f"secret {found['secretName']}" for found in taken}
    assert len(wanted) > 8
    assert wanted <= lines.keys()


def without_label(cluster: Cluster) -> None:
    cluster.objects[OWN]["metadata"]["labels"] = {"kubernetes.io/metadata.name": "team-a"}


def pending(cluster: Cluster) -> None:
    cluster.objects[f"{OWN}/persistentvolumeclaims/mome-work"] = claim("mome-work", "Pending")


def gone(path: str) -> Callable[[Cluster], None]:
    def take_away(cluster: Cluster) -> None:
        del cluster.objects[path]

    return take_away


def set_to(name: str, value: object) -> Callable[[Cluster], None]:
    return lambda cluster: setattr(cluster, name, value)


@pytest.mark.parametrize(
    ("break_it", "subject", "said"),
    [
        (gone(OWN), "namespace team-a", "there is none of that name: make it a Profile"),
        (without_label, "namespace team-a", "is a plain one, without the label pipelines."),
        (gone(f"{OWN}/serviceaccounts/default-editor"), "service account default-editor", "is not there; "),
        (gone(f"{OWN}/secrets/{ARTIFACTS}"), f"secret {ARTIFACTS}", "is not there, and no ConfigMap"),
        (gone(f"{OWN}/persistentvolumeclaims/mome-models"), "claim mome-models", "is not there: apply"),
        (pending, "claim mome-work", "is Pending, class shared: a step would wait for it; name a class"),
        (set_to("images", set()), "image train", "not in the registry: "),
        (set_to("token", "another"), "token", "list the runs: the server does not accept who asks (401)"),
        (
            set_to("health", {"tag_name": "2.16.0", "multi_user": True}),
            "server",
            "the server is Kubeflow Pipelines 2.16.0, and 2.17 or newer is needed",
        ),
        (set_to("kubernetes_token", "another"), "namespace team-a", "the Kubernetes API answered 401"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_what_to_do(
    break_it: Callable[[Cluster], None], subject: str, said: str, cluster: Cluster, look: Look
) -> None:
    break_it(cluster)
    code, lines = look()
    assert code == 1
    mark, text = lines[subject]
    assert mark == "TO DO"
    assert text.startswith(said)


def test_what_may_not_be_seen_is_no_reason_to_stop_and_no_promise(cluster: Cluster, look: Look) -> None:
    cluster.hidden = {SETTINGS, OWN, f"{OWN}/secrets/mome-hub"}
    cluster.registry_status = 401
    code, lines = look()
    assert code == 0
    for subject in ("retries", "namespace team-a", "secret mome-hub"):
        assert lines[subject][0] == "unseen"
        assert "is not allowed to whoever asks (403)" in lines[subject][1]
    mark, text = lines["image data"]
    assert mark == "unseen"
    assert "it does not let us look (401)" in text
    assert lines["claim mome-work"] == ("right", "is bound")


def test_without_kubectl_the_server_is_looked_at_all_the_same(
    cluster: Cluster, look: Look, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nothing"))
    code, lines = look()
    assert code == 0
    assert [lines[name][0] for name in ("server", "token", "cluster")] == ["right", "right", "unseen"]


def test_a_claim_that_the_first_pod_binds_is_right(cluster: Cluster, look: Look) -> None:
    pending(cluster)
    cluster.objects[SHARED]["volumeBindingMode"] = "WaitForFirstConsumer"
    assert look()[1]["claim mome-work"] == (
        "right",
        "is bound by the first pod that mounts it (class shared)",
    )


def test_secrets_are_told_apart_by_who_needs_them(
    cluster: Cluster, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(
        tmp_path,
        monkeypatch,
        secrets={"hub": {"optional": False}, "notify": {"optional": False}},
        image_pull_secrets=["registry-login", "wrong"],
    )
    cluster.objects[f"{OWN}/secrets/mome-notify"] = secret("mome-notify", "url")
    cluster.objects[f"{OWN}/secrets/mome-registry-s3"] = secret("mome-registry-s3", "AWS_ACCESS_KEY_ID")
    cluster.objects[f"{OWN}/secrets/registry-login"] = secret("registry-login", ".dockerconfigjson")
    cluster.objects[f"{OWN}/secrets/wrong"] = secret("wrong", "password")
    code, lines = look()
    assert code == 1
    assert lines["secret mome-hub"] == ("TO DO", "is not there: make it (manifests/README.md)")
    assert lines["secret mome-notify"] == ("TO DO", "lacks ui: add it (manifests/README.md)")
    assert lines["secret mome-git"][0] == "right", "only private corpora need it"
    assert lines["secret mome-registry-s3"][1].startswith("is there, without AWS_DEFAULT_REGION")
    assert lines["secret registry-login"] == ("right", "is there")
    assert lines["secret wrong"][0] == "TO DO"


@pytest.mark.parametrize(
    ("installed", "subject", "mark", "said"),
    [
        ({CRD: trainjobs("runtimePatches")}, "Trainer", "right", "is 2.2 or newer"),
        ({CRD: trainjobs("podTemplateOverrides")}, "Trainer", "TO DO", "is older than 2.2"),
        ({}, "Trainer", "TO DO", "is not installed"),
        ({}, "runtime torch-distributed", "TO DO", "is not there"),
    ],
)
def test_trainer_counts_where_a_training_goes_over_several_nodes(
    installed: dict[str, object], subject: str, mark: str, said: str,
    cluster: Cluster, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for path in (CRD, RUNTIME):
        del cluster.objects[path]
    cluster.objects |= installed  # type: ignore[arg-type]
    given(tmp_path, monkeypatch, distributed={"nodes": 2})
    found = look()[1][subject]
    assert found[0] == mark
    assert found[1].startswith(said)
    monkeypatch.delenv("MOME_CLUSTER")
    assert look()[1]["Trainer"][0] == "right"


@pytest.mark.parametrize(
    ("data", "policy"),
    [
        ({"workflowDefaults": yaml.safe_dump(OF_2_17)}, "OnError: a pod that is lost is started again"),
        ({"config": yaml.safe_dump({"workflowDefaults": OF_2_17})}, "OnError: "),
        ({"executor": "imagePullPolicy: IfNotPresent"}, "OnFailure: a pod that exits with a code"),
    ],
)
def test_what_counts_as_a_failure_is_said_as_the_cluster_has_it(
    data: dict[str, str], policy: str, cluster: Cluster, look: Look
) -> None:
    cluster.objects[SETTINGS] = named("ConfigMap", "workflow-controller-configmap", data=data)
    assert look()[1]["retries"][1].startswith(policy)


def test_one_persons_installation_needs_no_profile(cluster: Cluster, look: Look) -> None:
    moved = {
        path.replace(OWN, "/api/v1/namespaces/kubeflow"): found for path, found in cluster.objects.items()
    }
    del moved["/api/v1/namespaces/kubeflow/serviceaccounts/default-editor"]
    moved["/api/v1/namespaces/kubeflow"]["metadata"]["labels"] = {}
    moved["/api/v1/namespaces/kubeflow/serviceaccounts/pipeline-runner"] = named("ServiceAccount", "p")
    cluster.objects, cluster.health["multi_user"] = moved, False
    code, lines = look("--namespace", "kubeflow")
    assert code == 0
    assert lines["namespace kubeflow"][1] == "is the server's own, which needs no profile"
    assert lines["service account pipeline-runner"] == ("right", "is there")


def test_an_image_by_tag_is_something_to_do(
    cluster: Cluster, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOME_IMAGE_TAG", "trial")
    mark, text = look()[1]["image serve"]
    assert mark == "TO DO"
    assert text.endswith(
        "mome-serve:trial is a tag: push it and lock its digest (docs/operations.md, step 1)"
    )
