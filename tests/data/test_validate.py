"""Validation passes what is good, says what it found, and stops what is not."""

import json
import re
import subprocess
import sys

import pytest

from data import prepare, validate, version
from mome.errors import CorpusError, ValidationFailed
from mome.records import ValidationReport
from mome.speech.shards import read_manifest, write_manifest
from mome.speech.usable import read_set_aside


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, make_corpus, prepare_params):
    root = tmp_path_factory.mktemp("healthy")
    make_corpus(root / "talk")
    params = prepare_params.model_copy(update={"utterances_per_shard": 8})
    found = version.run(str(root / "talk"), params, root / "registry")
    prepare.run(params, found.repo, found.revision, root / "dataset")
    return root / "dataset"


@pytest.fixture
def altered(dataset, tmp_path):
    """Return a maker of the same dataset with some columns changed in one recording."""

    def make(utterance_id, **changes):
        write_manifest(
            tmp_path,
            [
                u.model_copy(update=changes if u.utterance_id == utterance_id else {})
                for u in read_manifest(dataset)
            ],
        )
        (tmp_path / "corpus.json").write_bytes((dataset / "corpus.json").read_bytes())
        return tmp_path

    return make


def test_a_healthy_corpus_passes_and_the_report_is_written(dataset, tmp_path, validate_params):
    report = validate.run(validate_params, dataset, tmp_path / "report")
    assert report.passed
    assert ValidationReport.read(tmp_path / "report" / "validation.json") == report
    assert report.utterances == {"train": 3, "validation": 1, "test": 1}
    assert report.hours == pytest.approx({"train": 3 / 3600, "validation": 1 / 3600, "test": 1 / 3600})
    assert report.revision == json.loads((dataset / "corpus.json").read_text())["revision"]
    assert {result.name for result in report.results if not result.passed} <= {"snr"}
    assert not [result.name for result in report.results if result.name in ("fps", "mouth_found")]  # no video


def test_the_page_needs_nothing_from_elsewhere(dataset, tmp_path, validate_params):
    validate.run(validate_params, dataset, tmp_path / "report")
    page = (tmp_path / "report" / "validation.html").read_text()
    assert not re.findall(r"(?:src|href)\s*=\s*\"(?!data:)|@import|url\(|<script", page)
    assert page.count("<svg") >= 1
    assert "valid" in page


def test_what_people_wrote_cannot_break_the_page(altered, tmp_path, validate_params):
    folder = altered("wavs-ann0", transcript="<script>alert(1)</script>")
    with pytest.raises(ValidationFailed, match="transcript_in_alphabet"):
        validate.run(validate_params, folder, tmp_path / "report")
    assert "<script" not in (tmp_path / "report" / "validation.html").read_text()


def test_digits_are_for_the_alphabet_to_allow(altered, tmp_path, validate_params):
    folder = altered("wavs-ann0", transcript="in 2015")
    with pytest.raises(ValidationFailed, match=r"transcript_in_alphabet \(1 of 5: wavs-ann0: .* has 2015"):
        validate.run(validate_params, folder, tmp_path / "report")
    allowed = validate_params.model_copy(update={"alphabet": validate_params.alphabet + "0125"})
    assert validate.run(allowed, folder, tmp_path / "report").passed


def test_the_command_takes_a_profile(altered, tmp_path):
    folder = altered("wavs-ann0", transcript="in 2015", duration_s=16.0)
    # Five recordings are fewer than a training needs: nothing else is to be said against them.
    for profile, said in (
        ([], ["enough_train", "few_unusable", "transcript_in_alphabet", "duration"]),
        (["--profile", "lrs3-1b"], ["enough_train"]),
    ):
        command = [sys.executable, "-m", "data.validate", "--dataset", folder, "--output", tmp_path / "out"]
        ended = subprocess.run([*command, *profile], capture_output=True, text=True, check=False)
        assert ended.returncode == 1, ended.stderr
        failed = [
            r.name
            for r in ValidationReport.read(tmp_path / "out" / "validation.json").results
            if not r.passed and r.severity == "critical"
        ]
        assert sorted(failed) == sorted(said)


