"""The manual's path, typed as it stands: what is ours runs against a server, the cluster is planted.

`kubectl`, `docker` and `make` are scripts that write down what they were asked and answer as real ones do.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.images import FOLDERS
from tests.pipelines.planted_server import Server, serving
from tests.pipelines.submit.submission import PASSED

ROOT = Path(__file__).parents[2]
PATH = (ROOT / "docs" / "operations.md").read_text()
SCREEN = 45  # lines
ANSWERS = {
    "kubectl": r"""
case "$*" in
  *"create token"*) echo right ;;
  *"get serviceaccount"*) echo default-editor ;;
  *"logs deployment/mome-serving"*) echo "waiting: versions: 9fc1338447fa" ;;
  *port-forward*) exec sleep 60 ;;
  *-f\ -*|*stdin*) cat >/dev/null ;;
esac""",
    "docker": r"""
[ "$1 $2" = "image inspect" ] && { tag="${@: -1}"; printf '%s@sha256:%064d\n' "${tag%:*}" 7; }
true""",
    "make": "true",
    "curl": "true",
}


def blocks() -> list[str]:
    """Return the blocks of the path up to the served model, in their order; the first sets variables."""
    told = PATH.partition("**7. Watch it.**")[0]
    return re.findall(r"^```\n(.*?)^```", told, re.MULTILINE | re.DOTALL)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server(multi_user=True, story=PASSED)) as found:
        yield found


@pytest.fixture
def machine(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Return a checkout of one's own, and an environment with the planted commands."""
    checkout, tools = tmp_path / "checkout", tmp_path / "tools"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in tracked.decode().rstrip("\0").split("\0"):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, checkout / name)
    # A version is named after a commit.
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "as it was cloned"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    tools.mkdir()
    for name, answer in ANSWERS.items():
        script = f'#!/usr/bin/env bash\necho "{name} $*" >>"{tmp_path}/asked"\n{answer}\n'
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / "python").chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KF_", "MOME_"))}
    environment |= {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(checkout),
    }
    return checkout, environment | {"KUBECONFIG": str(tmp_path / "no-cluster"), "no_proxy": "*"}


def test_the_path_is_walked_from_images_to_a_served_model(
    server: Server, machine: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    checkout, environment = machine
    script = "\n".join(blocks())
    script = script.replace("http://localhost:8888", server.address)
    # As patient as a person is, but not as slow.
    script = re.sub(r"(pipelines\.submit training)", r"\1 --poll 0.01 --retry-wait 0.01", script)
    script += "\nkill %1\n"  # the way to Kubeflow, which stays open while a person works
    shutil.copytree(checkout / "manifests/overlays/kubeflow-profile", checkout / "manifests/overlays/team-a")
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    # The pipeline that went to the server has the images that were pushed, by their digests.
    (spec, *_) = yaml.safe_load_all((checkout / "pipelines/compiled/training.yaml").read_text())
    images = {each["container"]["image"] for each in spec["deploymentSpec"]["executors"].values()}
    assert images == {
        f"registry.example.org/speech/mome-{name}@sha256:{7:064d}" for name in FOLDERS if name != "monitor"
    }
    (first, *_) = (checkout / "pipelines/compiled/training.yaml").read_text().splitlines()
    assert first.startswith("# For a cluster: ")
    run = server.runs[0]
    assert run.runtime_config["parameters"] == {
        "changes": {},
        "profile": "params.yaml",
        "registry": "/models/registry",
    }
    assert "token: is accepted" in done.stdout
    assert "and it was promoted" in done.stdout + done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    pushed = [line.rpartition("/")[2].partition(":")[0] for line in asked if line.startswith("docker push")]
    assert sorted(pushed) == sorted(f"mome-{name}" for name in FOLDERS)
    applied = asked.index("kubectl apply -k manifests/overlays/team-a")
    rolled = asked.index("kubectl -n team-a rollout status deployment/mome-serving --timeout=30m")
    assert applied < rolled


def test_the_path_is_ten_screens_and_a_profile_comes_to_a_served_model_by_a_dozen_commands() -> None:
    assert len(PATH.splitlines()) <= 10 * SCREEN
    told = PATH.partition("port-forward service/ml-pipeline 8888 &\n")[2]
    told = told.partition("kubectl -n $NS port-forward service/mome-serving")[0]
    lines = "".join(re.findall(r"^```\n(.*?)^```", f"```\n{told}\n```\n", re.MULTILINE | re.DOTALL))
    commands = [line for line in lines.replace("\\\n", "").splitlines() if line.strip()]
    assert 8 <= len(commands) + 1 <= 12, commands
