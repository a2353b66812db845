"""The comparison from start to end: plan, trials, summary, documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mome.compare.listening import Listening
from mome.compare.markdown import markdown
from mome.compare.picture import picture
from mome.compare.plan import REFERENCE, SNRS_DB, base_params, noisy_scales, plan
from mome.compare.rank import size_beside
from mome.compare.records import Comparison
from mome.compare.summary import gaps_between, summarise_trials
from mome.compare.trial import Trials
from mome.config import EvaluateParams, TrainParams
from mome.errors import CorpusError
from mome.methods import MethodName
from mome.progress import progress
from mome.records import snr_key
from mome.storage import write_text
from mome.training.run import source_digest

__all__ = ["Folders", "run"]


@dataclass(frozen=True)
class Folders:
    """Where to read and write.

    Args:
        dataset: Written by ``data.prepare``.
        foundation: With the frozen models.
        output: For ``comparison.json``, ``comparison.md`` and ``comparison.html``.
        work: Outlives an interruption; a finished trial in it is not repeated.
    """

    dataset: Path
    foundation: Path
    output: Path
    work: Path


def run(
    train: TrainParams,
    evaluate: EvaluateParams,
    folders: Folders,
    methods: Sequence[MethodName],
    seeds: Sequence[int],
    steps: int | None = None,
    command: str = "python -m mome.compare",
) -> Comparison:
    """Train and measure every method with every seed, and write what was found.

    Args:
        train: Section ``train``: what all methods share.
        evaluate: Section ``evaluate``; its noise levels are not used.
        folders: Where to read and write.
        methods: In the order of the table.
        seeds: Of training.
        steps: Of every training; None takes ``train.steps``.
        command: To print in the document.

    Raises:
        ConfigError: If a step cannot hold the same number of sequences for every method.
        CorpusError: If the corpus lacks sound or lips, or a split is empty.
    """
    base = base_params(train, steps)
    corpus = json.loads((folders.dataset / "corpus.json").read_text())
    if corpus["modality"] != "av":
        raise CorpusError(
            f"{folders.dataset}: holds {corpus['modality']} recordings, expected sound and lips together (av)"
        )
    noisy = noisy_scales(base)
    trials = Trials(
        folders.dataset,
        folders.foundation,
        folders.work,
        source_digest(folders.dataset, folders.foundation),
        evaluate,
        noisy,
        Listening(folders.dataset, evaluate),
    )
    jobs = plan(base, folders.foundation, methods, seeds)
    # What is finished would make the rest look quick.
    for job in progress([job for job in jobs if not trials.is_done(job)], "compare: all models"):
        trials.run(job)
    found = [trials.run(job) for job in jobs]
    rows = summarise_trials(found, base, evaluate.bootstrap_samples, evaluate.seed)
    comparison = Comparison(
        corpus=corpus["name"],
        revision=corpus["revision"],
        utterances=len(found[0].words),
        scales=base.scales,
        noisy_scales=list(noisy),
        snrs=[snr_key(snr_db) for snr_db in SNRS_DB],
        seeds=list(seeds),
        steps=base.steps,
        sequences_per_step=base.batch_size,
        learning_rate=base.learning_rate,
        bootstrap_samples=evaluate.bootstrap_samples,
        settings_of=train.method,
        mome_active=size_beside(folders.foundation, base.model_copy(update={"method": REFERENCE})).active,
        interrupted=any(trial.interrupted for trial in found),
        seconds=sum(row.seconds for row in rows),
        rows=rows,
        gaps=gaps_between(found, evaluate.bootstrap_samples, evaluate.seed),
    )
    comparison.write(folders.output / "comparison.json")
    write_text(folders.output / "comparison.md", markdown(comparison, command))
    write_text(folders.output / "comparison.html", picture(comparison))
    return comparison
