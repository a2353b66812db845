"""What is measured on a recording is what was planted in it."""

import io

import numpy as np
import pytest
import soundfile

from data.archive import ArchiveRow
from data.measure import measure
from mome.speech.video import encode_mouth
from mome.synthesis.corpus import plan_corpus, render_all

RATE = 16_000
ROW = ArchiveRow("u", "train", "ann", "Hello  THERE ", "s.tar", "u.audio.wav", "", "")


def _wav(samples, rate=RATE, subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def test_planted_level_peak_and_clipping_are_found():
    samples = np.tile([0.5, -0.5], 8000)
    samples[:800] = 1.0
    utterance, clip = measure(ROW, _wav(samples, subtype="FLOAT"), None)
    assert utterance.transcript == "hello there"
    assert (utterance.num_samples, utterance.duration_s) == (16_000, 1.0)
    assert utterance.peak == 1.0
    assert utterance.clipped_share == pytest.approx(0.05)
    assert utterance.rms_db == pytest.approx(10 * np.log10(0.05 * 1.0 + 0.95 * 0.25), abs=1e-6)
    assert np.array_equal(clip.samples, samples.astype(np.float32))


def test_a_recording_at_another_rate_is_resampled_and_its_rate_kept():
    tone = np.sin(2 * np.pi * 440 * np.arange(44_100) / 44_100)
    utterance, clip = measure(ROW, _wav(0.5 * tone, 44_100), None)
    assert (utterance.native_sampling_rate, utterance.num_samples) == (44_100, 16_000)
    spectrum = np.abs(np.fft.rfft(clip.samples))
    assert spectrum.argmax() == 440


def test_samples_that_are_no_numbers_are_counted_and_left_out_of_the_clip():
    samples = np.full(RATE, 0.1, np.float32)
    samples[5:8] = np.nan
    utterance, clip = measure(ROW, _wav(samples, subtype="FLOAT"), None)
    assert not utterance.finite
    assert utterance.problem == "3 samples are not numbers (NaN or infinity)"
    assert clip.samples[5:8].tolist() == [0, 0, 0]


def test_an_unusable_recording_keeps_its_row_and_says_which_file():
    utterance, clip = measure(ROW, b"no sound" * 20, None)
    assert clip is None
    assert (utterance.decodable, utterance.shard, utterance.transcript) == (False, "", "hello there")
    assert utterance.problem.startswith("u.audio.wav: ")


def test_how_sound_goes_with_lips_is_measured_where_there_are_some():
    (made,) = render_all(plan_corpus(0, 0, 1, seed=3), 1)
    samples, video = made.clip.samples, encode_mouth(made.clip.mouth)
    late = _wav(np.concatenate([np.zeros(4 * 640), samples]))
    utterance, _ = measure(ROW, late, video)
    assert abs(utterance.sync_offset_frames - 4) <= 1
    assert 0 <= utterance.sync_confidence <= 1
    for audio, lips in ((_wav(samples), None), (_wav(np.zeros(48_000)), video)):
        utterance, _ = measure(ROW, audio, lips)
        assert utterance.decodable
        assert (utterance.sync_offset_frames, utterance.sync_confidence) == (None, None)
