"""WADA-SNR against its own model, drawn at random."""

import numpy as np
import pytest
from scipy.special import digamma

from mome.speech.wada import amplitude_spread, snr_of_spread


@pytest.mark.parametrize("snr_db", [-5, 0, 5, 10, 20, 30])
def test_gamma_speech_in_gaussian_noise_reads_its_true_level(snr_db: int) -> None:
    rng = np.random.default_rng(snr_db + 100)
    speech = rng.gamma(0.4, size=400_000) * rng.choice([-1.0, 1.0], 400_000)
    noise = rng.normal(scale=np.sqrt(np.square(speech).mean() / 10 ** (snr_db / 10)), size=400_000)
    assert snr_of_spread(amplitude_spread(speech + noise, 1e-12)) == pytest.approx(snr_db, abs=0.5)


def test_the_ends_are_pure_noise_and_pure_speech() -> None:
    gaussian = 0.5 * np.log(2 / np.pi) + 0.5 * (np.euler_gamma + np.log(2))  # ln E|g| - E ln|g|
    speech = np.log(0.4) - digamma(0.4)
    assert snr_of_spread(gaussian) == -20.0
    assert snr_of_spread(speech) == 40.0


def test_the_level_does_not_matter() -> None:
    samples = np.random.default_rng(0).laplace(size=10_000)
    assert amplitude_spread(samples, 1e-12) == pytest.approx(amplitude_spread(samples * 0.01, 1e-12))
