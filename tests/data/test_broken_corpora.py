"""Break a corpus in every way we could think of: nothing crashes, and validation names each recording.

One corpus holds all broken recordings beside healthy ones; it goes once through version, prepare and
validate, and each test looks for its own.
"""

import json
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from data import prepare, validate, version
from mome.errors import ValidationFailed
from mome.records import ValidationReport
from mome.speech.shards import read_manifest, read_split
from mome.speech.video import encode_mouth

RATE = 16_000


class Case(NamedTuple):
    utterance_id: str
    expectation: str
    sentence: str
    decodable: bool


CASES = [
    Case("missing", "decodable", "missing.wav: no such file or directory", False),
    Case("unreadable", "decodable", "unreadable.audio.wav: cannot be decoded", False),
    Case("empty", "decodable", "empty.audio.wav", False),
    Case("header", "decodable", "header.audio.wav", False),
    Case("folder", "decodable", "folder.wav: is a directory", False),
    Case("truncated", "complete", "promises more than it holds", True),
    Case("silent", "not_silent", "silent: its peak is 0 of full scale, expected at least 0.003", True),
    Case("nan", "finite", "7 samples are not numbers", True),
    Case("rate", "one_sampling_rate", "sampled at 44100 Hz, but most of the corpus at 16000 Hz", True),
    Case("slow", "sampling_rate", "sampled at 4000 Hz, expected 8000 to 48000 Hz", True),
    Case("short", "duration", "lasts 0.1 s, expected 0.3 to 10 s", True),
    Case("one", "duration", "expected 0.3 to 10 s", True),
    Case("long", "duration", "lasts 11 s, expected 0.3 to 10 s", True),
    Case("wordless", "transcript_present", "the transcript is empty", True),
    Case("digits", "transcript_in_alphabet", "the transcript has 1é, expected only", True),
    Case("stranger", "speaker_in_one_split", "the speaker occurs in 2 splits", True),
    Case("copy", "recording_in_one_split", "the same recording is in 2 splits", True),
    Case("no-video-file", "decodable", "gone.mp4: no such file", False),
    Case("loud", "clipping", "of its samples is clipped", True),
    Case("noise", "snr", "expected at least 10 dB", True),
    Case("drowned", "speech_found", "no speech stands out of the background", True),
]


@pytest.fixture(scope="module")
def broken(tmp_path_factory, make_corpus, voice, write_manifest, prepare_params, validate_params):
    """Return the folder of the dataset, the folder of the report, and what validation raised."""
    root = tmp_path_factory.mktemp("broken")
    folder = root / "corpus"
    rows = make_corpus(folder)
    good = voice(50)
    rng = np.random.default_rng(3)
    with_nan = good.copy()
    with_nan[100:107] = [np.nan, np.inf, -np.inf, np.nan, np.nan, np.nan, np.nan]
    sounds = {
        "truncated": (voice(51), RATE),
        "silent": (np.zeros(RATE, np.float32), RATE),
        "nan": (with_nan, RATE),
        "rate": (voice(52, rate=44_100), 44_100),
        "slow": (voice(53, rate=4000), 4000),
        "short": (good[: RATE // 10], RATE),
        "one": (good[5000:5001], RATE),
        "long": (voice(54, 11.0), RATE),
        "wordless": (voice(55), RATE),
        "digits": (voice(56), RATE),
        "stranger": (voice(57), RATE),
        "copy": (voice(0), RATE),  # as the first training recording of the healthy corpus
        "no-video-file": (voice(58), RATE),
        "loud": (np.clip(voice(59) * 50, -1, 1), RATE),
        "noise": (voice(60) + 0.05 * rng.standard_normal(RATE).astype(np.float32), RATE),
        "drowned": (0.001 * voice(61) + 0.1 * rng.standard_normal(RATE).astype(np.float32), RATE),
    }
    for name, (samples, rate) in sounds.items():
        subtype = "FLOAT" if name == "nan" else "PCM_16"
        soundfile.write(folder / f"{name}.wav", samples, rate, subtype=subtype)
    truncated = folder / "truncated.wav"
    truncated.write_bytes(truncated.read_bytes()[:-8000])
    (folder / "unreadable.wav").write_bytes(b"this is a text file" * 100)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "header.wav").write_bytes((folder / "short.wav").read_bytes()[:44])
    (folder / "folder.wav").mkdir()

    changes = {
        "wordless": {"transcript": "  "},
        "digits": {"transcript": "hello 1 é"},
        "stranger": {"speaker": "cleo"},  # cleo is the speaker of the test split
        "copy": {"split": "test", "speaker": "dora"},
        "no-video-file": {"video": "gone.mp4"},
    }
    for case in CASES:
        row = {"path": f"{case.utterance_id}.wav", "transcript": "hello", "speaker": "ann", "split": "train"}
        rows.append({**row, **changes.get(case.utterance_id, {})})
    write_manifest(folder, [{"video": "", **row} for row in rows])
    (folder / "corpus.json").write_text(json.dumps({"name": "broken", "speaker_disjoint": True}))

    params = prepare_params.model_copy(update={"utterances_per_shard": 8})
    found = version.run(str(folder), params, root / "registry")
    prepare.run(params, found.repo, found.revision, root / "dataset")
    with pytest.raises(ValidationFailed) as raised:
        validate.run(validate_params, root / "dataset", root / "report")
    return root / "dataset", root / "report", str(raised.value)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.utterance_id)
