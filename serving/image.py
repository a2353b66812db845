"""The container of the Bento: the project's own requirements, at the versions that were tried."""

from __future__ import annotations

import tomllib
from pathlib import Path

import bentoml

from mome.errors import ConfigError

__all__ = ["ROOT", "container_image"]

ROOT = Path(__file__).resolve().parents[1]  # of the repository; inside a Bento, of its copy

# As pip sees it from env/python/requirements.txt of a Bento, whose files lie under src/.
_CONSTRAINTS = "-c ../../src/constraints.txt"


def container_image(root: Path = ROOT) -> bentoml.images.Image:
    """Describe the container: core and ``serving`` requirements of ``pyproject.toml``, constrained.

    BentoML's own locking is off: it resolves against the package index while building, and would
    choose versions that nobody tried.

    Raises:
        ConfigError: If ``pyproject.toml`` is missing or has no ``serving`` extra.
    """
    path = root / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text())["project"]
        requirements = [*project["dependencies"], *project["optional-dependencies"]["serving"]]
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; the container's requirements stand there") from None
    except (KeyError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: no requirements of the serving extra: {error}") from error
    image = bentoml.images.Image(python_version="3.11", lock_python_packages=False)
    # The container installs before it copies the project: the constraints are needed that early.
    return image.build_include("constraints.txt").python_packages(_CONSTRAINTS, *requirements)