def test_mixed_rates_are_allowed_when_asked_for(altered, tmp_path, validate_params):
    folder = altered("wavs-ann1", native_sampling_rate=44_100)
    with pytest.raises(ValidationFailed, match=r"one_sampling_rate \(1 of 5: wavs-ann1: sampled at 44100 Hz"):
        validate.run(validate_params, folder, tmp_path / "report")
    allowed = validate_params.model_copy(update={"allow_mixed_rates": True})
    assert validate.run(allowed, folder, tmp_path / "report").passed


def test_a_warning_stops_nothing(altered, tmp_path, validate_params):
    report = validate.run(validate_params, altered("wavs-ann1", clipped_share=0.5), tmp_path / "report")
    assert report.passed
    (clipping,) = (result for result in report.results if result.name == "clipping")
    assert (clipping.severity, clipping.passed, clipping.failing_utterances) == (
        "warning",
        False,
        ["wavs-ann1"],
    )


def many(dataset, folder, number):
    """Write a dataset of ``number`` recordings by repeating the five; its shards are not read here."""
    found = read_manifest(dataset)
    rows = [
        found[i % len(found)].model_copy(
            update={"utterance_id": f"clip-{i}", "split": "train" if i > 1 else ("validation", "test")[i],
                    "speaker": f"s{i}", "rms_db": -20.0 - i / 1000}
        )
        for i in range(number)
    ]  # fmt: skip
    write_manifest(folder, rows)
    (folder / "corpus.json").write_bytes((dataset / "corpus.json").read_bytes())
    return rows


def test_a_few_bad_recordings_are_set_aside_and_named(dataset, tmp_path, validate_params):
    rows = many(dataset, tmp_path, 300)
    rows[7] = rows[7].model_copy(update={"decodable": False, "problem": "lost"})
    rows[8] = rows[8].model_copy(update={"peak": 0.0, "duration_s": 99.0})
    rows[9] = rows[9].model_copy(update={"transcript": "42"})
    write_manifest(tmp_path, rows)
    report = validate.run(validate_params, tmp_path, tmp_path / "report")
    assert report.passed
    assert report.set_aside == {"train": 3}
    assert validate.reason(report).endswith("critical expectations hold; 3 recordings set aside")
    found = {row.utterance_id: row.reasons for row in read_set_aside(tmp_path / "report")}
    assert list(found) == ["clip-7", "clip-8", "clip-9"]
    assert found["clip-7"] == ["lost"]
    assert len(found["clip-8"]) == 2, "each reason"
    assert "297 of 300" in (tmp_path / "report" / "validation.html").read_text()
    assert "set aside" in (tmp_path / "report" / "validation.html").read_text()
    # Each expectation alone is broken by few enough; all of them together are not.
    rows[10] = rows[10].model_copy(update={"finite": False, "problem": "NaN"})
    write_manifest(tmp_path, rows)
    with pytest.raises(
        ValidationFailed, match=r"1 of \d+ critical expectations fail: few_unusable \(1 of 1: .*0\.0133"
    ):
        validate.run(validate_params, tmp_path, tmp_path / "report")


def test_the_strict_set_nothing_aside(dataset, tmp_path, validate_params):
    rows = many(dataset, tmp_path, 300)
    rows[7] = rows[7].model_copy(update={"peak": 0.0})
    write_manifest(tmp_path, rows)
    assert validate.run(validate_params, tmp_path, tmp_path / "report").passed
    strict = validate_params.model_copy(update={"max_unusable_share": 0.0})
    with pytest.raises(ValidationFailed, match="not_silent"):
        validate.run(strict, tmp_path, tmp_path / "report")


