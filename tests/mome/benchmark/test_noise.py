"""The table of the noise estimate holds what was measured, cell by cell."""

import re

import numpy as np
import pytest

from mome.benchmark.noise import LEVELS_DB, Heard, listen_to, tables
from mome.speech.noise_estimate import NoiseEstimate
from mome.speech.noises import BURSTY_DB, burstiness_db, bursts, steady


def heard(noise: str, snr_db: float | None, said_db: float, kind: str, called: str) -> Heard:
    estimate = NoiseEstimate(said_db, True, called, 0.9, 0.5, -20.0)
    return Heard("planted", noise, kind, snr_db, estimate, processor_s=0.002, duration_s=4.0)


def test_errors_names_and_cost_are_those_of_the_clips() -> None:
    clips = [heard("white", 0.0, said, "steady", "steady") for said in (1.0, 3.0)]
    clips += [heard("babble of 2", 0.0, -4.0, "babble", called) for called in ("babble", "bursts")]
    clips += [heard("as it is", None, level, "none", "none") for level in (20.0, 30.0)]
    text = tables(clips)
    assert re.search(r"\| white \|.*\+2\.0 ± 1\.0.*\| \+2\.0 \| 2\.0 \|", text)
    assert re.search(r"\| babble of 2 \| babble \| 50% \| 0% \| 50% \| 0% \|", text)
    assert "| all babble | – | -4.0 ± 0.0 | – | – | – | – | -4.0 | 4.0 |" in text
    assert "| all steady | – | +2.0 ± 1.0 | – | – | – | – | +2.0 | 2.0 |" in text
    assert "| all | – | -1.0 ± 3.1 | – | – | – | – | -1.0 | 3.0 |" in text
    assert "Kind named right below 15 dB: 75%" in text
    assert "10 s of sound: 5.0 ms, over 6 clips" in text


def test_every_noise_is_heard_at_every_level() -> None:
    rng = np.random.default_rng(0)
    clip = rng.normal(size=32_000).astype(np.float32) * np.repeat(rng.random(20), 1600).astype(np.float32)
    found = list(listen_to({"planted": [clip]}, [clip], {"tap": clip}, clips=1, seed=0))
    noises = {each.noise for each in found} - {"as it is"}
    assert len(noises) == 8
    assert {(each.noise, each.snr_db) for each in found} == {
        (noise, level) for noise in noises for level in LEVELS_DB
    } | {("as it is", None)}


@pytest.mark.parametrize("seed", range(5))
def test_made_noise_has_unit_power_and_one_is_made_like_another(seed: int) -> None:
    for make in (steady, bursts):
        sound = make(32_000, np.random.default_rng(seed))
        assert np.square(sound).mean() == pytest.approx(1.0, rel=1e-3)
        np.testing.assert_array_equal(sound, make(32_000, np.random.default_rng(seed)))


def test_burstiness_is_mean_over_median_power() -> None:
    rng = np.random.default_rng(0)
    hiss = rng.normal(size=(1, 32_000)).astype(np.float32)
    knocks = hiss * (np.arange(32_000) % 8000 < 1600).astype(np.float32) + 0.1 * hiss
    assert burstiness_db(hiss)[0] < 0.2 < BURSTY_DB < burstiness_db(knocks)[0]
    power = np.square(knocks[0].astype(float)).reshape(40, 800).mean(axis=1)
    assert burstiness_db(knocks)[0] == pytest.approx(10 * np.log10(power.mean() / np.median(power)), abs=0.01)
