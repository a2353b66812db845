"""Tiny corpora that the tests break in every way."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mome.config import PrepareParams, ValidateParams

SAMPLING_RATE = 16_000


@pytest.fixture(scope="session")
def prepare_params() -> PrepareParams:
    return PrepareParams(
        seed=1,
        train_utterances=6,
        validation_utterances=2,
        test_utterances=3,
        utterances_per_shard=4,
        text="as-is",
    )


@pytest.fixture(scope="session")
def validate_params() -> ValidateParams:
    return ValidateParams(
        min_duration_s=0.3,
        max_duration_s=10.0,
        min_sampling_rate=8000,
        max_sampling_rate=48000,
        min_fps=20.0,
        max_fps=60.0,
        allow_mixed_rates=False,
        min_peak=0.003,
        max_clipped_share=0.01,
        max_audio_video_gap_s=0.12,
        min_mouth_found_share=0.5,
        max_offset_frames=3,
        min_offset_confidence=0.9,
        min_speaker_confidence=0.1,
        max_unusable_share=0.01,
        min_snr_db=10.0,
        alphabet="abcdefghijklmnopqrstuvwxyz' ",
        min_utterances={"train": 2, "validation": 1, "test": 1},
    )


@pytest.fixture(scope="session")
def voice() -> Callable[..., np.ndarray]:
    """Return a maker of something like speech: syllables of a harmonic tone with pauses between."""

    def make(seed: int, duration_s: float = 1.0, rate: int = SAMPLING_RATE) -> np.ndarray:
        rng = np.random.default_rng(seed)
        t = np.arange(round(duration_s * rate)) / rate
        pitch = rng.uniform(90, 220)
        tone = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 12))
        syllables = np.clip(np.sin(2 * np.pi * rng.uniform(2.5, 4) * t), 0, 1)
        return (0.2 * tone * syllables + 1e-4 * rng.standard_normal(len(t))).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def write_manifest() -> Callable[[Path, list[dict[str, str]]], Path]:
    def write(folder: Path, rows: list[dict[str, str]]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "manifest.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture(scope="session")
def make_corpus(voice, write_manifest) -> Callable[..., list[dict[str, str]]]:
    """Return a maker of a healthy corpus folder: five WAV files of three speakers, one speaker per split."""

    def make(folder: Path) -> list[dict[str, str]]:
        rows = []
        for number, (split, speaker) in enumerate(
            [("train", "ann"), ("train", "ann"), ("train", "ann"), ("validation", "bob"), ("test", "cleo")]
        ):
            path = folder / "wavs" / f"{speaker}{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, voice(number), SAMPLING_RATE)
            rows.append(
                {
                    "path": f"wavs/{path.name}",
                    "transcript": "Hello  there",
                    "speaker": speaker,
                    "split": split,
                }
            )
        write_manifest(folder, rows)
        return rows

    return make
