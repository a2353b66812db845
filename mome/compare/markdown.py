"""The comparison as a document: the two tables of the papers, what they say, and how they were made."""

from __future__ import annotations

from collections.abc import Sequence

from mome.compare.ladder import within_time
from mome.compare.records import Cell, Comparison, Row
from mome.compare.sentences import Labelled, clean_conditions, listed, noisy_conditions, pair, sentences
from mome.records import MODALITY_NAMES

__all__ = ["cell_text", "clock", "markdown"]


def markdown(comparison: Comparison, command: str) -> str:
    """Return the document.

    Args:
        comparison: What was found.
        command: That made it.
    """
    said = sentences(comparison)
    parts = [
        "# The methods compared in miniature",
        f"Word error rate in percent of sound and lips together, with 95 % intervals over the "
        f"{comparison.utterances} test utterances of the corpus `{comparison.corpus}`. Errors and words are "
        f"summed over {_count(len(comparison.seeds), 'seed')}. † trains a separate model for each rate pair. "
        "This is a small corpus with small models: it compares the methods here, not on the papers' data.",
        "## The paper's claims, here",
        "\n".join(f"- {line}" for line in said.pop("The paper's claims, here", [])) or "Nothing to compare.",
        "## Word error rate by rate pair, clean speech",
        _errors(comparison.rows, clean_conditions(comparison)),
        "## Word error rate by noise",
        "Babble of other test utterances, at the signal-to-noise ratio of the column.",
    ]
    for scale in comparison.scales:
        parts += [f"### At {pair(scale)}", _errors(comparison.rows, noisy_conditions(comparison, scale))]
    parts += ["## What each method was given", _budget(comparison), _costs(comparison)]
    parts += ["## What was chosen on validation", _search(comparison), _chosen(comparison)]
    parts += ["## Longer and longer", _climbing(comparison), _ladder(comparison)]
    parts += ["## In equal time", _in_time(comparison)]
    parts.append("## What it says")
    parts.append(
        "A difference is told only if the interval of the difference on the same utterances leaves out zero "
        f"and its sign is the same in {'every seed' if len(comparison.seeds) > 1 else 'the one seed'}."
    )
    for heading, lines in said.items():
        parts += [f"### {heading}", "\n".join(f"- {line}" for line in lines)]
    parts += ["## Seed by seed", _seeds(comparison), "## How it was made", _making(comparison, command)]
    return "\n\n".join(parts) + "\n"


def cell_text(cell: Cell) -> str:
    """Return a rate with its interval, in percent."""
    total = cell.total
    return f"{100 * total.rate:.1f} ({100 * total.low:.1f}–{100 * total.high:.1f})"


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _errors(rows: Sequence[Row], columns: Sequence[Labelled]) -> str:
    head = ["method", "active", *(column.label for column in columns)]
    body = [
        [row.name, f"{row.active:,}", *(cell_text(row.cells[column.condition]) for column in columns)]
        for row in rows
    ]
    return _table(head, body)


def _costs(comparison: Comparison) -> str:
    head = [
        "method",
        "LoRA rank",
        "active",
        "MoME's active",
        "difference",
        "trained in one model",
        "models per seed",
        "utterances per model",
        "time",
    ]
    met = comparison.mome_active
    body = [
        [
            row.name,
            "–" if row.lora_rank is None else str(row.lora_rank),
            f"{row.active:,}",
            f"{met:,}",
            f"{(row.active - met) / met:+.1%}",
            f"{row.trained:,}",
            str(row.models),
            f"{row.utterances:,}",
            clock(row.seconds),
        ]
        for row in comparison.rows
    ]
    return _table(head, body)


def _budget(comparison: Comparison) -> str:
    return (
        f"Every model hears the same utterances as often: {comparison.steps:,} steps of "
        f"{comparison.utterances_per_step}, the same epochs for every method, as in the papers. A joint "
        "model reads each of them at all pairs in a step, a model of one scale at its own. Active are the "
        "parameters beside the LLM that one token of one pair meets. "
        "LoRA's rank is the one that comes nearest to MoME's count. Where adapters are summed (MTSK MSS), it "
        "holds for their sum; the papers give that method twice the parameters. Projectors and LoRA on the "
        "audio encoder come on top, built alike for every method."
    )


