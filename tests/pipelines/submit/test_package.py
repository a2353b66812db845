"""A compiled pipeline is known by all of its content, and one that is none is refused before a run begins."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mome import __version__
from mome.errors import ConfigError
from pipelines.submit.package import parse_package, version_name
from tests.pipelines.planted_server import Server, stored
from tests.pipelines.submit.submission import PACKAGE, ROOT, submit


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Be in a checkout of one commit whose compiled pipeline is `PACKAGE`."""

    def run(*command: str) -> str:
        done = subprocess.run(["git", *command], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipelines.submit.package.COMPILED", tmp_path)
    run("init", "-q")
    (tmp_path / "training.yaml").write_text(PACKAGE.text)
    run("add", "training.yaml")
    run("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "a")
    return run


def test_a_version_is_named_by_commit_and_change(git: Callable[..., str], tmp_path: Path) -> None:
    name = f"{__version__}+g{git('rev-parse', '--short=12', 'HEAD')}"
    assert version_name(PACKAGE) == version_name(PACKAGE, f"v{__version__}") == name
    with pytest.raises(ConfigError, match=f"expected v{__version__}"):
        version_name(PACKAGE, "v9.9.9")
    (tmp_path / "training.yaml").write_text("changed")
    assert version_name(PACKAGE).startswith(f"{name}.d")
    with pytest.raises(ConfigError, match="differs"):
        version_name(PACKAGE, f"v{__version__}")


def test_without_a_checkout_there_is_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no git checkout"):
        version_name(PACKAGE)


def test_another_cluster_at_the_same_commit_is_another_version(git: Callable[..., str]) -> None:
    plain = version_name(PACKAGE)
    names = {
        version_name(parse_package(PACKAGE.text.replace(old, new), "changed"))
        for old, new in (("mome-work", "work-of-staging"), ("image: mome-", "image: r.example.org/mome-"))
    }
    assert len(names) == 2
    assert all(name.startswith(f"{plain}.d") for name in names)


@pytest.mark.parametrize("document", [0, 1])
def test_a_change_of_either_document_is_another_pipeline(document: int) -> None:
    kept = stored(PACKAGE.text)
    assert PACKAGE.same(kept)
    if document == 0:
        kept["pipeline_spec"]["root"]["dag"]["tasks"].popitem()
    else:
        kept["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].popitem()
    assert not PACKAGE.same(kept)
    assert not PACKAGE.same(None)


def test_a_pipeline_for_any_platform_comes_back_as_one_document() -> None:
    kept = stored(PACKAGE.text)
    single = parse_package(yaml.safe_dump(kept["pipeline_spec"]), "single")
    assert single.same(kept["pipeline_spec"])
    assert not single.same(kept)


def test_both_versions_of_a_commit_are_on_the_server_and_a_run_has_its_own(
    server: Server, tmp_path: Path, git: Callable[..., str]
) -> None:
    other = tmp_path / "elsewhere" / "other.yaml"
    other.parent.mkdir()
    other.write_text(PACKAGE.text.replace("mome-work", "work-of-staging"))
    named = ["--version", "", "--params", str(ROOT / "params.yaml")]
    for source in ("training", str(other)):
        assert submit(server, tmp_path, source, "--upload-only", *named)[0] == 0
    assert len({version.display_name for version in server.versions}) == 2
    assert submit(server, tmp_path, str(other), *named)[0] == 0
    assert server.runs[0].pipeline_version_reference["pipeline_version_id"] == "v2"


def test_a_version_with_another_content_is_refused(server: Server, tmp_path: Path) -> None:
    assert submit(server, tmp_path, "--upload-only")[0] == 0
    kept = server.versions[0].pipeline_spec["pipeline_spec"]
    kept["root"]["dag"]["tasks"].popitem()
    code, result, _ = submit(server, tmp_path)
    assert (code, len(server.runs)) == (1, 0)
    assert "another content" in result["outcome"]["reason"]


HEAD = "pipelineInfo: {name: x}\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD + "root: null\n",
        HEAD + "root: {dag: {tasks: {a: {componentRef: {name: comp-a}}}}}\n",
        HEAD + "root: {dag: {tasks: {a: {taskInfo: {name: a}}}}}\n",
        HEAD
        + "root: {dag: {tasks: {a: {componentRef: {name: c}, dependentTasks: [b]},"
        + " b: {componentRef: {name: c}, dependentTasks: [a]}}}}\n"
        + "components: {c: {executorLabel: e}}\n",
        HEAD
        + "root: {dag: {tasks: {a: {componentRef: {name: c}}}}}\n"
        + "components: {c: {dag: {tasks: {a: {componentRef: {name: c}}}}}}\n",
        HEAD + "root: {}\ndeploymentSpec: {executors: {e: {container: {}}}}\n",
        HEAD + "root: {}\n---\nplatforms: 3\n",
        "pipelineInfo: {}\nroot: {}\n",
        "pipelineInfo: {name: 1}\n",
        "[]\n",
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n",
        "a: [\n",
    ],
)
def test_what_is_no_pipeline_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"p\.yaml: no compiled pipeline"):
        parse_package(text, "p.yaml")
