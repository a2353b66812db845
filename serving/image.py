"""The container of the Bento."""

from __future__ import annotations

from pathlib import Path

import bentoml

__all__ = ["REQUIREMENTS", "container_image"]

REQUIREMENTS = "requirements.txt"  # at the root of the Bento's project, written by serving.package


def container_image() -> bentoml.images.Image | None:
    """Describe the container that the Bento becomes; None in the repository, which becomes none.

    BentoML's own locking is off: it resolves against the package index while building, and would
    choose versions that nobody tried.
    """
    requirements = Path(__file__).resolve().parents[1] / REQUIREMENTS
    if not requirements.is_file():
        return None
    image = bentoml.images.Image(python_version="3.11", lock_python_packages=False)
    return image.python_packages(*requirements.read_text().split())
