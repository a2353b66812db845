"""Models of faces, loaded from their files once in each thread: a network keeps buffers while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

import cv2

from mome.errors import ConfigError
from mome.speech.faces.blazeface import BlazeFace
from mome.speech.faces.mesh import FaceMesh
from mome.speech.faces.models import FaceModels
from mome.speech.faces.yunet import YuNet

__all__ = ["Detector", "Loaded", "load_faces"]

Detector: TypeAlias = BlazeFace | YuNet

_DETECTORS: Mapping[str, Callable[[Path], Detector]] = {".onnx": YuNet, ".tflite": BlazeFace}
_LANDMARKS: Mapping[str, Callable[[Path], FaceMesh]] = {".tflite": FaceMesh}
_local = threading.local()

M = TypeVar("M")


@dataclass(frozen=True)
class Loaded:
    """Models that are ready; None where there is none."""

    detector: Detector | None
    landmarks: FaceMesh | None


def load_faces(models: FaceModels) -> Loaded:
    """Return the models, ready to be used by this thread.

    Raises:
        ConfigError: If a file is missing, or is no such model.
    """
    kept: dict[FaceModels, Loaded] = _local.__dict__.setdefault("models", {})
    if models not in kept:
        kept[models] = Loaded(
            None if models.detector is None else _load(models.detector, _DETECTORS, "detector of faces"),
            None if models.landmarks is None else _load(models.landmarks, _LANDMARKS, "model of landmarks"),
        )
    return kept[models]


def _load(path: Path, kinds: Mapping[str, Callable[[Path], M]], what: str) -> M:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; expected a {what}")
    if path.suffix not in kinds:
        raise ConfigError(
            f"{path}: expected a {what} as {' or '.join(kinds)}, got {path.suffix or 'no ending'}"
        )
    try:
        return kinds[path.suffix](path)
    except (cv2.error, ValueError) as error:
        raise ConfigError(f"{path}: not a {what}: {error}") from error
