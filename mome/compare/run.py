"""The comparison from start to end: plan, trials, summary, documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mome.compare.ladder import has_levelled, rung_of
from mome.compare.listening import Listening
from mome.compare.markdown import markdown
from mome.compare.picture import picture
from mome.compare.plan import REFERENCE, SNRS_DB, base_params, models_of, seeded, sequences_each
from mome.compare.rank import size_beside
from mome.compare.records import Comparison, Rung, Trial, Tuned
from mome.compare.summary import gaps_between, summarise_trials
from mome.compare.trial import Trials
from mome.compare.tuning import Grid, pilots, tune, tuned_models
from mome.compare.workers import Workers, hire
from mome.config import EvaluateParams, Threads, TrainParams
from mome.errors import CorpusError
from mome.machine.processor import number_of_threads
from mome.methods import MethodName
from mome.records import snr_key
from mome.storage import write_text
from mome.training.run import source_digest

__all__ = ["Folders", "run"]

_Plans = dict[MethodName, list[TrainParams]]  # every model that a method trains


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
    lengths: Sequence[int],
    grid: Grid | None = None,
    command: str = "python -m mome.compare",
    processes: int = 1,
) -> Comparison:
    """Tune, train and measure every method with every seed, and write what was found.

    First each method's values are searched for with the shortest training. Then the first seed is trained
    longer and longer, until validation falls for no method any more, and the others as long as that.

    Args:
        train: Section ``train``: what all methods share.
        evaluate: Section ``evaluate``; its noise levels are not used.
        folders: Where to read and write.
        methods: In the order of the table.
        seeds: Of training.
        lengths: Steps of the trainings, ascending.
        grid: To search for each method's values in.
        command: To print in the document.
        processes: How many models are trained at once, each with its share of the threads.

    Raises:
        ConfigError: If a step cannot hold the same utterances for every method.
        CorpusError: If the corpus lacks sound or lips, or a split is empty.
    """
    base = base_params(train)
    corpus = json.loads((folders.dataset / "corpus.json").read_text())
    if corpus["modality"] != "av":
        raise CorpusError(
            f"{folders.dataset}: holds {corpus['modality']} recordings, expected sound and lips together (av)"
        )
    trials = Trials(
        folders.dataset,
        folders.foundation,
        folders.work,
        source_digest(folders.dataset, folders.foundation),
        evaluate,
        Listening(
            folders.dataset, evaluate.model_copy(update={"threads": _share(evaluate.threads, processes)})
        ),
        _share(train.threads, processes),
    )
    plans = {method: models_of(base, method, folders.foundation) for method in methods}
    with hire(trials, processes) as workers:
        tuned = _tune(plans, lengths[0], grid or Grid(), workers)
        rungs, levelled = _climb(plans, tuned, seeds[0], lengths, workers)
        steps = rungs[-1].steps
        found = _measure(_jobs(plans, tuned, seeds, steps), workers, f"compare: {steps} steps")
    rows = summarise_trials(found, base, evaluate.bootstrap_samples, evaluate.seed)
    comparison = Comparison(
        corpus=corpus["name"],
        revision=corpus["revision"],
        utterances=len(found[0].words),
        scales=base.scales,
        snrs=[snr_key(snr_db) for snr_db in SNRS_DB],
        seeds=list(seeds),
        steps=steps,
        utterances_per_step=base.batch_size // sequences_each(base),
        trained=list(base.task_weights),
        levelled=levelled,
        bootstrap_samples=evaluate.bootstrap_samples,
        mome_active=size_beside(folders.foundation, base.model_copy(update={"method": REFERENCE})).active,
        interrupted=any(trial.interrupted for trial in found),
        seconds=sum(row.seconds for row in rows),
        tuned=tuned,
        rungs=rungs,
        rows=rows,
        gaps=gaps_between(found, evaluate.bootstrap_samples, evaluate.seed),
    )
    comparison.write(folders.output / "comparison.json")
    write_text(folders.output / "comparison.md", markdown(comparison, command))
    write_text(folders.output / "comparison.html", picture(comparison))
    return comparison


def _share(threads: Threads, processes: int) -> int:
    return max(1, number_of_threads(threads) // processes)


def _tune(plans: _Plans, steps: int, grid: Grid, workers: Workers) -> list[Tuned]:
    tried = {method: pilots(models, steps, grid) for method, models in plans.items()}
    workers.train([job for jobs in tried.values() for job in jobs], "compare: search")
    return [tune(method, jobs, grid, workers.trials) for method, jobs in tried.items()]


def _climb(
    plans: _Plans, tuned: Sequence[Tuned], seed: int, lengths: Sequence[int], workers: Workers
) -> tuple[list[Rung], bool]:
    """Return a rung of every method for every length that was tried, and whether the last was enough."""
    rungs: list[Rung] = []
    before: list[Rung] = []
    for steps in lengths:
        found = _measure(_jobs(plans, tuned, [seed], steps), workers, f"compare: {steps} steps")
        own = [[trial for trial in found if trial.method == each.method] for each in tuned]
        after = [rung_of(each) for each in own]
        rungs += after
        if before and has_levelled(before, after):
            return rungs, True
        before = after
    return rungs, False


def _jobs(plans: _Plans, tuned: Sequence[Tuned], seeds: Sequence[int], steps: int) -> list[TrainParams]:
    return seeded([model for each in tuned for model in tuned_models(plans[each.method], each, steps)], seeds)


def _measure(jobs: Sequence[TrainParams], workers: Workers, said: str) -> list[Trial]:
    workers.measure(jobs, said)
    return [workers.trials.run(job) for job in jobs]