def test_what_is_wrong_with_a_whole_corpus_is_never_set_aside(dataset, tmp_path, validate_params):
    rows = many(dataset, tmp_path, 300)
    rows[7] = rows[7].model_copy(update={"utterance_id": "clip-8"})
    write_manifest(tmp_path, rows)
    with pytest.raises(ValidationFailed, match="ids_unique"):
        validate.run(validate_params, tmp_path, tmp_path / "report")


def test_too_few_recordings_of_a_split_stop_the_run(dataset, tmp_path, validate_params):
    params = validate_params.model_copy(update={"min_utterances": {"train": 4, "test": 1}})
    with pytest.raises(ValidationFailed, match="usable recordings for train: 3, expected at least 4"):
        validate.run(params, dataset, tmp_path / "report")


def test_limits_are_inclusive(altered, tmp_path, validate_params):
    folder = altered("wavs-ann0", duration_s=0.3, peak=0.003)
    assert validate.run(validate_params, folder, tmp_path / "report").passed


def test_a_corpus_in_which_nothing_can_be_decoded_is_stopped_with_a_report(
    altered, tmp_path, validate_params
):
    folder = altered("none")
    write_manifest(
        folder,
        [u.model_copy(update={"decodable": False, "problem": "lost"}) for u in read_manifest(folder)],
    )
    with pytest.raises(ValidationFailed, match=r"decodable \(5 of 5: wavs-ann0: lost; "):
        validate.run(validate_params, folder, tmp_path / "report")
    assert "nothing could be measured" in (tmp_path / "report" / "validation.html").read_text()


def test_a_folder_that_is_no_dataset_is_refused(dataset, tmp_path, validate_params):
    with pytest.raises(CorpusError, match=r"no corpus\.json; expected a dataset"):
        validate.run(validate_params, tmp_path, tmp_path / "report")
    (tmp_path / "corpus.json").write_text("[]")
    with pytest.raises(CorpusError, match="not the description of a dataset"):
        validate.run(validate_params, tmp_path, tmp_path / "report")
    (tmp_path / "corpus.json").write_bytes((dataset / "corpus.json").read_bytes())
    write_manifest(tmp_path, [])
    with pytest.raises(CorpusError, match="the manifest has no recording"):
        validate.run(validate_params, tmp_path, tmp_path / "report")
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(("offset", "confidence", "passes"), [(3, 1, True), (-4, 1, False), (9, 0.5, True)])
def test_sound_that_surely_comes_beside_the_lips_stops_the_run(
    offset, confidence, passes, altered, tmp_path, validate_params
):
    folder = with_lips(altered, utterance="wavs-ann0", sync_offset_frames=offset, sync_confidence=confidence)
    if passes:
        assert validate.run(validate_params, folder, tmp_path / "report").passed
        return
    with pytest.raises(
        ValidationFailed,
        match=r"synchronous \(1 of 1: wavs-ann0: the sound comes -4 frames after the lips",
    ):
        validate.run(validate_params, folder, tmp_path / "report")


def test_sound_that_may_be_of_another_mouth_is_remarked_and_what_was_not_measured_is_not(
    altered, tmp_path, validate_params
):
    folder = with_lips(altered, utterance="wavs-ann0", sync_offset_frames=9, sync_confidence=0.01)
    report = validate.run(validate_params, folder, tmp_path / "report")
    (speaker,) = [result for result in report.results if result.name == "one_speaker"]
    assert (speaker.passed, speaker.severity) == (False, "warning")
    assert speaker.failing_utterances == ["wavs-ann0"]
    assert "confidence of 0.01, expected at least 0.1" in speaker.observed


def with_lips(altered, utterance, **measured):
    """Return the dataset as if all had lips, and on one recording how they go with the sound was measured."""
    folder = altered(utterance, **measured)
    lips = {"has_video": True, "native_fps": 25.0, "num_frames": 25, "mouth_found_share": 1.0}
    write_manifest(folder, [row.model_copy(update=lips) for row in read_manifest(folder)])
    return folder