def _search(comparison: Comparison) -> str:
    tried = comparison.tuned[0]
    rates = dict.fromkeys(f"{attempt.learning_rate:g}" for attempt in tried.attempts)
    factors = dict.fromkeys(f"{attempt.factor:g}" for attempt in tried.attempts)
    return (
        f"Each method was trained {len(tried.attempts)} times for {tried.steps:,} steps: with the learning "
        f"rates {', '.join(rates)}, and with what its adapters add at their start at {', '.join(factors)} "
        "times what is published, expressed for the width of this LLM (`mome/compare/plan.py`). What ended "
        "with the lowest validation loss was taken. Methods of one scale were tried at the first."
    )


def _chosen(comparison: Comparison) -> str:
    names = {row.method: row.name for row in comparison.rows}
    head = ["method", "learning rate", "factor", "validation loss", "of all tries, lowest to highest"]
    body = []
    for tuned in comparison.tuned:
        losses = [attempt.validation_loss for attempt in tuned.attempts]
        body.append(
            [
                names[tuned.method],
                f"{tuned.learning_rate:g}",
                f"{tuned.factor:g}",
                f"{min(losses):.3f}",
                f"{min(losses):.3f} to {max(losses):.3f}",
            ]
        )
    return _table(head, body)


def _climbing(comparison: Comparison) -> str:
    end = (
        "The next longer one lowered no method's validation loss by 2 % or more: that one is in the tables."
        if comparison.levelled
        else "Validation still fell for some method when the longest one ended: with more steps, the tables "
        "may change."
    )
    return (
        f"With seed {comparison.seeds[0]}, every method was trained longer and longer, each time from the "
        f"start and with a learning rate that ends at zero. {end}"
    )


def _ladder(comparison: Comparison) -> str:
    names = {row.method: row.name for row in comparison.rows}
    lengths = list(dict.fromkeys(rung.steps for rung in comparison.rungs))
    losses = {(rung.method, rung.steps): f"{rung.validation_loss:.3f}" for rung in comparison.rungs}
    head = ["validation loss", *(f"{steps:,} steps" for steps in lengths)]
    return _table(
        head, [[name, *(losses[method, steps] for steps in lengths)] for method, name in names.items()]
    )


def _in_time(comparison: Comparison) -> str:
    fitting = within_time(comparison.rungs)
    columns = clean_conditions(comparison)
    head = ["method", "steps", "training", *(column.label for column in columns)]
    body = [
        [
            row.name,
            *(
                [
                    f"{fitting[row.method].steps:,}",
                    clock(fitting[row.method].training_s),
                    *(f"{100 * fitting[row.method].rates[column.condition]:.1f}" for column in columns),
                ]
                if row.method in fitting
                else ["–"] * (2 + len(columns))
            ),
        ]
        for row in comparison.rows
    ]
    said = (
        "The longest training of each method that takes no more time than the longest of the quickest "
        f"one, all its models together; word error rate on clean speech, seed {comparison.seeds[0]}, without "
        "intervals."
    )
    return f"{said}\n\n{_table(head, body)}"


def _seeds(comparison: Comparison) -> str:
    columns = clean_conditions(comparison)
    head = ["method", *(column.label for column in columns)]
    body = [
        [
            row.name,
            *(
                " / ".join(f"{100 * rate:.1f}" for rate in row.cells[column.condition].by_seed.values())
                for column in columns
            ),
        ]
        for row in comparison.rows
    ]
    listed = ", ".join(str(seed) for seed in comparison.seeds)
    return f"Clean speech, seeds {listed}.\n\n{_table(head, body)}"


def _making(comparison: Comparison, command: str) -> str:
    lines = [
        f"Made by `{command}`.",
        f"Corpus revision {comparison.revision}; seeds {', '.join(map(str, comparison.seeds))}.",
        _tasks(comparison),
        "All that was not searched for is as in `params.yaml`, for every method.",
        "Every model is tested on the same clips in the same babble. Decoding is greedy.",
        f"Intervals: {comparison.bootstrap_samples:,} bootstrap draws of utterances; all seeds of an "
        "utterance are drawn together, and the same draws serve both sides of a difference. They tell how "
        "another test set would differ, not how another seed would: for that see the rates seed by seed.",
        "The method with the lowest rate is picked after the fact, so differences from it look a little "
        "larger than they are.",
        f"Training and evaluation took {clock(comparison.seconds)} (hours:minutes:seconds) in all."
        + (" At least: an interrupted training counts from where it went on." * comparison.interrupted),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _tasks(comparison: Comparison) -> str:
    if comparison.trained == ["av"]:
        return "Trained for sound and lips together alone, as for the papers' tables."
    tasks = listed([MODALITY_NAMES[each] for each in comparison.trained])
    return (
        f"Every utterance of a step is read as {tasks}, as `make run` trains; the "
        "papers' tables are of models that are trained for sound and lips together alone."
    )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *body])
