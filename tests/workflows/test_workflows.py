"""The workflows hold against somebody who wants to abuse them, and call what is there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.images import FOLDERS
from pipelines.compile import PIPELINES
from pipelines.submit.__main__ import _options

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
CONTENT = {path.name: yaml.safe_load(path.read_text()) for path in FILES}
JOBS = [(name, job, body) for name, file in CONTENT.items() for job, body in file["jobs"].items()]
STEPS = [(name, job, step) for name, job, body in JOBS for step in body["steps"]]
BIN = Path(sys.executable).parent
RULES = {
    "line-length": {"max": 120},
    "truthy": {"check-keys": False},
    "document-start": "disable",
    "comments": {"min-spaces-from-content": 1},
}
# What may be more than reading, and why it must be.
GRANTED = {
    ("images.yml", "build"): {"id-token"},  # signs
    ("images.yml", "propose"): {"contents", "pull-requests"},
    ("pipeline-release.yml", "upload"): {"id-token"},  # asks the Kubeflow server
    ("retrain.yml", "train"): {"id-token"},
    ("retrain.yml", "report"): {"issues", "pull-requests"},
}
each_job = pytest.mark.parametrize(
    ("name", "job", "body"), JOBS, ids=[f"{name}-{job}" for name, job, _ in JOBS]
)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)


def zizmor(*paths: Path) -> list[dict[str, Any]]:
    done = run(BIN / "zizmor", "--offline", "--persona=auditor", "--format=json", *paths)
    return json.loads(done.stdout)


def test_zizmor_finds_nothing() -> None:
    assert zizmor(ROOT / ".github") == []


def test_zizmor_finds_what_is_planted(tmp_path: Path) -> None:
    text = (FOLDER / "retrain.yml").read_text()
    planted = text.replace('"$TRIGGER"', '"${{ github.event.client_payload.reason }}"', 1)
    assert planted != text
    (tmp_path / "retrain.yml").write_text(planted)
    assert "template-injection" in {finding["ident"] for finding in zizmor(tmp_path / "retrain.yml")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_files_fit_githubs_schema(path: Path) -> None:
    done = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)
    assert done.returncode == 0, done.stdout


def test_the_update_rules_fit_githubs_schema() -> None:
    path = ROOT / ".github" / "dependabot.yml"
    done = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.dependabot", path)
    assert done.returncode == 0, done.stdout
    updates = yaml.safe_load(path.read_text())["updates"]
    assert "github-actions" in {update["package-ecosystem"] for update in updates}


def test_the_files_are_laid_out() -> None:
    done = run(
        BIN / "yamllint", "--strict", "-d", json.dumps({"extends": "default", "rules": RULES}), ".github"
    )
    assert done.returncode == 0, done.stdout


def test_every_action_is_pinned_by_commit_and_one_action_has_one_commit() -> None:
    commits: dict[str, set[str]] = {}
    for path in FILES:
        for line in re.findall(r"uses:.*", path.read_text()):
            found = re.fullmatch(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line)
            assert found is not None, f"{path.name}: {line}"
            commits.setdefault(found[1], set()).add(f"{found[2]} {found[3]}")
    assert {name: found for name, found in commits.items() if len(found) > 1} == {}
    assert len(commits) >= 4


@pytest.mark.parametrize("name", CONTENT)
def test_reading_is_all_that_is_allowed_by_default(name: str) -> None:
    assert CONTENT[name]["permissions"] == {"contents": "read"}
    assert CONTENT[name]["defaults"]["run"]["shell"] == "bash"  # which stops at the first failure in a pipe
    assert "concurrency" in CONTENT[name]


@each_job
def test_a_job_may_write_only_what_it_must(name: str, job: str, body: dict[str, Any]) -> None:
    permissions = body.get("permissions", {})
    assert isinstance(permissions, dict)
    written = {scope for scope, level in permissions.items() if level != "read"}
    assert written == GRANTED.get((name, job), set())


@each_job
def test_a_job_ends(name: str, job: str, body: dict[str, Any]) -> None:
    assert 0 < body["timeout-minutes"] <= 360


@each_job
def test_a_job_that_may_write_runs_no_installed_code(name: str, job: str, body: dict[str, Any]) -> None:
    if GRANTED.get((name, job), set()) & {"contents", "issues", "pull-requests"}:
        scripts = " ".join(step.get("run", "") for step in body["steps"])
        assert not re.search(r"\.venv|\bmake\b|\bpip\b|python", scripts)


@each_job
def test_an_identity_is_given_only_in_an_environment(name: str, job: str, body: dict[str, Any]) -> None:
    if "id-token" in body.get("permissions", {}):
        assert body.get("environment"), "an environment can ask for a person's approval"


def test_no_checkout_leaves_its_token_behind() -> None:
    checkouts = [step for _, _, step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) >= 5
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_no_expression_stands_in_a_script() -> None:
    assert [step for _, _, step in STEPS if "${{" in step.get("run", "")] == []


def test_what_a_stranger_says_goes_through_the_environment_and_the_list() -> None:
    texts = {path.name: path.read_text() for path in FILES}
    assert [name for name, text in texts.items() if "client_payload" in text] == ["retrain.yml"]
    retrain = CONTENT["retrain.yml"]
    assert texts["retrain.yml"].count("client_payload") == 1
    assert "client_payload" in retrain["jobs"]["plan"]["env"]["MOME_PAYLOAD"]
    submits = [step["run"] for _, _, step in STEPS if "MOME_PAYLOAD" in str(step)]
    assert submits == []  # no script reads it
    scripts = {
        step["name"]: step["run"] for _, job, step in STEPS if "pipelines.submit" in step.get("run", "")
    }
    assert set(scripts) == {"plan", "train", "upload"}
    assert '--trigger "$TRIGGER"' in scripts["plan"]


def test_what_runs_is_what_was_planned_before_the_approval() -> None:
    jobs = CONTENT["retrain.yml"]["jobs"]
    assert "environment" not in jobs["plan"]
    (plan,) = [step["run"] for step in jobs["plan"]["steps"] if step.get("name") == "plan"]
    assert "--save-plan plan.json" in plan
    (kept,) = [step["with"] for step in jobs["plan"]["steps"] if "upload-artifact" in step.get("uses", "")]
    assert "plan.json" in kept["path"].split()
    (train,) = [step["run"] for step in jobs["train"]["steps"] if step.get("name") == "train"]
    assert '--plan "$RUNNER_TEMP/plan/plan.json"' in train
    assert not {"MOME_PAYLOAD", "TRIGGER"} & set(jobs["train"]["env"])
    assert "env" not in CONTENT["retrain.yml"]


def test_staging_does_not_promote_where_production_reads(tmp_path: Path) -> None:
    (script,) = [
        step["run"]
        for step in CONTENT["retrain.yml"]["jobs"]["train"]["steps"]
        if step.get("name") == "train"
    ]
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)

    def train(environment: str, registry: str) -> tuple[int, list[str]]:
        given = {"ENVIRONMENT": environment, "MOME_REGISTRY": registry}
        given |= {"PATH": os.environ["PATH"], "RUNNER_TEMP": str(tmp_path), "GITHUB_RUN_ID": "17"}
        command = ["bash", "-eo", "pipefail", "-c", script]
        done = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    code, said = train("staging", "")
    assert (code, "no variable MOME_REGISTRY" in said[0]) == (1, True)
    code, arguments = train("staging", "s3://staging/models")
    assert (code, arguments[arguments.index("--set") + 1]) == (0, "registry=s3://staging/models")
    code, arguments = train("production", "")
    assert (code, "--set" in arguments) == (0, False)


def test_a_submission_finds_all_it_imports_among_what_its_job_installs() -> None:
    (script,) = [
        step["run"]
        for step in CONTENT["retrain.yml"]["jobs"]["train"]["steps"]
        if step.get("name") == "install"
    ]
    named = script.rpartition("constraints.txt")[2].replace("\\", " ").split()
    # With this environment's packages, but none that these do not bring.
    program = """
