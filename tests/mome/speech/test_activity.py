"""Voice activity is Silero's: its own program says the same with the same weights, whole and in pieces."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from mome.speech import activity
from mome.speech.activity import FRAME, VoiceActivity

CORPORA = Path("../shared/corpora")
# Of the file that serving reads, in the order in which the package's own program has them.
NAMES = [
    "stft_conv.weight",
    *(f"conv{layer}.{part}" for layer in range(1, 5) for part in ("weight", "bias")),
    *(f"lstm_cell.{part}_{of}" for part in ("weight", "bias") for of in ("ih", "hh")),
    "final_conv.weight",
    "final_conv.bias",
]


def heard(samples: np.ndarray, *pieces: int) -> np.ndarray:
    detector = VoiceActivity()
    parts = [detector.hear(piece) for piece in np.split(samples, np.cumsum(pieces))]
    return np.concatenate([*parts, detector.end()])


@pytest.mark.filterwarnings("ignore:.torch.jit.load. is deprecated")
def test_it_computes_what_the_package_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    from silero_vad import load_silero_vad

    theirs = load_silero_vad()
    state = [value.numpy() for name, value in theirs.state_dict().items() if "8k" not in name]
    network = activity._Network.of(dict(zip(NAMES, state, strict=True)))
    monkeypatch.setattr(activity, "_network", lambda: network)
    samples = np.random.default_rng(0).normal(scale=0.1, size=20 * FRAME + 100).astype(np.float32)
    samples *= np.sin(np.arange(len(samples)) / 1500) ** 2
    expected = theirs.audio_forward(torch.from_numpy(samples), 16_000)[0].numpy()
    np.testing.assert_allclose(heard(samples), expected, atol=1e-5)


def test_a_stream_in_pieces_is_the_stream() -> None:
    samples = np.random.default_rng(1).normal(scale=0.1, size=700 * FRAME + 7).astype(np.float32)
    np.testing.assert_allclose(heard(samples, 1, 600, 100_000), heard(samples), atol=1e-5)
    assert len(heard(samples)) == 701


def test_nothing_is_no_frame() -> None:
    assert heard(np.zeros(0, np.float32)).size == 0


@pytest.mark.skipif(not CORPORA.is_dir(), reason="needs the recordings of ../shared/corpora")
def test_real_voices_are_heard_and_household_noise_is_not() -> None:
    for path in sorted((CORPORA / "librispeech").glob("*.flac"))[:5]:
        samples, _ = soundfile.read(path, dtype="float32")
        assert (heard(samples) > 0.5).mean() > 0.45
    for path in (CORPORA / "noise").glob("*.flac"):
        samples, _ = soundfile.read(path, frames=160_000, dtype="float32")
        assert (heard(samples) > 0.5).mean() < 0.01
