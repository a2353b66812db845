"""Noise: mixed at the stated level, and measured in the right order on real and synthetic speech."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mome.errors import MediaError
from mome.speech.audio import Samples, resample
from mome.speech.noise import babble, estimate_snr, mix_at_snr, with_babble

FSDD = Path("../shared/corpora/fsdd/recordings")
SPEAKERS = ("jackson", "nicolas", "yweweler", "george")
Voices = dict[str, list[Samples]]


def digits(speaker: str, count: int, rng: np.random.Generator) -> Samples:
    """Return a digit string of one speaker with digital silence between, as 16 kHz."""
    parts = []
    for digit in rng.integers(0, 10, count):
        word, _ = soundfile.read(FSDD / f"{digit}_{speaker}_{rng.integers(0, 50)}.wav", dtype="float32")
        parts += [word, np.zeros(int(rng.uniform(800, 2000)), np.float32)]
    return resample(np.concatenate(parts), 8000, 16000)


def sentences() -> Voices:
    from mome.synthesis.speech import Voice, speak

    voices: Voices = {}
    texts = ("place red at j four now", "set white by q nine again", "lay blue in b two soon")
    for variant in ("m1", "m3", "f2", "f4"):
        spoken = [speak(text, Voice("gmw/en-US", variant)) for text in texts]
        voices[variant] = [resample(s.samples, s.sampling_rate, 16000) for s in spoken]
    return voices


def long_digits() -> Voices:
    rng = np.random.default_rng(5)
    return {speaker: [digits(speaker, 6, rng) for _ in range(5)] for speaker in SPEAKERS}


def short_digits() -> Voices:
    rng = np.random.default_rng(6)
    return {speaker: [digits(speaker, 2, rng) for _ in range(8)] for speaker in SPEAKERS}


needs_fsdd = pytest.mark.skipif(not FSDD.is_dir(), reason="needs fsdd in ../shared/corpora")
CORPORA = [
    pytest.param(sentences, id="sentences"),
    pytest.param(long_digits, id="long-digits", marks=needs_fsdd),
    pytest.param(short_digits, id="short-digits", marks=needs_fsdd),
]


def median_estimate(voices: Voices, snr_db: float | None, kind: str) -> float:
    rng = np.random.default_rng(1)
    estimates = []
    for speaker, clips in voices.items():
        others = [clip for other, them in voices.items() if other != speaker for clip in them]
        for clip in clips:
            white = rng.normal(size=len(clip)).astype(np.float32)
            noise = babble(others, len(clip), rng) if kind == "babble" else white
            estimates.append(estimate_snr(mix_at_snr(clip, noise, snr_db)).snr_db)
    assert None not in estimates
    return float(np.median(np.array(estimates, dtype=np.float64)))


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("kind", ["babble", "white"])
def test_the_estimate_falls_as_noise_rises(corpus: Callable[[], Voices], kind: str) -> None:
    voices = corpus()
    clean, *noisy = [median_estimate(voices, snr_db, kind) for snr_db in (None, 10, 5, 0, -5)]
    assert clean > noisy[0] + 4
    assert all(louder - 1.0 > fainter for louder, fainter in itertools.pairwise(noisy))


@pytest.mark.parametrize("corpus", CORPORA)
@pytest.mark.parametrize("snr_db", [10, 5, 0, -5])
def test_white_noise_reads_its_true_level(corpus: Callable[[], Voices], snr_db: float) -> None:
    assert median_estimate(corpus(), snr_db, "white") == pytest.approx(snr_db, abs=2.5)


@pytest.mark.parametrize("snr_db", [10.0, 0.0, -5.0])
def test_a_mix_has_the_stated_ratio_of_powers(snr_db: float) -> None:
    rng = np.random.default_rng(0)
    speech = rng.laplace(scale=0.01, size=16000).astype(np.float32)
    noise = rng.normal(size=16000).astype(np.float32)
    added = mix_at_snr(speech, noise, snr_db).astype(np.float64) - speech
    ratio = np.sum(speech.astype(np.float64) ** 2) / np.sum(added**2)
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01)


def test_zero_decibels_is_noise_and_none_is_clean() -> None:
    speech, noise = np.full(100, 0.1, np.float32), np.ones(100, np.float32)
    np.testing.assert_allclose(mix_at_snr(speech, noise, 0.0), 0.2, rtol=1e-6)
    assert mix_at_snr(speech, noise, None) is speech


def test_a_loud_mix_is_turned_down_whole() -> None:
    rng = np.random.default_rng(0)
    speech, noise = rng.uniform(-1, 1, (2, 16000)).astype(np.float32)
    mixed = mix_at_snr(speech, noise, -5.0)
    assert np.abs(mixed).max() == pytest.approx(1.0)
    # Two unknown gains explain the mix: their ratio is the stated one.
    gains, residual, *_ = np.linalg.lstsq(np.stack([speech, noise], axis=1), mixed, rcond=None)
    ratio = gains[0] ** 2 * np.square(speech).sum() / (gains[1] ** 2 * np.square(noise).sum())
    assert residual[0] < 1e-6
    assert 10 * np.log10(ratio) == pytest.approx(-5.0, abs=0.05)


def test_silence_and_unequal_lengths_cannot_be_mixed() -> None:
    one, silence = np.ones(10, np.float32), np.zeros(10, np.float32)
    with pytest.raises(MediaError, match="silent"):
        mix_at_snr(one, silence, 0.0)
    with pytest.raises(MediaError, match="10 and 9"):
        mix_at_snr(one, one[:9], 0.0)


def test_babble_holds_every_talker_equally_loud() -> None:
    length = 16000
    moments = np.arange(length)
    voices = [
        (level * np.sin(2 * np.pi * hz * moments / 16000)).astype(np.float32)
        for hz, level in ((200, 1.0), (500, 0.01), (900, 0.1))
    ]
    mixed = babble(voices, 32000, np.random.default_rng(2), talkers=30)
    assert mixed.shape == (32000,)
    power = np.abs(np.fft.rfft(mixed)) ** 2
    levels = [power[hz * 2 - 4 : hz * 2 + 5].sum() for hz in (200, 500, 900)]
    assert max(levels) / min(levels) < 30  # random phases, but not the 10,000 of the recordings


def test_babble_is_the_same_for_the_same_draw_and_has_no_pause() -> None:
    voices = [np.random.default_rng(seed).normal(size=3000).astype(np.float32) for seed in range(3)]
    once = babble(voices, 20000, np.random.default_rng(1))
    np.testing.assert_array_equal(once, babble(voices, 20000, np.random.default_rng(1)))
    assert once.reshape(-1, 500).std(axis=1).min() > 0.1


def test_babble_needs_a_voice() -> None:
    with pytest.raises(MediaError, match="audible"):
        babble([np.zeros(100, np.float32)], 100, np.random.default_rng(0))


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(16000, np.float32),
        np.zeros(0, np.float32),
        np.full(16000, np.nan, np.float32),
        np.full(16000, 0.5, np.float32),
        np.random.default_rng(0).normal(scale=0.1, size=16000).astype(np.float32),
        (0.3 * np.sin(np.arange(16000) * 0.05)).astype(np.float32),
    ],
    ids=["silence", "nothing", "nan", "offset", "noise alone", "hum"],
)
def test_without_speech_there_is_no_ratio(samples: Samples) -> None:
    estimate = estimate_snr(samples)
    assert estimate.snr_db is None
    assert not estimate.confident
    assert estimate.speech_share == 0.0
    assert -100.0 <= estimate.level_db <= 0.0


def test_level_is_the_root_mean_square_in_decibels() -> None:
    tone = np.sin(2 * np.pi * 100 * np.arange(16000) / 16000).astype(np.float32)
    assert estimate_snr(tone).level_db == pytest.approx(-3.01, abs=0.01)


def test_speech_share_counts_the_spoken_part() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(scale=0.001, size=32000)
    samples[8000:16000] += rng.normal(scale=0.1, size=8000)
    assert estimate_snr(samples.astype(np.float32)).speech_share == pytest.approx(0.25, abs=0.03)


def test_the_level_of_a_recording_does_not_change_its_ratio() -> None:
    voice = sentences()["m1"][0]
    noisy = mix_at_snr(voice, np.random.default_rng(0).normal(size=len(voice)).astype(np.float32), 5.0)
    loud, soft = estimate_snr(noisy).snr_db, estimate_snr(noisy * np.float32(0.1)).snr_db
    assert loud is not None and soft == pytest.approx(loud, abs=0.1)


def test_two_methods_that_disagree_are_not_trusted() -> None:
    # Crackle: its amplitudes are spread like those of clean speech, but no band is ever quiet.
    rng = np.random.default_rng(0)
    samples = rng.gamma(0.4, size=48000) * rng.choice([-0.02, 0.02], 48000)
    samples[20000:28000] *= 2
    estimate = estimate_snr(samples.astype(np.float32))
    assert estimate.snr_db is not None
    assert not estimate.confident


def test_ten_percent_of_gaussian_noise_lies_below_the_stated_part_of_its_mean() -> None:
    from mome.speech import noise

    white = np.random.default_rng(0).normal(size=320_000)
    windows = np.lib.stride_tricks.sliding_window_view(white, 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(windows, axis=1)[:, 1:-1]) ** 2
    bands = power.reshape(len(power), -1, 5).mean(axis=2)
    floor = np.quantile(bands, 0.1, axis=0) / bands.mean(axis=0)
    assert floor.mean() == pytest.approx(noise._FLOOR_OF_NOISE, abs=0.005)


def tones(count: int) -> list[np.ndarray]:
    time_s = np.arange(16_000) / 16_000
    return [0.1 * np.sin(2 * np.pi * 200 * (i + 1) * time_s).astype(np.float32) for i in range(count)]


@pytest.mark.parametrize("snr_db", [10.0, 0.0, -5.0])
def test_the_babble_has_the_stated_ratio(snr_db: float) -> None:
    voices = tones(4)
    mixed = with_babble(voices, 0, snr_db, np.random.default_rng(0))
    # The speech is a tone whose frequency no other voice has: its part of the mix can be read off.
    basis = voices[0] / np.linalg.norm(voices[0])
    speech = (mixed @ basis) * basis
    measured = 10 * np.log10((speech**2).sum() / ((mixed - speech) ** 2).sum())
    assert measured == pytest.approx(snr_db, abs=0.05)


def test_clean_means_untouched_and_zero_is_a_level() -> None:
    voices = tones(3)
    np.testing.assert_array_equal(with_babble(voices, 0, None, np.random.default_rng(0)), voices[0])
    assert not np.array_equal(with_babble(voices, 0, 0.0, np.random.default_rng(0)), voices[0])
