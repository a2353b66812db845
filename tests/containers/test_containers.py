"""The four images: size, rights, content, and how long one takes until a step begins."""

import json
import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import ContainerError

from components.images import FOLDERS, image
from mome.errors import ConfigError
from pipelines.containers import RIGHTS, run_container

ROOT = Path(__file__).parents[2]
LARGEST = {"data": 0.9e9, "train": 1.6e9, "serve": 1.9e9, "monitor": 0.8e9}  # with torch for the CPU

# Where a step's work begins, for steps that load no model.
BEGINNINGS = {
    "configure": "mome.changes:configured",
    "version_corpus": "data.version:versioned",
    "prepare": "data.prepare:run",
    "validate": "data.validate:check",
    "gate": "mome.evaluation.gate:judge",
    "promote": "serving.registry.address:open_registry",
    "check_drift": "monitoring.check:run",
}
# Imports the code of an image, of the library what is needed for it, and prints the modules.
IMPORT = """
import importlib, pkgutil, sys

for folder in sys.argv[1:]:
    name = folder.replace("/", ".")
    names = [m.name for m in pkgutil.walk_packages([folder], f"{name}.")]
    for each in [name, *names]:
        if each.rpartition(".")[2] not in ("__main__", "component"):
            print(importlib.import_module(each).__name__)
"""
# Prints how many modules of packages were imported, and the names of those without bytecode.
COMPILED = """
import pathlib

specs = [module.__spec__ for module in list(sys.modules.values()) if getattr(module, "__spec__", None)]
packages = [spec for spec in specs if spec.cached and (spec.origin or "").startswith("/opt/venv/")]
print(len(packages), *(spec.name for spec in packages if not pathlib.Path(spec.cached).exists()))
"""
# Python reads this when it starts: the function ends the process, and says when it was called.
PROBE = """
import importlib.machinery, json, os, sys, time

module, function = os.environ["PROBE"].split(":")

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != module:
            return None
        spec = super().find_spec(name, path, target)
        execute = spec.loader.exec_module

        def watched(loaded):
            execute(loaded)
            setattr(loaded, function, began)

        spec.loader.exec_module = watched
        return spec

def began(*arguments, **named):
    print(json.dumps({"began": time.time(), "torch": "torch" in sys.modules}), flush=True)
    os._exit(0)

sys.meta_path.insert(0, Finder)
"""


def said(client: docker.DockerClient, name: str, *command: str, **options: Any) -> str:
    output: bytes = client.containers.run(image(name), list(command), remove=True, **(RIGHTS | options))
    return output.decode()


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


@pytest.mark.parametrize("name", FOLDERS)
def test_an_image_is_small_and_its_user_a_number(client: docker.DockerClient, name: str) -> None:
    found = client.images.get(image(name))
    print(f"\n{name}: {found.attrs['Size'] / 1e9:.3f} GB")
    assert found.attrs["Size"] <= LARGEST[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found.attrs["Config"]["User"])


@pytest.mark.parametrize("name", FOLDERS)
def test_the_packages_are_the_locked_ones(client: docker.DockerClient, name: str) -> None:
    locked = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    listing = "import json; from importlib.metadata import distributions as all\n"
    listing += "print(json.dumps({found.name: found.version for found in all()}))"
    found = json.loads(said(client, name, "python3", "-c", listing))
    versions = {normal(package): version.partition("+")[0] for package, version in found.items()}
    versions.pop("setuptools", None)  # `pip freeze`, which constraints.txt is made with, leaves it out
    expected = {normal(package): version for package, version in locked.items()}
    assert {package: expected.get(package) for package in versions} == versions
    assert {"kfp", "numpy"} <= versions.keys()
    assert ("torch" in versions) == (name in {"train", "serve"})


def code(name: str) -> list[str]:
    """Return the folders of an image whose every module can be imported in it.

    Of the library each image needs another part; of the folders of its tool, everything. A step's own
    component.py is for those who compile: its function travels in the command.
    """
    folders = [folder for folder in FOLDERS[name] if folder != "mome" and not folder.endswith(".py")]
    return folders + (["mome/training"] if name == "train" else [])


@pytest.mark.parametrize("name", FOLDERS)
def test_what_an_image_holds_can_be_imported_in_it(client: docker.DockerClient, name: str) -> None:
    assert len(said(client, name, "python3", "-c", IMPORT, *code(name)).split()) > 2


@pytest.mark.parametrize("name", FOLDERS)
def test_bytecode_is_there_for_what_steps_import(client: docker.DockerClient, name: str) -> None:
    *_, last = said(client, name, "python3", "-c", IMPORT + COMPILED, *code(name)).splitlines()
    count, *without = last.split()
    print(f"\n{name}: {count} modules, without bytecode {without}")
    assert len(without) <= int(count) / 50


def test_a_step_may_write_nowhere_but_where_it_is_told(client: docker.DockerClient) -> None:
    with pytest.raises(ContainerError, match="Read-only file system"):
        said(client, "data", "touch", "/opt/mome/new")
    with pytest.raises(ContainerError, match="Permission denied"):
        said(client, "data", "touch", "/opt/mome/new", read_only=False)
    assert said(client, "data", "id", "--user") == "1000\n"
    assert said(client, "data", "cat", "/sys/class/net/lo/operstate").strip()
    assert said(client, "data", "ls", "/sys/class/net") == "lo\n"


def test_a_container_that_fails_is_never_taken_for_one_that_does_not(client: docker.DockerClient) -> None:
    codes = [run_container(client, image("data"), ["sh", "-c", "exit 3"], {}, **RIGHTS) for _ in range(20)]
    assert codes == [3] * 20
    assert run_container(client, image("data"), ["true"], {}, **RIGHTS) == 0
    assert client.containers.list(all=True) == []


def test_an_image_that_is_not_there_is_named(client: docker.DockerClient) -> None:
    absent = "mome-data@sha256:" + "0" * 64
    with pytest.raises(ConfigError, match=f"image {absent} is not on this machine: `make images`"):
        run_container(client, absent, ["true"], {})


@pytest.mark.parametrize("step", BEGINNINGS)
def test_a_step_begins_within_three_seconds(
    client: docker.DockerClient, place: Any, monitored: Path, tmp_path: Path, step: str
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "sitecustomize.py").write_text(PROBE)
    started = place.started[step]
    volumes = started.volumes | {str(tmp_path): {"bind": "/probe", "mode": "ro"}}
    environment = {"PYTHONPATH": "/probe:/opt/mome", "PROBE": BEGINNINGS[step]}
    seconds = []
    for _ in range(3):
        container = client.containers.create(
            started.image, started.command, volumes=volumes, environment=environment, **RIGHTS
        )
        try:
            container.start()
            assert container.wait()["StatusCode"] == 0, container.logs().decode()
            container.reload()
            began = json.loads(container.logs().decode().splitlines()[-1])
            assert not began["torch"]
            seconds.append(began["began"] - _seconds(container.attrs["State"]["StartedAt"]))
        finally:
            container.remove(force=True)
    print(f"\n{step}: {min(seconds):.2f} s from the start of the container to its first line of work")
    assert 0 < min(seconds) <= 3.0
    assert time.time() > began["began"]


def _seconds(moment: str) -> float:
    whole, _, fraction = moment.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
