"""Every component folder is complete, described, and thin."""

import ast
import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from components import catalogue
from components.images import image
from components.readme import readme

FOLDER = Path(__file__).parents[2] / "components"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/component.py"))


def test_the_catalogue_holds_every_folder() -> None:
    assert catalogue.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_holds_what_the_kubeflow_catalogue_asks_for(name: str) -> None:
    metadata = yaml.safe_load((FOLDER / name / "metadata.yaml").read_text())
    # In this order: the catalogue's own check (scripts/validate_metadata) asks for it.
    assert list(metadata) == ["name", "stability", "dependencies", "tags", "lastVerified"]
    assert metadata["name"] == name
    assert metadata["stability"] in {"experimental", "alpha", "beta", "stable"}
    assert metadata["tags"][0] == "speech-recognition"
    assert len(set(metadata["tags"])) == len(metadata["tags"]) >= 2
    assert metadata["dependencies"].keys() <= {"kubeflow", "external_services"}
    assert "Pipelines" in {each["name"] for each in metadata["dependencies"]["kubeflow"]}
    assert (FOLDER / name / "README.md").read_text() == readme(name), "run `make readme`"


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_has_an_owner(name: str) -> None:
    first, second, *_ = (FOLDER / name / "OWNERS").read_text().splitlines()
    assert first == "approvers:"
    assert re.fullmatch(r"  - [\w-]+", second)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_asks_for_the_oldest_version_that_the_project_takes(name: str) -> None:
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    needed = [Requirement(line) for group in project["optional-dependencies"].values() for line in group]
    floors = {
        each.name: {part.version for part in each.specifier if part.operator == ">="} for each in needed
    }
    dependencies = yaml.safe_load((FOLDER / name / "metadata.yaml").read_text())["dependencies"]
    for service in dependencies["kubeflow"] + dependencies.get("external_services", []):
        # One bound, and a whole semantic version: the catalogue reads no other.
        asked = re.fullmatch(r">=(\d+\.\d+\.\d+)", service["version"])
        assert asked, service
        package = service["name"].lower().replace(" ", "-")
        assert {Version(floor) for floor in floors.get(package, {asked[1]})} == {Version(asked[1])}, service


@pytest.mark.parametrize("name", NAMES)
def test_a_component_is_looked_at_again_within_a_year(name: str) -> None:
    verified = yaml.safe_load((FOLDER / name / "metadata.yaml").read_text())["lastVerified"]
    # A machine's clock may run a day behind the one that wrote the file.
    age = datetime.now(UTC) - verified
    assert timedelta(days=-1) <= age <= timedelta(days=365), "run it on a current Kubeflow, set lastVerified"


@pytest.mark.parametrize("name", NAMES)
def test_inputs_and_outputs_are_described(name: str) -> None:
    spec = getattr(catalogue, name).component_spec
    for title, port in ((spec.inputs or {}) | (spec.outputs or {})).items():
        assert port.description, f"{name}: {title}"


@pytest.mark.parametrize("name", NAMES)
def test_a_body_converts_and_calls(name: str) -> None:
    tree = ast.parse((FOLDER / name / "component.py").read_text())
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    thinking = (ast.For, ast.While, ast.If, ast.IfExp, ast.Try, ast.With, ast.comprehension, ast.Lambda)
    assert not [node for node in ast.walk(function) if isinstance(node, thinking)]
    top = {
        node.module.split(".")[0] for node in tree.body if isinstance(node, ast.ImportFrom) and node.module
    }
    assert top <= {"kfp", "components", "typing"}


def test_the_folder_a_step_imports_from_brings_no_kfp() -> None:
    for path in [FOLDER / "__init__.py", *FOLDER.glob("*/__init__.py")]:
        assert not [node for node in ast.parse(path.read_text()).body if not isinstance(node, ast.Expr)], path


def test_an_image_is_called_by_version_and_a_cluster_may_say_where_it_lies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert image("data").startswith("mome-data:")
    monkeypatch.setenv("MOME_IMAGE_REGISTRY", "registry.example/team/")
    monkeypatch.setenv("MOME_IMAGE_TAG", "1.2.3")
    assert image("train") == "registry.example/team/mome-train:1.2.3"
    with pytest.raises(KeyError, match="no image 'dta': expected one of data,"):
        image("dta")
