"""Trials summed over seeds and models to one row per method, with intervals over utterances."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from mome.compare.records import Cell, Gap, Row, Trial
from mome.config import TrainParams
from mome.errors import EvaluationError
from mome.methods import METHODS, MethodName
from mome.records import WordErrors
from mome.wer import bootstrap

__all__ = ["gaps_between", "method_name", "summarise_trials"]

_LORA_NAMES = {
    "llama-avsr": "Llama-AVSR",
    "mtsk-ms": "MTSK MS",
    "mtsk-ss": "MTSK SS",
    "mtsk-mss": "MTSK MSS",
}
Counts = dict[str, dict[int, npt.NDArray[np.int64]]]  # per condition and seed: edits per utterance


def method_name(method: MethodName, params: TrainParams) -> str:
    """Return the name that the papers print; a dagger stands for one model per rate pair."""
    name: str = _LORA_NAMES.get(method, method)
    if METHODS[method].experts is not None:
        kept = params.top_k if isinstance(params.top_k, int) else max(params.top_k.values())
        name = f"MoME-{params.num_experts}/{kept}-{method.removeprefix('mome-').upper()}"
    return name + "†" * METHODS[method].one_scale


def summarise_trials(
    trials: Sequence[Trial], params: TrainParams, bootstrap_samples: int, seed: int
) -> list[Row]:
    """Return a row per method, in the order in which they first appear.

    All seeds of an utterance are drawn together: its words are hard for every one of them.

    Raises:
        EvaluationError: If trials were measured on different utterances.
    """
    words = _words(trials)
    seeds = {trial.seed for trial in trials}
    rows = []
    for method in dict.fromkeys(trial.method for trial in trials):
        own = [trial for trial in trials if trial.method == method]
        first = own[0]
        cells = {
            condition: _cell(by_seed, words, bootstrap_samples, seed)
            for condition, by_seed in _counts(own).items()
        }
        rows.append(
            Row(
                method=method,
                name=method_name(method, params),
                lora_rank=first.lora_rank,
                trained=first.trained,
                active=first.active,
                models=len(own) // len(seeds),
                utterances=first.utterances,
                seconds=sum(trial.training_s + trial.evaluation_s for trial in own),
                cells=cells,
            )
        )
    return rows


def gaps_between(trials: Sequence[Trial], bootstrap_samples: int, seed: int) -> list[Gap]:
    """Return the differences of every two methods in every condition that both were measured in.

    The same utterances are drawn for both, so that what is hard for both does not widen the interval.
    """
    words = _words(trials)
    counts = {
        method: _counts([trial for trial in trials if trial.method == method])
        for method in dict.fromkeys(trial.method for trial in trials)
    }
    gaps = []
    for first, second in combinations(counts, 2):
        for condition, by_seed in counts[first].items():
            if condition in counts[second]:
                apart = {each: by_seed[each] - counts[second][condition][each] for each in by_seed}
                low, high = bootstrap(
                    np.sum(list(apart.values()), axis=0), words * len(apart), bootstrap_samples, seed
                )
                gaps.append(
                    Gap(
                        first=first,
                        second=second,
                        condition=condition,
                        rate=float(np.sum(list(apart.values())) / (words.sum() * len(apart))),
                        low=low,
                        high=high,
                        same_sign=len({int(np.sign(each.sum())) for each in apart.values()}) == 1,
                    )
                )
    return gaps


def _cell(
    by_seed: dict[int, npt.NDArray[np.int64]], words: npt.NDArray[np.int64], samples: int, seed: int
) -> Cell:
    total, lengths = np.sum(list(by_seed.values()), axis=0), words * len(by_seed)
    low, high = bootstrap(total, lengths, samples, seed)
    return Cell(
        total=WordErrors(errors=int(total.sum()), words=int(lengths.sum()), low=low, high=high),
        by_seed={each: float(errors.sum() / words.sum()) for each, errors in by_seed.items()},
    )


def _counts(trials: Sequence[Trial]) -> Counts:
    counts: Counts = {}
    for trial in trials:
        for condition, errors in trial.errors.items():
            counts.setdefault(condition, {})[trial.seed] = np.asarray(errors)
    return counts


def _words(trials: Sequence[Trial]) -> npt.NDArray[np.int64]:
    words = trials[0].words
    for trial in trials:
        if trial.words != words:
            raise EvaluationError(
                f"{trial.method} was measured on {len(trial.words)} utterances of {sum(trial.words)} words, "
                f"{trials[0].method} on {len(words)} of {sum(words)}: the same were expected"
            )
    return np.asarray(words)
