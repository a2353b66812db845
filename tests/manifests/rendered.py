"""The manifests as a cluster would get them, rendered by kubectl or kustomize."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
INSTEAD = {"kserve", "request-log-database"}  # components that take objects of the base away
EVERYTHING = "everything"  # overlays/cpu with every other component beside those that it has

Manifest = dict[str, Any]


def build(folder: Path) -> str:
    """Return the YAML of a kustomization; a machine that has no tool for it skips the test."""
    if shutil.which("kustomize"):
        command = ["kustomize", "build"]
    elif shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    else:
        pytest.skip("neither kubectl nor kustomize is installed")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def rendered(name: str) -> tuple[Manifest, ...]:
    """Return the objects of an overlay."""
    return tuple(yaml.safe_load_all(build(MANIFESTS / "overlays" / name)))


def with_components(
    folder: Path,
    names: Sequence[str] = tuple(name for name in COMPONENTS if name not in INSTEAD),
    overlay: str = "cpu",
) -> tuple[Manifest, ...]:
    """Return the objects of an overlay with components beside those that it has."""
    shutil.copytree(MANIFESTS, folder / "manifests")
    path = folder / "manifests" / "overlays" / overlay / "kustomization.yaml"
    content = yaml.safe_load(path.read_text())
    own = content["components"]
    content["components"] = [*own, *(f for n in names if (f := f"../../components/{n}") not in own)]
    path.write_text(yaml.safe_dump(content))
    return tuple(yaml.safe_load_all(build(path.parent)))


def of_kind(objects: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    """Return the objects of some kinds."""
    return [found for found in objects if found["kind"] in kinds]


def named(objects: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """Return one object; a generated ConfigMap by its name before the hash."""
    (found,) = (
        found
        for found in of_kind(objects, kind)
        if found["metadata"]["name"] == name
        or (kind == "ConfigMap" and found["metadata"]["name"].rpartition("-")[0] == name)
    )
    return found


def pods(objects: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """Return the pod template of every workload, by the workload's name."""
    templates = {}
    for found in of_kind(objects, "Deployment", "CronJob", "Job"):
        spec = found["spec"]
        spec = spec["jobTemplate"]["spec"] if found["kind"] == "CronJob" else spec
        templates[found["metadata"]["name"]] = spec["template"]
    return templates


def containers(objects: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Yield every container with ``workload/container`` as its name."""
    for workload, template in pods(objects).items():
        for found in [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]:
            yield f"{workload}/{found['name']}", found


def container(objects: tuple[Manifest, ...], name: str) -> Manifest:
    """Return the container that `containers` gives that name."""
    return dict(containers(objects))[name]


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Tell whether a selector of labels alone matches; an empty one matches everything."""
    return selector.get("matchLabels", {}).items() <= labels.items()
