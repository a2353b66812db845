"""Models of faces travel as files, and one that is not one is refused by name."""

import hashlib
from pathlib import Path

import pytest

from mome.config import load_params
from mome.errors import ConfigError
from mome.speech.faces.loading import load_faces
from mome.speech.faces.models import CASCADE, FaceModels

SHARED = Path("../shared/models/face")


def test_without_models_the_cascade_is_what_cuts(tmp_path: Path) -> None:
    assert FaceModels.named(load_params().prepare) == CASCADE
    assert CASCADE.copy_into(tmp_path) == FaceModels.of(tmp_path) == CASCADE
    assert list(tmp_path.iterdir()) == []
    assert CASCADE.cropping() == {"detector": "cascade"}


def test_copies_are_found_again_and_cut_alike(tmp_path: Path) -> None:
    mesh = tmp_path / "mesh.tflite"
    mesh.write_bytes(b"a mesh")
    copied = FaceModels(landmarks=mesh).copy_into(tmp_path)
    assert (
        copied == FaceModels.of(tmp_path) == FaceModels(None, tmp_path / "face_models" / "landmarks.tflite")
    )
    assert copied.cropping() == {
        "detector": "cascade",
        "landmarks": hashlib.sha256(b"a mesh").hexdigest(),
    }


@pytest.mark.parametrize("name", ["detector", "landmarks"])
def test_what_is_no_model_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"away\.tflite: no such file; expected a"):
        load_faces(FaceModels(**{name: tmp_path / "away.tflite"}))
    for ending, sentence in ((".pt", "expected a .* got .pt"), (".tflite", "not a ")):
        path = tmp_path / f"noise{ending}"
        path.write_bytes(b"noise" * 50)
        with pytest.raises(ConfigError, match=sentence):
            load_faces(FaceModels(**{name: path}))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the models of ../shared/models/face")
def test_one_model_in_the_place_of_the_other_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected the outputs classificators and regressors, got conv2d_"):
        load_faces(FaceModels(detector=SHARED / "face_landmark.tflite"))
