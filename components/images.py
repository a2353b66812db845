"""The container images of the steps: what each holds, how it is called, and what its content is now."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from mome import __version__

__all__ = ["FOLDERS", "fingerprint", "image"]

ROOT = Path(__file__).parent.parent

# An image holds the library, the folder of its tool, and the locked dependencies; nothing else of
# this repository can change what a step computes. The step's own source travels in its command.
FOLDERS = {
    "data": ("mome", "data"),
    "train": ("mome",),
    "serving": ("mome", "serving"),
    "monitoring": ("mome", "monitoring", "components/check_drift", "components/request_retraining"),
    "rehearsal": ("mome", "serving", "monitoring", "components/rehearse"),
}


def image(name: str) -> str:
    """Return the address of an image.

    ``MOME_IMAGE_REGISTRY`` (host and path) and ``MOME_IMAGE_TAG`` say where a cluster finds it; the
    tag is the project's version unless told otherwise, and never a moving one.

    Raises:
        KeyError: If there is no image of that name in `FOLDERS`.
    """
    if name not in FOLDERS:
        raise KeyError(f"no image {name!r}: expected one of {', '.join(sorted(FOLDERS))}")
    registry = os.environ.get("MOME_IMAGE_REGISTRY", "").rstrip("/")
    tag = os.environ.get("MOME_IMAGE_TAG", __version__)
    return f"{registry}/mome-{name}:{tag}" if registry else f"mome-{name}:{tag}"


def fingerprint(name: str, root: Path = ROOT) -> str:
    """Return a digest of what the image would hold if it were built from ``root`` now.

    It is the image's identity where no image is built: the local cache of steps reuses a result
    only while this stays the same (docs/adr/0003-local-cache.md).
    """
    digest = hashlib.sha256()
    files = [root / "constraints.txt"]
    for folder in FOLDERS[name]:
        files += sorted(path for path in (root / folder).rglob("*") if path.is_file() and _is_source(path))
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts and not path.name.startswith(".") and path.suffix != ".md"
