"""Which models find a face: files that travel with the data set and with every model taught on it.

What a model was taught on was cut out by these; a service that cuts otherwise shows it other mouths.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from mome.config import NO_MODEL, PrepareParams

__all__ = ["CASCADE", "FaceModels"]

_FOLDER = "face_models"


@dataclass(frozen=True)
class FaceModels:
    """Files of the models; without any, OpenCV's cascade finds the face.

    Args:
        detector: YuNet as ``.onnx`` or BlazeFace as ``.tflite``; None for the cascade.
        landmarks: MediaPipe's face mesh as ``.tflite``; None takes what the detector knows.
    """

    detector: Path | None = None
    landmarks: Path | None = None

    def __bool__(self) -> bool:
        return self != CASCADE

    @classmethod
    def named(cls, params: PrepareParams) -> FaceModels:
        """Return those that the section ``prepare`` names."""
        paths = (params.face_detector, params.face_landmarks)
        return cls(*(None if path == NO_MODEL else Path(path) for path in paths))

    @classmethod
    def of(cls, folder: Path) -> FaceModels:
        """Return those that were copied into a folder; none if none were."""
        found = {path.stem: path for path in sorted((folder / _FOLDER).glob("*"))}
        return cls(found.get("detector"), found.get("landmarks"))

    def copy_into(self, folder: Path) -> FaceModels:
        """Copy the files, for whoever has to cut mouths alike later, and return the copies."""
        for name, path in self._files().items():
            (folder / _FOLDER).mkdir(exist_ok=True)
            shutil.copyfile(path, folder / _FOLDER / f"{name}{path.suffix}")
        return FaceModels.of(folder)

    def cropping(self) -> dict[str, str]:
        """Return how mouths are cut, in words: the sum of each model, or the cascade."""
        sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self._files().items()}
        return {"detector": "cascade", **sums}

    def _files(self) -> dict[str, Path]:
        files = {"detector": self.detector, "landmarks": self.landmarks}
        return {name: path for name, path in files.items() if path is not None}


CASCADE = FaceModels()