import importlib.metadata as metadata, re, sys
from packaging.requirements import Requirement
normal = lambda name: re.sub("[-_.]+", "-", name).lower()
found, left = set(), [normal(name) for name in sys.argv[1:]]
while left:
    name = left.pop()
    if name not in found:
        found.add(name)
        for want in map(Requirement, metadata.requires(name) or []):
            if not want.marker or want.marker.evaluate({"extra": ""}):
                left.append(normal(want.name))
found.add("mome")  # lies in the checkout
packages = metadata.packages_distributions()
class Missing:
    def find_spec(self, name, path=None, target=None):
        owners = {normal(owner) for owner in packages.get(name, ())}
        if owners and not owners & found:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
import pipelines.preflight.__main__, pipelines.submit.__main__
"""
    done = run(sys.executable, "-c", program, *named)
    assert done.returncode == 0, done.stderr
    without = run(sys.executable, "-c", program, *(name for name in named if not name.startswith("kfp")))
    assert without.returncode != 0, "the test would not find what is missing"
    # kfp's parts share one name in Python, so that is no proof of each of them.
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {re.split("[<>=]", wanted)[0] for wanted in extras["pipelines"]} <= set(named)


def test_a_cluster_is_looked_at_before_a_run_is_started() -> None:
    names = [step.get("name") for step in CONTENT["retrain.yml"]["jobs"]["train"]["steps"]]
    assert names.index("trust the server's authority") < names.index("look first") < names.index("train")
    (look,) = [
        step for step in CONTENT["retrain.yml"]["jobs"]["train"]["steps"] if step.get("name") == "look first"
    ]
    assert look["run"].split() == [".venv/bin/python", "-m", "pipelines.preflight"]
    assert "continue-on-error" not in look
    # What it looks at is what is submitted: images and claims of the same variables as in the plan.
    planned = CONTENT["retrain.yml"]["jobs"]["plan"]["env"]
    assert look["env"] == {name: planned[name] for name in ("MOME_IMAGE_REGISTRY", "MOME_CLUSTER")}


def test_a_pull_request_sees_no_secret_and_no_privileged_trigger_exists() -> None:
    for name, file in CONTENT.items():
        triggers = file[True]  # YAML 1.1 reads `on` so
        assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers), name
        if "pull_request" in triggers:
            text = (FOLDER / name).read_text()
            assert not re.search(r"secrets\.|github\.token|id-token|environment:", text)


def test_a_retraining_is_one_at_a_time_and_production_is_behind_an_environment() -> None:
    retrain = CONTENT["retrain.yml"]
    # Nothing that waits is thrown away; what GitHub does without `queue` loses all but the newest.
    concurrency = retrain["concurrency"]
    assert (concurrency["cancel-in-progress"], concurrency["queue"]) == (False, "max")
    environment = retrain["jobs"]["train"]["environment"].removeprefix("${{").removesuffix("}}").strip()
    assert concurrency["group"] == f"retrain-${{{{ {environment} }}}}"
    assert set(retrain[True]) == {"workflow_dispatch", "repository_dispatch", "schedule", "push"}
    assert retrain[True]["repository_dispatch"]["types"] == ["snr-drift", "new-data"]
    assert retrain[True]["push"]["paths"] == ["**.dvc"]
    assert retrain["jobs"]["train"]["environment"].endswith("|| 'production' }}")
    assert retrain["jobs"]["train"]["needs"] == "plan"


def test_every_field_of_the_form_is_on_the_list() -> None:
    from pipelines.submit.triggers import read_trigger

    inputs = CONTENT["retrain.yml"][True]["workflow_dispatch"]["inputs"]
    untouched = {name: field["default"] for name, field in inputs.items()}
    assert read_trigger("manual", json.dumps(untouched)).asked_revision is None
    filled = untouched | {"revision": "v3", "profile": "lrs3-1b", "steps": "30", "reason": "new speakers"}
    assert read_trigger("manual", json.dumps(filled)).asked_profile == "lrs3-1b"


def test_no_address_stands_in_a_file_that_anybody_may_copy() -> None:
    known = {"registry.example.org", "token.actions.githubusercontent.com", "users.noreply.github.com"}
    found = {
        host
        for path in (ROOT / ".github").rglob("*")
        if path.is_file() and "node_modules" not in path.parts
        for host in re.findall(r"\b(?:[a-z0-9-]+\.)+(?:com|dev|io|net|org)\b", path.read_text())
    }
    assert found == known


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
@pytest.mark.parametrize("serving", ["", "cpu"])
def test_one_builder_builds_every_image_and_their_digests_are_locked(tmp_path: Path, serving: str) -> None:
    steps = CONTENT["images.yml"]["jobs"]["build"]["steps"]
    (script,) = [step["run"] for step in steps if "buildx" in step.get("run", "")]
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    # Planted: an image's digest is the sum of its name.
    docker.write_text(
        '#!/usr/bin/env bash\nprintf "%s\\n" "$*" >>calls\n'
        'while [ $# -gt 0 ]; do [ "$1" != --target ] || name=$2; shift; done\n'
        '[ -z "$name" ] || printf \'{"containerimage.digest": "sha256:%s"}\' '
        '"$(printf %s "$name" | sha256sum | cut -d " " -f 1)" >metadata.json\n'
    )
    docker.chmod(0o755)
    environment = {
        "PATH": f"{docker.parent}:{os.environ['PATH']}",
        "GITHUB_SHA": "1f2e",
        "IMAGE_REGISTRY": "registry.example.org/team",
        "BASE": "",
        "TORCH_BUILD": "cu130",
        "SERVE_TORCH_BUILD": serving,
        "TORCH_INDEX": "",
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True)

    create, *builds = (tmp_path / "calls").read_text().splitlines()
    assert create.startswith("buildx create")
    torch = {
        re.findall(r"--target (\w+)", line)[0]: re.findall(r"TORCH_BUILD=(\w+)", line) for line in builds
    }
    assert torch == {name: ["cu130"] for name in FOLDERS} | {"serve": [serving or "cu130"]}
    locked = dict(path.read_text().strip().split("=") for path in (tmp_path / "digests").iterdir())
    assert locked == {name: f"sha256:{hashlib.sha256(name.encode()).hexdigest()}" for name in FOLDERS}


def test_the_scripts_are_sound_shell(tmp_path: Path) -> None:
    paths = []
    for number, (name, job, step) in enumerate(STEPS):
        if "run" in step:
            paths.append(tmp_path / f"{number}-{name}-{job}.sh")
            paths[-1].write_text("#!/usr/bin/env bash\nset -eo pipefail\n" + step["run"])
    # Linux on Arm has the machine's own: no wheel.
    shellcheck = shutil.which("shellcheck", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    assert shellcheck is not None
    done = run(shellcheck, "--severity=style", *paths)
    assert done.returncode == 0, done.stdout


def submissions() -> list[list[str]]:
    """Return the arguments of every submission, with values where variables stand."""
    values = {
        "TRIGGER": "new-data",
        "GITHUB_RUN_ID": "17",
        "GITHUB_REF_NAME": "v1.0.0",
        "CORPUS_POINTER": "corpus.dvc",
        "MOME_REGISTRY": "s3://models",
        "RUNNER_TEMP": "/tmp",
        "pipeline": "training",
    }
    found = []
    for _, _, step in STEPS:
        for line in re.sub(r"\\\n\s*", "", step.get("run", "")).splitlines():
            if "-m pipelines.submit" in line:
                text = re.sub(r"\$\{\w+:\+(.*?)\}", r"\1", line)
                text = re.sub(r"\$(\w+)", lambda match: values[match[1]], text)
                found.append(shlex.split(text.partition("-m pipelines.submit")[2]))
    return found


def test_every_submission_is_one_that_the_command_takes() -> None:
    found = submissions()
    assert len(found) == 3
    for arguments in found:
        options = _options(arguments)
        assert options.require_digests


def test_a_release_uploads_every_pipeline() -> None:
    (script,) = [step["run"] for _, _, step in STEPS if "--upload-only" in step.get("run", "")]
    found = re.search(r"for pipeline in (.*); do", script)
    assert found is not None
    assert set(found[1].split()) == set(PIPELINES)


@pytest.fixture
def github(tmp_path: Path) -> Path:
    """Plant a `gh` that writes down what it is called with and answers from files."""
    tool = tmp_path / "bin" / "gh"
    tool.parent.mkdir()
    tool.write_text(
        '#!/usr/bin/env bash\nprintf "%s\\n" "$*" >>"$CALLS"\n'
        'case "$*" in *"/pulls "*) cat "$PULLS" ;; "issue list"*) cat "$ISSUES" ;; esac\n'
    )
    tool.chmod(0o755)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "result.md").write_text("# Retraining rejected by the gate\n")
    (tmp_path / "parts" / "changes.md").write_text("| Status | Path |\n")
    return tmp_path


@pytest.mark.parametrize(
    ("event", "pulls", "issues", "said"),
    [
        ("push", "12", "", "api repos/o/r/issues/12/comments"),
        ("push", "", "7", "api repos/o/r/issues/7/comments"),
        ("schedule", "12", "", "issue create --title Retraining"),
        ("repository_dispatch", "12", "7", "api repos/o/r/issues/7/comments"),
    ],
)
def test_the_result_is_told_where_it_belongs(
    github: Path, event: str, pulls: str, issues: str, said: str
) -> None:
    (github / "pulls").write_text(pulls)
    (github / "issues").write_text(issues)
    steps = CONTENT["retrain.yml"]["jobs"]["report"]["steps"]
    (script,) = [step["run"] for step in steps if "run" in step]
    environment = {
        "PATH": f"{github / 'bin'}:{os.environ['PATH']}",
        "CALLS": str(github / "calls"),
        "PULLS": str(github / "pulls"),
        "ISSUES": str(github / "issues"),
        "GITHUB_STEP_SUMMARY": str(github / "summary"),
        "GITHUB_SERVER_URL": "https://example.org",
        "GITHUB_REPOSITORY": "o/r",
        "GH_REPO": "o/r",
        "GITHUB_RUN_ID": "17",
        "GITHUB_SHA": "1f2e",
        "GITHUB_EVENT_NAME": event,
        "OUTCOME": "failure",
    }
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=github, env=environment, check=True)
    calls = (github / "calls").read_text().splitlines()
    assert any(call.startswith(said) for call in calls), calls
    comment = (github / "comment.md").read_text()
    assert "rejected by the gate" in comment
    assert "| Status | Path |" in comment


@pytest.fixture
def proposal(tmp_path: Path) -> Path:
    """Make a checkout with a remote, an artifact beside it, and a `gh` that does nothing."""
    files = ["components/images.lock.json", *(f"pipelines/compiled/{name}.yaml" for name in PIPELINES)]
    for folder in ("checkout", "temp/locked"):
        for name in files:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}" if name.endswith("json") else f"{folder}\n")
    lock = dict.fromkeys(FOLDERS, f"sha256:{'a' * 64}")
    (tmp_path / "temp" / "locked" / files[0]).write_text(json.dumps(lock))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "bin" / "gh").chmod(0o755)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (
        ["git", "init", "-q", "--bare", "../remote.git"],
        [*git, "init", "-q", "-b", "main"],
        [*git, "add", "."],
        [*git, "commit", "-qm", "a"],
        [*git, "remote", "add", "origin", str(tmp_path / "remote.git")],
    ):
        subprocess.run(command, cwd=tmp_path / "checkout", check=True)
    return tmp_path


def propose(root: Path) -> int:
    steps = CONTENT["images.yml"]["jobs"]["propose"]["steps"]
    (fetched,) = [step["with"] for step in steps if "download-artifact" in step.get("uses", "")]
    assert fetched["path"] == "${{ runner.temp }}/locked"
    environment = {
        "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
        "HOME": str(root),
        "RUNNER_TEMP": str(root / "temp"),
        "BRANCH": "images/17",
        "BASE_BRANCH": "main",
        "GITHUB_SHA": "1f2e",
        "GITHUB_SERVER_URL": "https://example.org",
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_RUN_ID": "17",
    }
    for script in [step["run"] for step in steps if "run" in step]:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=root / "checkout",
            env=environment,
            check=False,
            capture_output=True,
        )
        if done.returncode:
            return done.returncode
    return 0


def proposed(root: Path) -> set[str]:
    """Return the files that the pushed branch changes."""
    git = ["git", "-C", str(root / "remote.git")]
    if not subprocess.run([*git, "branch"], capture_output=True, text=True, check=True).stdout:
        return set()
    names = [*git, "show", "--name-only", "--format=", "images/17"]
    return set(subprocess.run(names, capture_output=True, text=True, check=True).stdout.split())


def test_new_digests_become_a_branch(proposal: Path) -> None:
    assert propose(proposal) == 0
    assert len(proposed(proposal)) == 1 + len(PIPELINES)


@pytest.mark.parametrize(
    "poison",
    [
        "a hook",
        "a link instead of a file",
        "a link on the way",
        "a folder instead of a file",
        "a missing file",
        "a lock of another image",
        "a digest with more behind it",
        "a lock that is none",
    ],
)
def test_a_poisoned_artifact_reaches_neither_the_token_nor_the_branch(proposal: Path, poison: str) -> None:
    locked = proposal / "temp" / "locked"
    lock, compiled = locked / "components" / "images.lock.json", locked / "pipelines" / "compiled"
    (proposal / "secret").mkdir()
    (proposal / "secret" / "training.yaml").write_text("secret")
    harmless = poison == "a hook"
    match poison:
        case "a hook":
            (locked / ".git" / "hooks").mkdir(parents=True)
            (locked / ".git" / "hooks" / "pre-push").write_text("#!/bin/sh\ntouch ../owned\n")
            (locked / ".git" / "hooks" / "pre-push").chmod(0o755)
            (locked / "README.md").write_text("more")
        case "a link instead of a file":
            (compiled / "training.yaml").unlink()
            (compiled / "training.yaml").symlink_to(proposal / "secret" / "training.yaml")
        case "a link on the way":
            compiled.rename(locked / "pipelines" / "elsewhere")
            compiled.symlink_to(locked / "pipelines" / "elsewhere")
        case "a folder instead of a file":
            lock.unlink()
            lock.mkdir()
        case "a missing file":
            (compiled / "monitoring.yaml").unlink()
        case "a lock of another image":
            lock.write_text(json.dumps(json.loads(lock.read_text()) | {"other": f"sha256:{'a' * 64}"}))
        case "a digest with more behind it":
            lock.write_text(json.dumps(json.loads(lock.read_text()) | {"data": f"sha256:{'a' * 64}\nx"}))
        case "a lock that is none":
            lock.write_text("[")
    assert (propose(proposal) == 0) == harmless
    assert len(proposed(proposal)) == (1 + len(PIPELINES) if harmless else 0)
    assert not (proposal / "owned").exists()
