"""What was planned is what is submitted: the package, the arguments, and the commit of the corpus."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mome.errors import ConfigError
from pipelines.cluster import load_cluster
from pipelines.submit.__main__ import main
from pipelines.submit.revision import pinned
from pipelines.submit.triggers import PAYLOAD
from tests.pipelines.planted_server import Server, stored
from tests.pipelines.submit.submission import PACKAGE, ROOT, submit


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., str]:
    """Make the git repository of a corpus with one commit on branch `main`; return what git says in it."""
    folder = tmp_path / "corpus.git"
    folder.mkdir()

    def git(*command: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        done = subprocess.run(
            ["git", *identity, *command], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q", "-b", "main")
    git("commit", "-q", "--allow-empty", "-m", "one")
    return git


def planned(tmp_path: Path, *more: str) -> tuple[int, Path]:
    file = tmp_path / "plan.json"
    return main(["--dry-run", "--version", "1.0.0+gabc", "--save-plan", str(file), *more]), file


def test_a_plan_is_submitted_as_it_was_made(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PAYLOAD, '{"steps": "30", "reason": "more speakers"}')
    code, file = planned(tmp_path, "--trigger", "manual", "--set", "corpus=embedded")
    assert (code, server.asked) == (0, [])
    monkeypatch.setenv(PAYLOAD, '{"steps": "7"}')
    for name in ("load_package", "load_params", "read_trigger"):
        monkeypatch.setattr(f"pipelines.submit.plan.{name}", None)  # nothing is looked up again
    code, result, _ = submit(server, tmp_path, "--plan", str(file), "--set", "registry=s3://staging/models")
    assert code == 0
    assert (result["version"], result["trigger"], result["reason"]) == (
        "1.0.0+gabc",
        "manual",
        "more speakers",
    )
    assert server.versions[0].pipeline_spec == stored(PACKAGE.text)
    sent = server.runs[0].runtime_config["parameters"]
    assert sent["changes"] == {"train.steps": 30}
    assert (sent["corpus"], sent["registry"]) == ("embedded", "s3://staging/models")
    assert result["changes"]["registry"] == "s3://staging/models"


@pytest.mark.parametrize("given", ["train.steps=3", "nothing=3", "monitor={window: 3}", "changes={}"])
def test_to_a_plan_only_parameters_that_are_no_section_can_be_added(
    server: Server, tmp_path: Path, given: str
) -> None:
    _, file = planned(tmp_path)
    code, _, _ = submit(server, tmp_path, "--plan", str(file), "--set", given)
    assert (code, server.asked) == (1, [])


@pytest.mark.parametrize("text", ["", "{}", '{"package": 3}', None])
def test_what_is_no_plan_is_refused(server: Server, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "plan.json"
    if text is not None:
        file.write_text(text)
    code, result, _ = submit(server, tmp_path, "--plan", str(file))
    assert (code, server.asked) == (1, [])
    assert "plan.json" in result["outcome"]["reason"]


def test_the_package_of_a_plan_is_checked_again(server: Server, tmp_path: Path) -> None:
    _, file = planned(tmp_path)
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"package": "pipelineInfo: {name: x}\n"}))
    code, result, _ = submit(server, tmp_path, "--plan", str(file))
    assert (code, server.asked) == (1, [])
    assert "no compiled pipeline" in result["outcome"]["reason"]
    file.write_text(json.dumps(content))
    assert submit(server, tmp_path, "--plan", str(file), "--require-digests")[0] == 1


@pytest.mark.parametrize(
    "given", [["--plan", "p", "--trigger", "manual"], ["--plan", "p", "--tag", "v1"], ["--save-plan", "p"]]
)
def test_what_a_plan_holds_cannot_be_said_beside_it(given: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(given)
    assert ended.value.code == 2


def test_a_branch_that_a_stranger_names_is_a_commit_before_anybody_approves(
    corpus: Callable[..., str],
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pointer = tmp_path / "corpus.dvc"
    pointer.write_text(
        f"deps:\n- path: content\n  repo:\n    url: {tmp_path}/corpus.git\n    rev_lock: {'0' * 40}\n"
    )
    monkeypatch.setenv(PAYLOAD, '{"revision": "main"}')
    approved = corpus("rev-parse", "HEAD")
    _, file = planned(tmp_path, "--trigger", "new-data", "--pointer", str(pointer))
    assert f"corpus.git@{approved}" in capsys.readouterr().out
    corpus("commit", "-q", "--allow-empty", "-m", "two")
    assert submit(server, tmp_path, "--plan", str(file))[0] == 0
    assert server.runs[0].runtime_config["parameters"]["corpus"] == f"{tmp_path}/corpus.git@{approved}"


def test_names_are_resolved_as_git_does(corpus: Callable[..., str], tmp_path: Path) -> None:
    address = str(tmp_path / "corpus.git")
    first = corpus("rev-parse", "HEAD")
    corpus("tag", "-a", "v1", "-m", "with words")
    corpus("tag", "plain")
    corpus("commit", "-q", "--allow-empty", "-m", "two")
    corpus("branch", "v1")  # the tag of this name comes first
    corpus("update-ref", "refs/remotes/o/refs/heads/other", first)
    second = corpus("rev-parse", "HEAD")
    assert pinned(f"{address}@main") == f"{address}@{second}"
    assert pinned(f"{address}@v1") == pinned(f"{address}@plain") == f"{address}@{first}"
    assert corpus("rev-parse", "v1^{}") == first
    with pytest.raises(ConfigError, match="no branch or tag"):
        pinned(f"{address}@other")


def test_a_commit_needs_no_repository() -> None:
    corpus = f"https://nowhere.example.org/speech.git@{'a' * 40}"
    assert pinned(corpus) == corpus


@pytest.mark.parametrize("address", ["{}/none.git", "ext::sh -c true", "--upload-pack=true"])
def test_a_repository_that_cannot_be_asked_is_told_of_without_its_password(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"cannot be asked for its commit: .*; name the commit"):
        pinned(f"{address.format(tmp_path)}@main")
    with pytest.raises(ConfigError) as refused:
        pinned("https://user:secret@127.0.0.1:9/speech.git@main")
    assert "secret" not in str(refused.value)


def test_a_run_that_would_wait_for_a_gpu_is_refused_before_it_begins(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, result, _ = submit(server, tmp_path, "--profile", "lrs3-1b", "--set", "corpus=s3://speech")
    assert (code, server.asked) == (1, [])
    assert "steps.train.gpu.count is 0 for the cluster" in result["outcome"]["reason"]
    for changed in ("train.device=cuda", 'changes={"train.device": "cuda"}', "train.device=cuda:0"):
        assert submit(server, tmp_path, "--set", changed)[0] == 1
    gpus = load_cluster(ROOT / "pipelines" / "cluster-gpu.yaml")
    monkeypatch.setattr("pipelines.submit.plan.steps.cluster", gpus)
    assert submit(server, tmp_path, "--profile", "lrs3-1b", "--set", "corpus=s3://speech")[0] == 0
    code, result, _ = submit(server, tmp_path)
    assert (code, "gpu.count is 8" in result["outcome"]["reason"]) == (1, True)
    # Nothing is to run yet: the parameters of the runs to come are not known.
    assert submit(server, tmp_path, "--upload-only")[0] == 0
