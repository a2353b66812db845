"""A corpus revision becomes a dataset, whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data import prepare, version
from data.archive import file_sums
from mome.errors import ConfigError, RevisionError
from mome.speech.faces.models import FaceModels
from mome.speech.shards import read_manifest, read_split

GRID, FACE = Path("../shared/corpora/grid"), Path("../shared/models/face")


@pytest.fixture
def revision(tmp_path, make_corpus, prepare_params):
    make_corpus(tmp_path / "talk")
    return version.run(str(tmp_path / "talk"), prepare_params, tmp_path / "registry")


def test_every_recording_is_in_the_dataset_with_its_sound(tmp_path, revision, prepare_params):
    prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "dataset")
    about = json.loads((tmp_path / "dataset" / "corpus.json").read_text())
    assert about == {
        "name": "talk",
        "revision": revision.revision,
        "modality": "audio",
        "speaker_disjoint": False,
        "cropping": {"detector": "cascade"},
    }
    found = dict(read_split(tmp_path / "dataset", "train"))
    assert [utterance.utterance_id for utterance in found] == ["wavs-ann0", "wavs-ann1", "wavs-ann2"]
    for utterance, clip in found.items():
        recorded, _ = soundfile.read(tmp_path / "talk" / "wavs" / f"{utterance.utterance_id[5:]}.wav")
        assert np.abs(clip.samples - recorded).max() < 1e-4
        assert utterance.transcript == "hello there"


def test_shards_have_the_size_that_was_asked_for(tmp_path, revision, prepare_params):
    params = prepare_params.model_copy(update={"utterances_per_shard": 2})
    prepare.run(params, revision.repo, revision.revision, tmp_path / "dataset")
    names = sorted(path.name for path in (tmp_path / "dataset" / "shards").iterdir())
    assert names == ["test-00000.tar", "train-00000.tar", "train-00001.tar", "validation-00000.tar"]
    assert len(read_manifest(tmp_path / "dataset")) == 5


def test_two_processes_give_what_one_gives(tmp_path, revision, prepare_params, monkeypatch):
    prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "one")
    monkeypatch.setattr(prepare, "_WORTH_A_PROCESS", 1)
    prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "two", processes=2)
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) == 5
    assert all(
        (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files
    )


def test_the_recordings_of_one_shard_are_shared_out_among_processes(tmp_path):
    shard = ("train-00000.tar", list(range(40)))
    read = partial(_read_beside_another, tmp_path)
    found = list(prepare._read_each([shard], read, processes=2))
    assert [number for number, _ in found] == list(range(40))
    assert len({process for _, process in found}) == 2


def _read_beside_another(folder, shard):
    """Stand in for reading: wait until a second process has been given something as well."""
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    return [(number, os.getpid()) for number in shard[1]]


def test_no_process_at_all_is_refused(tmp_path, revision, prepare_params):
    with pytest.raises(ConfigError, match="processes is 0, expected at least 1"):
        prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "dataset", processes=0)


def test_a_failed_run_leaves_the_last_dataset(tmp_path, revision, prepare_params, monkeypatch):
    prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "dataset")
    before = read_manifest(tmp_path / "dataset")

    def hidden():
        return [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]

    def dies(*_):
        raise KeyboardInterrupt

    with pytest.raises(RevisionError):
        prepare.run(prepare_params, revision.repo, "f" * 40, tmp_path / "dataset")
    assert not hidden(), "nothing was done that one could go on with"
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "write_manifest", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "dataset")
    assert read_manifest(tmp_path / "dataset") == before
    assert len(hidden()) == 1
    prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "dataset")
    assert read_manifest(tmp_path / "dataset") == before
    assert not hidden()


def test_killed_midway_it_goes_on_where_it_was_and_ends_with_the_same_bytes(
    tmp_path, revision, prepare_params, monkeypatch
):
    params = prepare_params.model_copy(update={"utterances_per_shard": 1})
    prepare.run(params, revision.repo, revision.revision, tmp_path / "whole")
    # A real process that is killed with its third shard half measured.
    program = f"""
import os, signal
from data import prepare
from mome.config import PrepareParams
measure, asked = prepare.measure, []
def dies_at_the_third(*given):
    asked.append(given)
    if len(asked) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(*given)
prepare.measure = dies_at_the_third
params = PrepareParams.model_validate_json({params.model_dump_json()!r})
prepare.run(params, {revision.repo!r}, {revision.revision!r}, prepare.Path({str(tmp_path / "resumed")!r}))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert not (tmp_path / "resumed").exists()
    measured = []
    measure = prepare.measure
    monkeypatch.setattr(prepare, "measure", lambda *given: measured.append(given[0]) or measure(*given))
    prepare.run(params, revision.repo, revision.revision, tmp_path / "resumed")
    assert len(measured) == 3, "two of the five were done"
    assert file_sums(tmp_path / "resumed") == file_sums(tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} >= {"whole", "resumed"}
    assert not list(tmp_path.glob(".*.part"))


def test_a_shard_that_was_damaged_meanwhile_is_prepared_again(
    tmp_path, revision, prepare_params, monkeypatch
):
    prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "whole")

    def dies(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "write_manifest", dies)
        with pytest.raises(KeyboardInterrupt):
            prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "resumed")
    (left,) = tmp_path.glob(".resumed.*.part")
    (left / "shards" / "train-00000.tar").write_bytes(b"")
    (left / ".done" / "test-00000.tar.jsonl").write_text('{"utterance_id": ')
    prepare.run(prepare_params, revision.repo, revision.revision, tmp_path / "resumed")
    assert file_sums(tmp_path / "resumed") == file_sums(tmp_path / "whole")


@pytest.mark.skipif(not GRID.is_dir(), reason="the shared recordings are not on this machine")
@pytest.mark.parametrize("with_landmarks", [False, True])
def test_a_real_talking_face_gives_sound_and_a_mouth(with_landmarks, tmp_path, prepare_params):
    # Three of them: all that lie there now would take minutes.
    corpus = tmp_path / "grid"
    corpus.mkdir()
    for name in ("bbaf2n.mpg", "lwbsza.mpg", "swiz3n.mpg"):
        (corpus / name).symlink_to((GRID / name).resolve())
    if with_landmarks and not FACE.is_dir():
        pytest.skip("the shared models are not on this machine")
    params = prepare_params
    if with_landmarks:
        names = {"face_detector": "face_detection_short_range", "face_landmarks": "face_landmark"}
        models = {name: str(FACE / f"{file}.tflite") for name, file in names.items()}
        params = params.model_copy(update=models)
    found = version.run(str(corpus), params, tmp_path / "registry")
    prepare.run(params, found.repo, found.revision, tmp_path / "dataset")
    copied = {path.name for path in (tmp_path / "dataset").glob("face_models/*")}
    assert copied == ({"detector.tflite", "landmarks.tflite"} if with_landmarks else set())
    about = json.loads((tmp_path / "dataset" / "corpus.json").read_text())
    assert about["cropping"] == FaceModels.of(tmp_path / "dataset").cropping()
    for utterance in read_manifest(tmp_path / "dataset"):
        assert utterance.has_video
        assert (utterance.faces, utterance.mouth_problem) == (1, "")
        assert utterance.mouth_confidence > 0.9
        assert utterance.sync_offset_frames is not None
        assert abs(utterance.sync_offset_frames) <= 1
        assert (utterance.native_fps, utterance.num_frames, utterance.native_sampling_rate) == (
            25.0,
            75,
            44_100,
        )
        assert utterance.mouth_found_share > 0.9
        assert abs(utterance.duration_s - 3) < 0.1
