"""What a scale of its own for each request saves and costs.

    python -m mome.benchmark.own_scale BUNDLE DATASET

Every test clip is heard twice, as it is and with noise at -5 dB, and read at every scale. Then each rule
picks among these readings. A rule sees what a service sees: the estimate, the table, and as the prior the
noise of all requests together; their order plays no part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mome.bundle import Bundle, read_bundle
from mome.cli import main
from mome.errors import ConfigError
from mome.expectation import Noises, Surroundings
from mome.model.avsr import Task
from mome.progress import progress
from mome.records import Modality, Promise
from mome.reporting.markdown import columns
from mome.scale_choice import choose
from mome.scales import Scale
from mome.speech.dataset import open_dataset
from mome.speech.media import Clip
from mome.speech.noise import Babble, Noise, with_noise
from mome.speech.noise_estimate import NoiseEstimate, estimate_noise
from mome.speech.noise_file import NoiseFolder
from mome.speech.shards import SplitReader
from mome.training.checkpoint import load_checkpoint
from mome.wer import word_errors

__all__ = ["Readings", "best_at", "rules"]

_NOISY_DB = -5.0
_TOKENS = 0.6  # of those of the finest scale: what was asked for
_BATCH = 16


class Readings(NamedTuple):
    """What every scale made of every request.

    Args:
        scales: Finest first.
        errors: Words that each got wrong; shape (scales, requests).
        words: Of each request.
        tokens: That each cost; shape (scales, requests).
        noisy: Whether noise was mixed into it.
        estimates: Of its noise.
        modality: That was read.
    """

    scales: Sequence[Scale]
    errors: np.ndarray
    words: np.ndarray
    tokens: np.ndarray
    noisy: np.ndarray
    estimates: Sequence[NoiseEstimate]
    modality: Modality


def rules(readings: Readings, bundle: Bundle, promise: Promise) -> dict[str, np.ndarray]:
    """Return the scale of every request by each rule, as index into the scales."""
    evaluation, scales = bundle.evaluation, list(readings.scales)
    noises = Noises(evaluation.conditions)
    heard = [each for each in readings.estimates if each.snr_db is not None and each.kind is not None]
    levels, kinds = [each.snr_db or 0.0 for each in heard], [each.kind or "none" for each in heard]
    window = noises.place_all(noises.without_error(levels, kinds), kinds)
    around = Surroundings(readings.modality, noises.columns, window)
    published = choose(evaluation, [around], scales, promise).scale

    def each_by(place: Callable[[NoiseEstimate], np.ndarray]) -> np.ndarray:
        chosen = []
        for estimate in readings.estimates:
            scale = published
            level = estimate.snr_db
            if level is not None and (estimate.confident or noises.is_clear(level)):
                own = Surroundings(readings.modality, noises.columns, place(estimate))
                scale = choose(evaluation, [own], scales, promise).scale
            chosen.append(scales.index(scale))
        return np.array(chosen)

    def likely(estimate: NoiseEstimate, prior: dict[str, float]) -> np.ndarray:
        return noises.likely([estimate.snr_db or 0.0], [estimate.kind or "none"], prior)

    count = len(readings.words)
    return {
        f"always {scales[0]}": np.zeros(count, int),
        f"always {scales[-1]}": np.full(count, len(scales) - 1),
        "one for the window, as published": np.full(count, scales.index(published)),
        "auto, with the window as prior": each_by(lambda estimate: likely(estimate, around.mean)),
        "auto, without a prior": each_by(lambda estimate: likely(estimate, {})),
        "the measurement's own place": each_by(
            lambda estimate: noises.place_all([estimate.snr_db or 0.0], [estimate.kind or "none"])
        ),
    }


def best_at(readings: Readings, tokens: float) -> float:
    """Return the lowest word error rate of all rules that see which requests are noisy, and no more.

    Such a rule gives each half a scale, and may do so by lot: what it reaches lies between two pairs.

    Args:
        readings: Of every scale.
        tokens: Most of those of the finest scale.
    """
    points = []
    for clean, noisy in product(range(len(readings.scales)), repeat=2):
        points.append(_outcome(readings, np.where(readings.noisy, noisy, clean)))
    best = min(rate for rate, share in points if share <= tokens + 1e-9) if points else 1.0
    for (one, dear), (other, cheap) in combinations(points, 2):
        if (dear - tokens) * (cheap - tokens) < 0:
            best = min(best, other + (one - other) * (tokens - cheap) / (dear - cheap))
    return best


def _outcome(readings: Readings, chosen: np.ndarray) -> tuple[float, float]:
    """Return word error rate, and tokens as a share of those of the finest scale."""
    number = np.arange(len(chosen))
    rate = readings.errors[chosen, number].sum() / readings.words.sum()
    return float(rate), float(readings.tokens[chosen, number].sum() / readings.tokens[0].sum())


def _read(
    bundle: Bundle, dataset: Path, modality: Modality, noise: Path | None, most: int, seed: int
) -> Readings:
    encoders, model = load_checkpoint(bundle.checkpoint, bundle.foundation)
    rng = np.random.default_rng(seed)
    with closing(SplitReader(dataset, "test")) as reader:
        count = min(most, len(reader))
        clips = [reader.clip(index) for index in progress(range(count), "clips")]
        said = [utterance.transcript for utterance in reader.utterances[:count]]
    sound = [clip.samples for clip in clips if clip.samples is not None]
    if len(sound) < len(clips):
        raise ConfigError(f"{dataset}: {len(clips) - len(sound)} of {len(clips)} test clips have no sound")
    source: Noise = Babble(sound) if noise is None else NoiseFolder(noise)
    drowned = [
        Clip(with_noise(source, index, samples, _NOISY_DB, rng), clips[index].mouth)
        for index, samples in enumerate(sound)
    ]
    heard = [clip.only(modality) for clip in [*clips, *drowned]]
    scales = list(bundle.readable(model.scales))
    errors = np.zeros((len(scales), len(heard)))
    for start in progress(range(0, len(heard), _BATCH), f"read {modality}"):
        batch = heard[start : start + _BATCH]
        features = encoders.encode(batch)
        budgets = [bundle.decoding.budget(clip.duration_s) for clip in batch]
        for place, scale in enumerate(scales):
            tasks = [Task(each, scale) for each in features]
            texts = model.transcribe(tasks, budgets, bundle.decoding.num_beams)
            for number, text in enumerate(texts, start):
                errors[place, number] = word_errors(said[number % count], text)[0]
    return Readings(
        scales,
        errors,
        np.array([len(text.split()) for text in said * 2]),
        np.array([[clip.num_tokens(scale) for clip in heard] for scale in scales]),
        np.arange(len(heard)) >= len(clips),
        [estimate_noise(clip.samples) for clip in heard if clip.samples is not None],
        modality,
    )


def _command() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.benchmark.own_scale", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("dataset", help="folder that data.prepare wrote, or s3://bucket/prefix")
    parser.add_argument("--modality", choices=["av", "audio"], default="av")
    parser.add_argument("--noise", type=Path, help="folder of noise at 16 kHz; default: babble of the clips")
    parser.add_argument("--max-wer", type=float, nargs="+", help="promised; default: by the bundle")
    parser.add_argument("--confidence", type=float, default=0.9)
    parser.add_argument("--clips", type=int, default=1000, help="most; default: 1000")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    bundle = read_bundle(given.bundle)
    promises = [
        Promise(max_wer={given.modality: rate}, confidence=given.confidence) for rate in given.max_wer or ()
    ]
    if bundle.promise is not None and not promises:
        promises = [bundle.promise]
    if not promises or given.modality not in promises[0].max_wer:
        raise ConfigError(f"{given.bundle} promises nothing for {given.modality!r}; give --max-wer")
    dataset = open_dataset(given.dataset)
    readings = _read(bundle, dataset, given.modality, given.noise, given.clips, given.seed)
    for promise in promises:
        print(f"\n{promise.max_wer[given.modality]:.1%} promised:\n")
        print(_table(readings, bundle, promise))
    print(f"\n{len(readings.words)} requests, half clean, half {_NOISY_DB:g} dB.")


def _table(readings: Readings, bundle: Bundle, promise: Promise) -> str:
    finest = _outcome(readings, np.zeros(len(readings.words), int))[0]
    rows = []
    for name, chosen in rules(readings, bundle, promise).items():
        rate, share = _outcome(readings, chosen)
        rows.append([name, f"{rate:.1%}", f"{100 * (rate - finest):+.2f}", f"{share:.0%}"])
    best = best_at(readings, _TOKENS)
    known = "the best that sees which are noisy"
    rows.append([known, f"{best:.1%}", f"{100 * (best - finest):+.2f}", f"{_TOKENS:.0%}"])
    return columns(["rule", "word errors", "points above the finest", "tokens of the finest"], rows)


if __name__ == "__main__":
    raise SystemExit(main(_command))
