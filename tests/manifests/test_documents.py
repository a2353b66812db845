"""What manifests/README.md and the manual tell a person to type exists."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mome.config import load_params
from pipelines.cluster import load_cluster
from pipelines.compile import PIPELINES
from tests.manifests.rendered import (
    COMPONENTS,
    MANIFESTS,
    OVERLAYS,
    ROOT,
    Manifest,
    build,
    containers,
    named,
    of_kind,
    pods,
    rendered,
)

README = (MANIFESTS / "README.md").read_text()
PATH = (ROOT / "docs" / "operations.md").read_text()
MANUAL = PATH + "".join((ROOT / "docs" / name).read_text() for name in ("day-two.md", "troubleshooting.md"))
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README + MANUAL, re.MULTILINE | re.DOTALL)


def added(whole: Any, part: Any) -> Any:
    if isinstance(whole, list):
        return whole + part
    return whole | {key: added(whole[key], value) if key in whole else value for key, value in part.items()}


def yaml_blocks() -> list[dict[str, Any]]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_made_as_the_readme_says_has_the_images_the_version_and_the_class(
    tmp_path: Path, overlay: str
) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    path = tmp_path / "manifests" / "overlays" / overlay / "kustomization.yaml"
    block = yaml_blocks()[0]
    own = added(yaml.safe_load(path.read_text()), block) | {"namespace": "team-a"}
    path.write_text(yaml.safe_dump(own))
    objects: tuple[Manifest, ...] = tuple(yaml.safe_load_all(build(path.parent)))

    images = {found["image"] for _, found in containers(objects)}
    assert {image.partition("@")[0] for image in images} == {
        "registry.example.org/speech/mome-serve",
        "registry.example.org/speech/mome-monitor",
    }
    assert not [image for image in images if "0" * 64 in image]
    data = named(objects, "ConfigMap", "mome-model")["data"]
    assert data == {"registry": "/models/registry", "corpus": "calls", "version": "9fc1338447fa"}
    classes = {
        claim["metadata"]["name"]: claim["spec"].get("storageClassName")
        for claim in of_kind(objects, "PersistentVolumeClaim")
    }
    assert (classes["mome-models"], classes["mome-requests"]) == ("shared", "shared")
    accounts = of_kind(objects, "ServiceAccount")
    assert {template["spec"]["serviceAccountName"] for template in pods(objects).values()} == {
        found["metadata"]["name"] for found in accounts
    }
    assert all(found["imagePullSecrets"] == [{"name": "registry-login"}] for found in accounts)
    assert not [found for found in objects if found["metadata"].get("namespace", "team-a") != "team-a"]
    subjects = [
        subject["namespace"]
        for binding in of_kind(objects, "RoleBinding", "ClusterRoleBinding")
        for subject in binding["subjects"]
    ]
    assert set(subjects) == {"team-a"}


def test_a_store_in_the_cluster_is_reached_by_the_rule_of_the_readme(
    everything: tuple[Manifest, ...], tmp_path: Path
) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "manifests")
    path = tmp_path / "manifests" / "overlays" / "cpu" / "kustomization.yaml"
    content = yaml.safe_load(path.read_text())
    content["components"].append("../../components/registry-s3")
    path.write_text(yaml.safe_dump(content | yaml_blocks()[1]))
    objects: tuple[Manifest, ...] = tuple(yaml.safe_load_all(build(path.parent)))

    before = named(everything, "NetworkPolicy", "mome-serving-registry")["spec"]
    after = named(objects, "NetworkPolicy", "mome-serving-registry")["spec"]
    assert after["egress"][:-1] == before["egress"]
    assert after["egress"][-1]["ports"] == [{"protocol": "TCP", "port": 8333}]


def test_every_overlay_and_component_is_in_the_readme() -> None:
    for name in OVERLAYS:
        assert f"| `overlays/{name}` |" in README
    for name in COMPONENTS:
        assert f"| `components/{name}` |" in README


def test_the_pipelines_mount_claims_that_are_there_and_use_secrets_that_are_named() -> None:
    cluster, profile = load_cluster(), rendered("kubeflow-profile")
    claims = {found["metadata"]["name"] for found in of_kind(profile, "PersistentVolumeClaim")}
    assert {volume.claim for volume in cluster.volumes.values()} <= claims
    for secret in cluster.secrets.values():
        (row,) = (line for line in README.splitlines() if line.startswith(f"| `{secret.secret}` |"))
        assert set(secret.keys) <= set(re.findall(r"`([\w-]+)`", row))
    # Serving looks for the registry where promote writes it.
    model = named(profile, "ConfigMap", "mome-model")["data"]
    assert cluster.parameters["registry"] == model["registry"]
    # And a training on several nodes may read the runtime that it asks for.
    role = named(profile, "ClusterRole", "mome-training-runtimes")
    assert role["rules"][0]["resourceNames"] == [cluster.distributed.runtime]


def commands() -> list[str]:
    """Return every command line of the blocks, continuation lines joined."""
    text = "\n".join(BLOCKS).replace("\\\n", " ")
    return [part.strip() for line in text.splitlines() for part in re.split(r"\||&&", line) if part.strip()]


def source(module: str) -> str:
    """Return the code behind a command, of the whole package for a package, and of the folder around it."""
    found = importlib.util.find_spec(module)
    assert found is not None, f"no module {module}"
    assert found.origin is not None
    return "".join(path.read_text() for path in Path(found.origin).parent.rglob("*.py"))


def test_every_module_and_option_that_is_typed_exists() -> None:
    seen = set()
    inline = re.findall(r"`(python -m [^`]+)`", README + MANUAL)
    for line in [*commands(), *inline]:
        match = re.search(r"python3? -m ([\w.]+)(.*)", line)
        if match is None:
            continue
        seen.add(match[1])
        code = source(match[1]) + source("mome.cli")
        for option in re.findall(r"(?<=\s)--[\w-]+", match[2]):
            assert f'"{option}"' in code, f"{option} of {match[1]}"
        word = re.match(r"\s*(?:--\w+ \S+\s+)*([a-z]+)\b", match[2])
        if word and match[1] in ("serving.registry", "pipelines.recurring"):
            assert f'"{word[1]}"' in code, line
    assert {"serving.registry", "pipelines.submit", "pipelines.recurring", "monitoring.orders"} <= seen


def test_every_object_that_is_named_exists(everything: tuple[Manifest, ...]) -> None:
    short = {"deploy": "deployment", "cm": "configmap", "pvc": "persistentvolumeclaim"}
    objects = (*everything, *rendered("kubeflow-profile"))
    there = {(found["kind"].lower(), found["metadata"]["name"]) for found in objects}
    mentioned = re.findall(
        r"\b(deployment|deploy|cronjob|configmap|cm|pvc|service|job|hpa)[/ ](mome-[a-z-]+)",
        "\n".join(commands()),
    )
    assert len(mentioned) > 8
    for kind, name in mentioned:
        assert (short.get(kind, kind), name) in there, f"{kind}/{name}"


def test_every_secret_that_is_named_is_in_the_readme() -> None:
    for name in re.findall(r"secret (?:generic )?(mome-[\w-]+)", "\n".join(commands())):
        assert f"| `{name}` |" in README


def shell_blocks() -> list[str]:
    return [block for block in BLOCKS if re.search(r"\b(kubectl|docker|python) ", block)]


def test_the_pod_for_tools_runs_before_something_is_done_in_it() -> None:
    ready = (
        "kubectl -n $NS scale deployment/mome-tools --replicas=1\n"
        "kubectl -n $NS rollout status deployment/mome-tools\n"
    )
    using = [block for block in shell_blocks() if "exec deployment/mome-tools" in block]
    assert len(using) == 6
    for block in using:
        assert ready in block.partition("exec deployment/mome-tools")[0], block


def test_a_port_is_forwarded_in_the_background_and_the_key_is_known() -> None:
    known = ""
    calls = 0
    for block in shell_blocks():
        for line in block.splitlines():
            known += line + "\n"
            if "localhost:3000" in line:
                calls += 1
                assert "--retry-connrefused" in line  # the forwarding begins a moment later
                assert re.search(r"^KEY=", known, re.MULTILINE)
                assert (
                    block.partition(line)[0].rstrip().endswith("port-forward service/mome-serving 3000:80 &")
                )
                assert block.partition(line)[2].startswith("\nkill $!\n")
    assert calls == 2


def test_every_secret_is_made_where_the_overlay_is() -> None:
    for line in commands():
        if "create secret" in line:
            assert "kubectl -n $NS create secret" in line


def test_images_that_are_pushed_by_hand_are_locked_by_the_digest_of_that_registry(tmp_path: Path) -> None:
    (block,) = (block for block in shell_blocks() if "docker push" in block)
    loop = block[block.index("python -m") :]
    planted = {
        # Beside the right one, the digest that the same image has in another registry.
        "docker": '[ "$1 $2" = "image inspect" ] && tag="${@: -1}" '
        '&& printf "other.example/%s@sha256:bad\\n%s@sha256:%s\\n" "${tag##*/}" "${tag%:*}" "${tag##*/}"',
        "python": 'case "$*" in *tags) cat tags ;; *) echo "$*" >>calls ;; esac',
    }
    for name, script in planted.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{script}\n:\n")
        (tmp_path / name).chmod(0o755)
    tags = "data host:5000/t/mome-data:1\nserve host:5000/t/mome-serve:1\n"
    (tmp_path / "tags").write_text(tags)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-eu", "-c", loop], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"-m components.images lock {name}=sha256:mome-{name}:1" for name in ("data", "serve")
    ]


def test_every_pipeline_that_is_submitted_exists() -> None:
    submitted = re.findall(r"pipelines\.submit (\w+)", "\n".join(commands()))
    assert set(submitted) == {"training", "training_sharded"}
    assert set(submitted) <= PIPELINES.keys()


def test_every_parameter_that_is_set_is_one_of_the_pipeline() -> None:
    found = 0
    for line in commands():
        match = re.search(r"pipelines\.(?:submit (\w+)|(recurring) apply)", line)
        if match is None:
            continue
        pipeline = PIPELINES["monitoring" if match[2] else match[1]]
        known = set(pipeline.pipeline_spec.root.input_definitions.parameters)
        if "changes" in known:  # values of sections go there
            known |= load_params(ROOT / "params.yaml").sections().keys()
        for name, key in re.findall(r"--set (\w+)(?:\.([\w.]+))?=", line):
            found += 1
            assert name in known, line
            value: Any = load_params(ROOT / "params.yaml").sections().get(name, {})
            for part in key.split(".") if key else []:
                value = value[part]
    assert found > 8


def test_the_recurring_run_publishes_where_serving_reads() -> None:
    profile = rendered("kubeflow-profile")
    kind, _, name = load_cluster().parameters["publish_to"].partition("/")
    assert (kind, named(profile, "ConfigMap", name)["metadata"]["name"]) == ("configmap", "mome-scale")


def test_every_target_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z]+)", "\n".join(commands())):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_lead_to_files() -> None:
    for folder, text in ((MANIFESTS, README), (ROOT / "docs", MANUAL)):
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (folder / target).exists(), target
