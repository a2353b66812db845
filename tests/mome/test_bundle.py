from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mome.bundle import Bundle, read_bundle, write_bundle
from mome.errors import BundleError
from mome.records import Promise
from mome.scales import Scale
from mome.speech.faces.models import CASCADE, FaceModels
from tests.serving.planted import write_parts

FINE, COARSE = Scale(4, 2), Scale(16, 5)


def write(folder: Path, *, passed: bool = True, default_scale: Scale = COARSE) -> Bundle:
    parts = write_parts(folder / "parts", passed=passed)
    return write_bundle(name="m", default_scale=default_scale, output=folder / "bundle", **parts)


def test_a_bundle_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = write(tmp_path)

    read = read_bundle(tmp_path / "bundle")

    assert read == written
    assert read.scales == (FINE, COARSE)  # finest first
    assert (read.name, read.default_scale) == ("m", COARSE)
    assert (read.checkpoint / "model.safetensors").is_file()
    assert read.baseline.is_file()


def test_a_bundle_holds_the_models_that_cut_out_the_mouths(tmp_path: Path) -> None:
    parts = write_parts(tmp_path / "parts")
    (tmp_path / "mesh.tflite").write_bytes(b"a mesh")
    FaceModels(landmarks=tmp_path / "mesh.tflite").copy_into(parts["checkpoint"])

    bundle = write_bundle(name="m", default_scale=COARSE, output=tmp_path / "bundle", **parts)

    assert bundle.face_models == FaceModels(None, bundle.checkpoint / "face_models" / "landmarks.tflite")
    assert write(tmp_path / "without").face_models == CASCADE


def test_every_file_has_its_sha256(tmp_path: Path) -> None:
    bundle = write(tmp_path)

    sums = json.loads((bundle.path / "bundle.json").read_text())["files"]

    files = [path for path in bundle.path.rglob("*") if path.is_file() and path.name != "bundle.json"]
    assert sums == {
        path.relative_to(bundle.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_the_version_depends_on_the_content_alone(tmp_path: Path) -> None:
    first, again = write(tmp_path / "first"), write(tmp_path / "again")
    other = write(tmp_path / "other", default_scale=FINE)

    assert first.version == again.version
    assert first.version != other.version


def test_the_promise_travels_with_it_and_one_from_before_that_is_still_read(tmp_path: Path) -> None:
    silent = write(tmp_path / "silent")
    parts = write_parts(tmp_path / "parts")
    promise = Promise(max_wer={"av": 0.08}, confidence=0.9)
    bundle = write_bundle(
        name="m", default_scale=COARSE, output=tmp_path / "bundle", promise=promise, **parts
    )
    assert read_bundle(bundle.path).promise == promise
    assert bundle.version != silent.version
    manifest = json.loads((silent.path / "bundle.json").read_text())
    assert manifest.pop("promise") is None
    (silent.path / "bundle.json").write_text(json.dumps(manifest))  # as it was written then
    assert read_bundle(silent.path) == silent
    changed = json.loads((bundle.path / "bundle.json").read_text())
    changed["promise"]["confidence"] = 0.5
    (bundle.path / "bundle.json").write_text(json.dumps(changed))
    with pytest.raises(BundleError, match="but the content is"):
        read_bundle(bundle.path)


def test_an_older_bundle_is_replaced_whole(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    shutil.rmtree(tmp_path / "parts")
    (bundle.path / "left-over.txt").write_text("old")

    write(tmp_path)

    assert not (bundle.path / "left-over.txt").exists()


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path).path
    (path / "checkpoint" / "config.json").write_text('{"changed": true}\n')

    with pytest.raises(BundleError, match=r"checkpoint/config\.json: was changed"):
        read_bundle(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path).path
    (path / "baseline.parquet").unlink()

    with pytest.raises(BundleError, match=r"baseline\.parquet: missing"):
        read_bundle(path)


def test_an_added_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path).path
    (path / "foundation" / "extra.json").write_text("{}")

    with pytest.raises(BundleError, match=r"foundation/extra\.json: not part of this bundle"):
        read_bundle(path)


def test_another_default_scale_in_the_manifest_is_noticed(tmp_path: Path) -> None:
    manifest = write(tmp_path).path / "bundle.json"
    manifest.write_text(manifest.read_text().replace('"a16v5"', '"a4v2"'))

    with pytest.raises(BundleError, match="version"):
        read_bundle(manifest.parent)


@pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "state.pkl"])
def test_a_pickle_is_refused_by_name(tmp_path: Path, name: str) -> None:
    parts = write_parts(tmp_path / "parts")
    (parts["checkpoint"] / name).write_bytes(b"\x80\x04.")

    with pytest.raises(BundleError, match=f"{name}: may run code"):
        write_bundle(name="m", default_scale=FINE, output=tmp_path / "bundle", **parts)
    assert not (tmp_path / "bundle").exists()


def test_a_pickle_smuggled_in_later_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path).path
    (path / "checkpoint" / "pytorch_model.bin").write_bytes(b"\x80\x04.")

    with pytest.raises(BundleError, match=r"pytorch_model\.bin: may run code"):
        read_bundle(path)


def test_weights_are_needed(tmp_path: Path) -> None:
    parts = write_parts(tmp_path / "parts")
    (parts["checkpoint"] / "model.safetensors").unlink()

    with pytest.raises(BundleError, match=r"checkpoint: no \*\.safetensors"):
        write_bundle(name="m", default_scale=FINE, output=tmp_path / "bundle", **parts)


def test_a_link_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path).path
    (path / "foundation" / "link.json").symlink_to("/etc/hostname")

    with pytest.raises(BundleError, match=r"link\.json: is a link"):
        read_bundle(path)


def test_a_rejected_model_is_not_bundled(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a16v5 is over budget"):
        write(tmp_path, passed=False)
    assert not (tmp_path / "bundle").exists()


def test_a_default_scale_without_evaluation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a8v4 was not evaluated; there are a4v2, a16v5"):
        write(tmp_path, default_scale=Scale(8, 4))


@pytest.mark.parametrize("missing", ["evaluation.json", "baseline.parquet"])
def test_a_missing_part_is_named(tmp_path: Path, missing: str) -> None:
    parts = write_parts(tmp_path / "parts")
    (parts["evaluation"] / missing).unlink()

    with pytest.raises(BundleError, match=f"{missing}: no such file"):
        write_bundle(name="m", default_scale=FINE, output=tmp_path / "bundle", **parts)


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such folder"):
        read_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        read_bundle(tmp_path)


def test_a_scale_can_be_asked_for_if_the_table_has_it_and_something_reads_it(tmp_path: Path) -> None:
    bundle = write(tmp_path)
    assert bundle.readable([FINE]) == (FINE,)
    assert bundle.readable([COARSE, Scale(8, 3), FINE]) == (FINE, COARSE), "a8v3 was not evaluated"
    table = bundle.evaluation.model_copy(update={"untrained": (str(COARSE),)})
    assert replace(bundle, evaluation=table).readable([FINE]) == (FINE, COARSE)
