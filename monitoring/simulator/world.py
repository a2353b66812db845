"""What is true in the simulation: what each scale gets wrong in which noise, and how the noise is measured.

Rates in babble are published for LRS3 at (4,2) and (16,5), clean and at 5, 0 and -5 dB (Omni-AVSR).
Between and beside these stand values of their shape: 10 dB, the two pairs between, and noises that
do less harm than babble. The measurement errs as `docs/control.md` found the estimator to err.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from mome.records import ESTIMATOR, Condition, Evaluation, NoiseKind, TestedNoise, WordErrors
from mome.scales import Scale

__all__ = ["CLEAN_DB", "KINDS", "SCALES", "World", "evaluation"]

CLEAN_DB = 25.0  # what a recording without added noise has of its own
SCALES = tuple(map(Scale.parse, ("a4v2", "a4v5", "a16v2", "a16v5")))  # finest first
KINDS: tuple[TestedNoise, ...] = ("babble", "steady", "bursts")

_WORDS = 9890  # of LRS3's test set
_LEVELS_DB = (-5.0, 0.0, 5.0, 10.0, CLEAN_DB)
_BABBLE = {  # percent, by level as above
    "a4v2": (18.0, 4.4, 2.5, 1.6, 1.0),
    "a4v5": (18.3, 4.7, 2.7, 1.7, 1.1),
    "a16v2": (19.1, 5.6, 3.7, 2.6, 1.8),
    "a16v5": (19.5, 5.9, 3.9, 2.8, 1.9),
}
_HARM: dict[TestedNoise, float] = {
    "babble": 1.0,
    "steady": 0.7,
    "bursts": 0.5,
}  # of what babble adds to clean

# The estimator: mean error and spread in dB at -5, 0, 5, 10, 15 and 20 dB (babble of 8, white, bursts),
# and of clips as they are. What it calls a noise, in shares.
_MEASURED_DB = (-5.0, 0.0, 5.0, 10.0, 15.0, 20.0, CLEAN_DB)
_BIAS: dict[TestedNoise, tuple[float, ...]] = {
    "babble": (-0.1, -1.0, 0.1, -0.4, -1.5, -1.6, 6.0),
    "steady": (0.3, 0.2, -0.1, -0.2, -0.5, -0.8, 6.0),
    "bursts": (-0.5, -0.6, -0.5, -1.0, -0.4, -0.2, 6.0),
}
_SPREAD: dict[TestedNoise, tuple[float, ...]] = {
    "babble": (2.2, 2.1, 2.1, 1.6, 1.9, 1.7, 5.5),
    "steady": (0.7, 0.7, 0.8, 0.8, 1.2, 1.6, 5.5),
    "bursts": (0.7, 1.0, 1.0, 1.3, 1.8, 2.2, 5.5),
}
_NAMES: tuple[NoiseKind, ...] = ("babble", "steady", "bursts", "none")
_NAMED: dict[TestedNoise | None, tuple[float, ...]] = {
    "babble": (1.0, 0.0, 0.0, 0.0),
    "steady": (0.0, 1.0, 0.0, 0.0),
    "bursts": (0.0, 0.0, 1.0, 0.0),
    None: (0.01, 0.0, 0.03, 0.96),
}
_QUIET_DB = 17.5  # above it a noise is named as that of clips as they are
# For means over normal spreads: as many values as are equally likely.
_NORMAL = np.array([NormalDist().inv_cdf((number + 0.5) / 64) for number in range(64)])


class World(NamedTuple):
    """The true rates, by scale (as `SCALES`) and kind (as `KINDS`) at the levels of the table.

    Args:
        rates: Shape (scales, kinds, levels).
        levels_db: True levels, ascending.
    """

    rates: np.ndarray
    levels_db: tuple[float, ...]

    @classmethod
    def published(cls) -> World:
        """Return the rates that the module describes."""
        babble = np.array([_BABBLE[str(scale)] for scale in SCALES]) / 100
        clean = babble[:, -1:]
        return cls(np.stack([clean + _HARM[kind] * (babble - clean) for kind in KINDS], axis=1), _LEVELS_DB)

    def wer(self, kinds: np.ndarray, snrs_db: np.ndarray) -> np.ndarray:
        """Return the true rate of every scale for clips.

        Args:
            kinds: Index into `KINDS`, shape (clips,).
            snrs_db: True levels, shape (clips,).

        Returns:
            Shape (scales, clips).
        """
        rates = np.empty((len(SCALES), len(kinds)))
        for kind in range(len(KINDS)):
            of_kind = kinds == kind
            for scale in range(len(SCALES)):
                rates[scale, of_kind] = np.interp(snrs_db[of_kind], self.levels_db, self.rates[scale, kind])
        return rates

    def mean_wer(self, kind: int, snrs_db: np.ndarray, spread_db: float) -> np.ndarray:
        """Return the mean rate of every scale where levels spread around a mean; shape (scales, means)."""
        each = snrs_db + spread_db * _NORMAL[:, None]
        return np.stack(
            [
                np.interp(each, self.levels_db, self.rates[scale, kind]).mean(axis=0)
                for scale in range(len(SCALES))
            ]
        )


def measure(
    kinds: np.ndarray, snrs_db: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, list[NoiseKind]]:
    """Return what the estimator would say of clips: levels in dB, and what it calls their noise."""
    estimates = np.empty(len(kinds))
    names: list[NoiseKind] = ["none"] * len(kinds)
    for number, kind in enumerate(KINDS):
        for quiet in (False, True):
            chosen = np.flatnonzero((kinds == number) & ((snrs_db > _QUIET_DB) == quiet))
            true = snrs_db[chosen]
            error = np.interp(true, _MEASURED_DB, _BIAS[kind])
            spread = np.interp(true, _MEASURED_DB, _SPREAD[kind])
            estimates[chosen] = true + error + spread * rng.standard_normal(len(chosen))
            named = rng.choice(len(_NAMES), len(chosen), p=_NAMED[None if quiet else kind])
            for clip, name in zip(chosen.tolist(), named.tolist(), strict=True):
                names[clip] = _NAMES[name]
    return np.clip(estimates, -15.0, 40.0), names


def evaluation(world: World) -> Evaluation:
    """Return the table that an evaluation of this world would write."""
    wer: dict[str, dict[str, WordErrors]] = {}
    for index, scale in enumerate(SCALES):
        row = {"clean": _cell(world.rates[index, 0, -1])}
        for number, kind in enumerate(KINDS):
            for level, snr_db in enumerate(world.levels_db[:-1]):
                row[f"{kind}_{snr_db:g}"] = _cell(world.rates[index, number, level])
        wer[str(scale)] = row
    conditions = [_condition(None, CLEAN_DB)]
    conditions += [_condition(kind, snr_db) for kind in KINDS for snr_db in world.levels_db[:-1]]
    return Evaluation(
        corpus="simulation",
        revision="0" * 40,
        modality="av",
        wer={"av": wer},
        conditions=conditions,
        utterances=1321,
        hypotheses="hypotheses.jsonl",
        noise=dict.fromkeys(KINDS, "made"),
        estimator=ESTIMATOR,
    )


def _cell(rate: float) -> WordErrors:
    half = 1.96 * (rate * (1 - rate) / _WORDS) ** 0.5
    return WordErrors(errors=round(rate * _WORDS), words=_WORDS, low=rate - half, high=rate + half)


def _condition(noise: TestedNoise | None, snr_db: float) -> Condition:
    of = noise or "babble"
    estimate = snr_db + float(np.interp(snr_db, _MEASURED_DB, _BIAS[of]))
    spread = 1.2816 * float(np.interp(snr_db, _MEASURED_DB, _SPREAD[of]))
    return Condition(
        noise=noise,
        snr_db=None if noise is None else snr_db,
        estimated_snr_db=estimate,
        low=estimate - spread,
        high=estimate + spread,
        kinds=dict(zip(_NAMES, _NAMED[noise], strict=True)),
    )
