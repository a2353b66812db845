"""What is installed into each layer of the images; layers that images share are stored once.

    steps ──┬── media ──┬── data
            │           └── model ──┬── train
            └── monitor             └── serve

python -m components.layers write FOLDER     a requirements file per layer, and all.txt for all together
python -m components.layers install LAYER    from wheels alone, as the Containerfile does it

Needs nothing but Python: it runs where nothing is installed yet.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from components.bytecode import compile_imports
from components.unneeded import prune
from mome.errors import ConfigError

__all__ = ["LAYERS", "SUBMITTING", "requirements"]

PROJECT = Path(__file__).parent.parent / "pyproject.toml"
_BUILD = Path("/layers")  # of the Containerfile: pip, wheels and requirements, mounted while it builds
_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Layer(NamedTuple):
    """Packages of the library by name, and extras of the project."""

    library: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()


# Data and monitoring never load a model, and monitoring opens no recording: their images go without.
LAYERS = {
    "steps": Layer(extras=("pipelines",)),  # with all that the library needs and no other layer names
    "media": Layer(library=("av", "espeakng-loader", "opencv-python-headless", "soundfile")),
    "model": Layer(library=("peft", "silero-vad", "torch", "transformers")),
    "data": Layer(extras=("data",)),
    "train": Layer(extras=("trainer",)),
    # The rehearsal watches what it serves.
    "serve": Layer(extras=("serving", "monitoring", "database", "registry")),
    "monitor": Layer(extras=("monitoring", "database")),
}

# What kfp submits runs with, which no step does. A later layer that needs one brings it again.
SUBMITTING = (
    "google-api-core",
    "google-cloud-core",
    "google-cloud-storage",
    "google-crc32c",
    "google-resumable-media",
    "googleapis-common-protos",
    "kfp-server-api",
    "kubernetes",
    "oauthlib",
    "proto-plus",
    "requests-oauthlib",
    "requests-toolbelt",
)


def requirements(layer: str, project: Path = PROJECT) -> list[str]:
    """Return the requirements of a layer as pyproject.toml writes them; constraints.txt has the versions.

    Raises:
        ConfigError: If pyproject.toml lacks an extra or a package that a layer names.
    """
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    needed = {_name(line): line for line in table["dependencies"]}
    elsewhere = [name for other in LAYERS.values() for name in other.library]
    if unknown := set(elsewhere) - needed.keys():
        raise ConfigError(f"{project}: a layer names {', '.join(sorted(unknown))}, no dependency does")
    library = (
        [name for name in needed if name not in elsewhere] if layer == "steps" else LAYERS[layer].library
    )
    return [needed[name] for name in library] + [
        line for extra in LAYERS[layer].extras for line in _extra(table, extra, project)
    ]


def _extra(table: dict[str, Any], extra: str, project: Path) -> list[str]:
    extras: dict[str, list[str]] = table["optional-dependencies"]
    if extra not in extras:
        raise ConfigError(f"{project}: no extra {extra!r}; found {', '.join(sorted(extras))}")
    # The project itself is copied into the image, never installed.
    return [line for line in extras[extra] if _name(line) != table["name"]]


def _name(requirement: str) -> str:
    match = _NAME.match(requirement)
    assert match is not None  # pip has read this line before
    return match.group().lower().replace("_", "-")


def _write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for layer in LAYERS:
        (folder / f"{layer}.txt").write_text("".join(f"{line}\n" for line in requirements(layer)))
    (folder / "all.txt").write_text("".join(f"--requirement {layer}.txt\n" for layer in LAYERS))


def _install(layer: str) -> None:
    """Install into the environment of this Python, with a pip that stays outside of it."""
    packages = Path(sysconfig.get_path("purelib"))
    pip = [str(_BUILD / "pip/bin/pip"), "--python", str(packages.parents[2])]
    wheels = ["--no-index", "--find-links", str(_BUILD / "wheels"), "--no-cache-dir", "--no-input"]
    wanted = ["--constraint", str(_BUILD / "constraints.txt"), "--requirement", str(_BUILD / f"{layer}.txt")]
    # kfp misses what was uninstalled, and says so in every later layer.
    options = ["--quiet", "--no-compile", "--no-warn-conflicts"]
    subprocess.run([*pip, "install", *options, *wheels, *wanted], check=True)
    if layer == "steps":
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *SUBMITTING], check=True)
    saved = prune(packages, layer)
    print(f"{layer}: without {saved / 1e6:.0f} MB that no step reads")
    compile_imports(layer)


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m components.layers", description="What is installed into each layer of the images."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="write a requirements file per layer")
    write.add_argument("folder", type=Path)
    install = commands.add_parser("install", help="install a layer while an image is built")
    install.add_argument("layer", choices=LAYERS)
    given = parser.parse_args()
    if given.command == "write":
        _write(given.folder)
    else:
        _install(given.layer)


if __name__ == "__main__":
    _command()
