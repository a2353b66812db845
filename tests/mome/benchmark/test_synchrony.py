"""The benchmark moves and swaps sound, and counts what is found."""

import numpy as np
import pytest

from mome.benchmark import synchrony as benchmark
from mome.speech.media import Clip
from mome.speech.synchrony import Synchrony


def test_sound_is_moved_by_silence_or_by_leaving_out() -> None:
    samples = np.arange(16_000, dtype=np.float32)
    late, early = benchmark.moved(samples, 100), benchmark.moved(samples, -100)
    assert (late[1600:] == samples).all()
    assert not late[:1600].any()
    assert (early == samples[1600:]).all()
    assert (benchmark.moved(samples, 0) == samples).all()


def test_a_judge_who_knows_is_right_and_one_who_guesses_is_half_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A clip says who it is by its gray, its sound by its level.
    clips = [
        Clip(np.full(16_000, 0.1 * i, np.float32), np.full((25, 96, 96), 10 * i, np.uint8)) for i in (1, 2, 3)
    ]

    def knows(mouth: np.ndarray, samples: np.ndarray) -> Synchrony:
        own = np.isclose(samples[-1], mouth[0, 0, 0] / 100)
        silent = int((samples == 0).sum())
        offset = round(silent / 640) if silent else round((len(samples) - 16_000) / 640)
        return Synchrony(offset, 0.9 if own else 0.1)

    monkeypatch.setattr(benchmark, "synchrony", knows)
    found = benchmark.measured(clips)
    assert (found.clips, found.within_a_frame, found.area) == (3, 1.0, 1.0)
    monkeypatch.setattr(benchmark, "synchrony", lambda mouth, samples: Synchrony(0, 0.5))
    found = benchmark.measured(clips)
    assert found.area == 0.5
    assert found.within_a_frame == pytest.approx(3 / 13)
    monkeypatch.setattr(benchmark, "synchrony", lambda mouth, samples: None)
    assert benchmark.measured(clips).within_a_frame == 0.0
