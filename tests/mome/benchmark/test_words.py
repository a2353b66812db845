"""Errors of word times against planted ones, and the table that they are read from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mome.alignment import Aligner
from mome.alignment.aligner import Span
from mome.alignment.head import Head
from mome.benchmark.words import Spoken, errors_ms, read_times
from mome.errors import CorpusError
from mome.model.avsr import Features
from mome.speech.media import Clip


class PlantedEncoders:
    """Silence, a or b, as the first sample of each frame says."""

    def encode(self, clips: list[Clip]) -> list[Features]:
        return [
            Features(torch.eye(3)[clip.samples.reshape(-1, 320)[:, 0].astype(int)], None) for clip in clips
        ]


def test_errors_are_how_much_too_late_words_are_found() -> None:
    samples = np.repeat([0, 1, 1, 0, 2, 2, 2, 0], 320).astype(np.float32)
    aligner = Aligner("ab", Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), None)
    spoken = Spoken(Clip(samples, None), ("a", "b"), (Span(0.0, 0.06), Span(0.08, 0.13)))
    errors = errors_ms(aligner, PlantedEncoders(), [spoken], "audio")
    np.testing.assert_allclose(errors, [[20, 0], [0, 10]], atol=1e-3)


def test_times_are_read_without_silence_and_a_bad_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "times.tsv"
    file.write_text("clip\tstart_s\tend_s\tword\nx\t0\t0.5\tsil\nx\t0.5\t0.9\tbin\n")
    assert read_times(file) == {"x": [("bin", Span(0.5, 0.9))]}
    file.write_text("clip\tstart_s\tend_s\tword\nx\tsoon\t0.5\tbin\n")
    with pytest.raises(CorpusError, match=r"times\.tsv: expected clip, start_s, end_s and word"):
        read_times(file)
