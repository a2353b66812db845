"""The layers of the images together install what the project names, each package once, and torch in one."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from components.layers import LAYERS, requirements
from mome.errors import ConfigError

ROOT = Path(__file__).parents[2]
DATA = ("steps", "media", "data")
MONITOR = ("steps", "monitor")
SERVE = ("steps", "media", "model", "serve")


def names(*layers: str) -> list[str]:
    lines = [line for layer in layers for line in requirements(layer)]
    return [line.partition(">")[0].partition("=")[0].strip() for line in lines]


def test_a_model_is_installed_where_one_is_loaded_and_nowhere_else() -> None:
    assert {"torch", "transformers", "peft"} <= set(names(*SERVE))
    for image in (DATA, MONITOR):
        assert not {"torch", "transformers", "peft"} & set(names(*image))
    assert "av" in names(*DATA)
    assert "av" not in names(*MONITOR)


@pytest.mark.parametrize("image", [DATA, MONITOR, SERVE, ("steps", "media", "model", "train")])
def test_every_image_can_be_a_step_and_no_package_is_installed_twice(image: tuple[str, ...]) -> None:
    found = names(*image)
    assert {"kfp", "numpy", "pydantic"} <= set(found)
    assert len(found) == len(set(found))


def test_the_layers_leave_no_dependency_of_the_library_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = {line for layer in LAYERS for line in requirements(layer)}
    assert set(project["dependencies"]) <= installed


def test_a_dependency_that_the_project_dropped_is_named(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text((ROOT / "pyproject.toml").read_text().replace('"soundfile', '"soundfail'))
    with pytest.raises(ConfigError, match="a layer names soundfile, no dependency does"):
        requirements("media", project)


def test_an_extra_that_the_project_dropped_is_named(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text((ROOT / "pyproject.toml").read_text().replace("\nmonitoring = ", "\nwatching = "))
    with pytest.raises(ConfigError, match=r"no extra 'monitoring'; found .*watching"):
        requirements("monitor", project)


WITHOUT = """
import importlib, pkgutil, sys
missing = set(sys.argv[1].split(","))
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
for module in pkgutil.walk_packages([sys.argv[2]], f"{sys.argv[2]}."):
    print(importlib.import_module(module.name).__name__)
"""


@pytest.mark.parametrize(
    ("folder", "layers"), [("data", ["model"]), ("monitoring", ["media", "model"])], ids=["data", "monitor"]
)
def test_a_tool_needs_no_package_of_a_layer_that_its_image_is_without(folder: str, layers: list[str]) -> None:
    left_out = {package for layer in layers for package in LAYERS[layer].library}
    # As they are imported: opencv-python-headless is cv2.
    modules = [name for name, owners in packages_distributions().items() if left_out & set(owners)]
    assert len(modules) >= len(left_out)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(modules), folder],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) > 5