def test_a_broken_recording_is_named_with_the_reason(broken, case):
    dataset, report, _ = broken
    results = {result.name: result for result in ValidationReport.read(report / "validation.json").results}
    assert case.utterance_id in results[case.expectation].failing_utterances
    assert not results[case.expectation].passed
    page = (report / "validation.html").read_text()
    row = page[page.index(f">{case.utterance_id}</th>") :]
    assert case.sentence in row[: row.index("</tr>")]
    (utterance,) = (u for u in read_manifest(dataset) if u.utterance_id == case.utterance_id)
    assert utterance.decodable == case.decodable


def test_the_healthy_recordings_fail_nothing_of_their_own(broken):
    _, report, _ = broken
    results = ValidationReport.read(report / "validation.json").results
    blamed = {
        name for result in results for name in result.failing_utterances if result.severity == "critical"
    }
    healthy = {"wavs-ann1", "wavs-ann2", "wavs-bob3"}
    assert not blamed & healthy
    # Both sides of a copy and both places of a speaker are named: which one is wrong is not ours to say.
    assert {"wavs-ann0", "wavs-cleo4"} <= blamed


def test_an_undecodable_recording_fails_only_once(broken):
    _, report, _ = broken
    results = ValidationReport.read(report / "validation.json").results
    assert [r.name for r in results if "unreadable" in r.failing_utterances] == ["decodable"]


def test_the_error_names_expectations_recordings_and_the_report(broken):
    _, report, message = broken
    assert message.startswith("corpus broken: ")
    assert "decodable (6 of 26: missing: missing.wav: no such file or directory; " in message
    assert str(report / "validation.html") in message
    assert "snr" not in message  # a warning stops nothing


def test_what_can_be_decoded_can_still_be_read(broken):
    dataset, _, _ = broken
    clips = {utterance.utterance_id: clip for utterance, clip in read_split(dataset, "train")}
    assert set(clips) == {
        u.utterance_id for u in read_manifest(dataset) if u.decodable and u.split == "train"
    }
    assert all(np.isfinite(clip.samples).all() for clip in clips.values())


def test_broken_video_is_named(tmp_path, voice, write_manifest, validate_params, prepare_params):
    folder = tmp_path / "corpus"
    folder.mkdir()
    rng = np.random.default_rng(1)
    mouth = np.repeat(rng.integers(0, 255, (1, 96, 96), np.uint8), 25, axis=0)
    videos = {
        "good1": encode_mouth(mouth),
        "good2": encode_mouth(mouth[:, ::-1].copy()),
        "gap": encode_mouth(mouth[:15]),
        "faceless": encode_mouth(np.full((25, 128, 160), 90, np.uint8)),
        "text": b"no video" * 50,
        "cut": encode_mouth(mouth)[:300],
    }
    rows = []
    for number, name in enumerate([*videos, "novideo"]):
        soundfile.write(folder / f"{name}.wav", voice(number), RATE)
        video = ""
        if name in videos:
            video = f"{name}.mp4"
            (folder / video).write_bytes(videos[name])
        rows.append(
            {"path": f"{name}.wav", "video": video, "transcript": "hi", "speaker": "a", "split": "train"}
        )
    write_manifest(folder, rows)
    found = version.run(str(folder), prepare_params, tmp_path / "registry")
    prepare.run(prepare_params, found.repo, found.revision, tmp_path / "dataset")
    assert json.loads((tmp_path / "dataset" / "corpus.json").read_text())["modality"] == "av"
    with pytest.raises(ValidationFailed, match="enough_test"):
        validate.run(validate_params, tmp_path / "dataset", tmp_path / "report")
    results = {r.name: r for r in ValidationReport.read(tmp_path / "report" / "validation.json").results}
    assert results["audio_matches_video"].failing_utterances == ["gap"]
    assert results["mouth_found"].failing_utterances == ["faceless"]
    assert results["decodable"].failing_utterances == ["text", "cut"]
    assert results["video_present"].failing_utterances == ["novideo"]
    assert "text.video.mp4: cannot be decoded" in results["decodable"].observed
