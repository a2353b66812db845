"""The picture of an evaluation: heat map and curves per modality, and what the lips add, in one HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from mome.config import CORPUS
from mome.records import MODALITY_NAMES, CheckedEstimate, Evaluation, WerCalibration, WordErrors, level
from mome.reporting.charts import Axis, Plot, colour, legend, nice_ticks
from mome.reporting.page import Cell, facts, page, table
from mome.scales import Scale
from mome.storage import write_text
from mome.wer import Difference

__all__ = ["decoding_name", "finest_first", "heat_cell", "noise_name", "write_report"]

_GUIDE = """
<p>A row of a table is a compression scale: <b>a4v2</b> pools 4 audio frames and 2 video frames into one
token. Finer scales (top) cost more tokens per second. A column is a noise: its kind,
mixed in at that signal-to-noise ratio, or none. A cell is the word error rate, with edits / reference words
below it; its colour grows with the square root of the rate. Upright bars are 95 % bootstrap intervals over
utterances: conditions whose bars are far apart differ, conditions whose bars overlap may not.</p>
"""


def write_report(
    evaluation: Evaluation, path: Path, av_minus_audio: Mapping[str, Mapping[str, Difference]] | None = None
) -> None:
    """Write the report.

    Args:
        evaluation: The table to draw.
        path: HTML file to write, whole or not at all.
        av_minus_audio: ``[scale][condition_key]``: what lips change at the same scale, with its paired
            interval (`mome.wer.difference`). Without it the differences are shown without intervals.
    """
    noise = [condition.key for condition in evaluation.conditions]
    head = facts(
        [
            ("corpus", evaluation.corpus),
            ("revision", evaluation.revision),
            ("test utterances", evaluation.utterances),
            ("gate and monitor look at", MODALITY_NAMES[evaluation.modality]),
            ("noise", noise_name(evaluation)),
            ("texts written with", decoding_name(evaluation)),
        ]
    )
    parts = [head]
    for modality, name in MODALITY_NAMES.items():
        rows = evaluation.wer.get(modality)
        if rows:
            trained = {scale: row for scale, row in rows.items() if scale not in evaluation.untrained}
            parts += [f"<h2>{name.capitalize()}</h2>", _heat_map(evaluation, rows, noise)]
            parts.append(_curves(trained, noise))
            if evaluation.untrained:
                parts.append(_by_tokens(evaluation, rows, noise))
        if modality == "av" and rows and "audio" in evaluation.wer:
            parts.append(_lips(rows, evaluation.wer["audio"], noise, av_minus_audio))
    if evaluation.calibration is not None and evaluation.calibration.checked:
        parts += ["<h2>Estimated without transcripts</h2>", _estimates(evaluation.calibration, noise)]
    parts += ["<h2>How noisy it looks</h2>", _conditions(evaluation), "<h2>How to read this</h2>", _GUIDE]
    write_text(path, page(f"Word error rate of {evaluation.corpus}", "\n".join(parts)))


def decoding_name(table: Evaluation) -> str:
    """Return in words how texts were written."""
    if table.decoding is None:
        return "settings that were not kept"
    beams, most = table.decoding.num_beams, table.decoding.max_new_tokens
    tokens = "tokens by duration" if most == "by_duration" else f"at most {most} tokens"
    return f"{beams} {'beam' if beams == 1 else 'beams'} and {tokens}"


def noise_name(evaluation: Evaluation) -> str:
    """Return in words what was mixed in."""
    return "; ".join(f"{noise}: {_source(noise, source)}" for noise, source in evaluation.noise.items())


def _source(noise: str, source: str) -> str:
    if source == CORPUS:
        return "of other test utterances"
    if source == "made":
        return "made at random"
    return f"{'a file' if noise == 'babble' else 'a folder'}, SHA-256 {source[:12]}"


def heat_cell(errors: WordErrors, small: str | None = None) -> Cell:
    """Return a table cell that is the darker the more words are wrong.

    Args:
        errors: What was counted.
        small: HTML of the line below the rate; edits and reference words unless given.
    """
    strength = 0.75 * min(1.0, errors.rate) ** 0.5
    title = f"95 %: {errors.low:.1%} to {errors.high:.1%}"
    return Cell(
        f'<td title="{title}" style="background:rgb(214 84 30 / {strength:.2f})">{errors.rate:.1%}'
        f"<small>{f'{errors.errors} / {errors.words}' if small is None else small}</small></td>"
    )


def finest_first(scales: Iterable[str]) -> list[str]:
    """Return scales by the tokens that they cost, dearest first."""
    return sorted(scales, key=lambda scale: Scale.parse(scale).tokens_per_second, reverse=True)


def _heat_map(
    evaluation: Evaluation, rows: Mapping[str, Mapping[str, WordErrors]], noise: Sequence[str]
) -> str:
    head = ["scale", "tokens/s", *map(level, noise)]
    body = []
    for scale in finest_first(rows):
        cells = [heat_cell(rows[scale][key]) if key in rows[scale] else "–" for key in noise]
        name = f"{scale}, never trained" if scale in evaluation.untrained else scale
        body.append([name, f"{Scale.parse(scale).tokens_per_second:g}", *cells])
    return table(head, body, css="number")


def _by_tokens(
    evaluation: Evaluation, rows: Mapping[str, Mapping[str, WordErrors]], noise: Sequence[str]
) -> str:
    """Return the rates over what a second costs, trained scales and others, at both ends of the table."""
    ends = list(dict.fromkeys([noise[0], noise[-1]]))
    cells = [
        (Scale.parse(scale).tokens_per_second, row[key], f"{scale} at {level(key)}", key, scale)
        for scale, row in rows.items()
        for key in ends
        if key in row
    ]
    x_ticks = nice_ticks(max(cell[0] for cell in cells))
    y_ticks = nice_ticks(max(100 * errors.high for _, errors, *_ in cells))
    plot = Plot(
        Axis(0, x_ticks[-1], [(tick, f"{tick:g}") for tick in x_ticks], "tokens per second"),
        Axis(0, y_ticks[-1], [(tick, f"{tick:g} %") for tick in y_ticks], "word error rate"),
        "Word error rate over tokens per second, of scales that were trained and scales that were not",
    )
    names: list[str] = []
    for key in ends:
        for kind, untrained in (("trained", False), ("never trained", True)):
            series = colour(len(names))
            names.append(f"{level(key)}, {kind}")
            chosen = [
                each for each in cells if each[3] == key and (each[4] in evaluation.untrained) == untrained
            ]
            plot.intervals([(x, 100 * cell.low, 100 * cell.high) for x, cell, *_ in chosen], series)
            plot.dots(
                [(x, 100 * cell.rate, f"{text}: {cell.rate:.1%}") for x, cell, text, *_ in chosen], series
            )
    return (
        "<p>What a second costs, and what it gets wrong, clean and in the last noise of the table. The"
        " monitor may serve a scale that was never trained, where its place in the table keeps the promise;"
        " the gate judges the trained ones alone.</p>" + legend(names) + plot.svg()
    )


def _curves(rows: Mapping[str, Mapping[str, WordErrors]], noise: Sequence[str]) -> str:
    scales = finest_first(rows)
    ticks = nice_ticks(max(100 * cell.high for row in rows.values() for cell in row.values()))
    plot = Plot(
        Axis(
            -0.4,
            max(len(noise) - 0.6, 0.4),
            [(i, key.rpartition("_")[2]) for i, key in enumerate(noise)],
            "signal-to-noise ratio in dB",
        ),
        Axis(0, ticks[-1], [(tick, f"{tick:g} %") for tick in ticks], "word error rate"),
        "Word error rate over noise, one line per scale",
    )
    for number, (kind, group) in enumerate(groupby(enumerate(noise), lambda each: _kind(each[1]))):
        places = [place for place, _ in group]
        plot.span(places[0] - 0.4, places[-1] + 0.4, kind, shaded=number % 2 == 1)
    for index, scale in enumerate(scales):
        # Side by side, so that the bars of one noise level do not hide each other.
        shift = 0.07 * (index - (len(scales) - 1) / 2)
        cells = [(i + shift, rows[scale][key], key) for i, key in enumerate(noise) if key in rows[scale]]
        for kind in dict.fromkeys(
            _kind(key) for _, _, key in cells
        ):  # a line does not lead from one to another
            plot.line([(x, 100 * cell.rate) for x, cell, key in cells if _kind(key) == kind], colour(index))
        plot.intervals([(x, 100 * cell.low, 100 * cell.high) for x, cell, _ in cells], colour(index))
        plot.dots(
            [
                (x, 100 * c.rate, f"{scale} at {level(key)}: {c.rate:.1%} ({c.low:.1%} to {c.high:.1%})")
                for x, c, key in cells
            ],
            colour(index),
        )
    return legend(scales) + plot.svg()


def _kind(key: str) -> str:
    return key.rpartition("_")[0]


def _lips(
    av: Mapping[str, Mapping[str, WordErrors]],
    audio: Mapping[str, Mapping[str, WordErrors]],
    noise: Sequence[str],
    differences: Mapping[str, Mapping[str, Difference]] | None,
) -> str:
    body = []
    for scale in finest_first(av):
        cells: list[str] = []
        for key in noise:
            measured = (differences or {}).get(scale, {}).get(key)
            if measured is not None:
                cells.append(_difference_cell(measured.rate, measured.low, measured.high))
            elif key in av[scale] and key in audio.get(scale, {}):
                cells.append(_difference_cell(av[scale][key].rate - audio[scale][key].rate, None, None))
            else:
                cells.append("–")
        body.append([scale, *cells])
    said = (
        "Below it the paired 95 % bootstrap interval; a tinted cell is one whose interval leaves zero out."
        if differences
        else "No intervals were computed for these differences."
    )
    return (
        "<h2>What the lips add</h2><p>Word error rate with lips minus without, at the same scale, in"
        f" percentage points: negative is better with lips. {said}</p>"
        + table(["scale", *map(level, noise)], body, css="number")
    )


def _difference_cell(rate: float, low: float | None, high: float | None) -> Cell:
    if low is None or high is None:
        return Cell(f"<td>{100 * rate:+.1f}</td>")
    tint = "rgb(27 138 90 / .32)" if high < 0 else "rgb(214 84 30 / .4)" if low > 0 else "var(--panel)"
    interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
    return Cell(f'<td style="background:{tint}">{100 * rate:+.1f}<small>{interval}</small></td>')


def _estimates(calibration: WerCalibration, noise: Sequence[str]) -> str:
    """Return the picture of estimated over true rates, and a table of each modality."""
    checked = calibration.checked
    cells = [cell for rows in checked.values() for row in rows.values() for cell in row.values()]
    ticks = nice_ticks(100 * max(max(cell.true, cell.estimated) for cell in cells))
    marks = [(tick, f"{tick:g} %") for tick in ticks]
    plot = Plot(
        Axis(0, ticks[-1], marks, "true word error rate"),
        Axis(0, ticks[-1], marks, "estimated"),
        "Estimated word error rate over the true one, a dot for each scale and noise",
    )
    plot.line([(0, 0), (ticks[-1], ticks[-1])], "var(--line)")
    tables = []
    for index, (modality, rows) in enumerate(checked.items()):
        plot.dots(
            [
                (100 * cell.true, 100 * cell.estimated, f"{scale} at {level(key)}")
                for scale, row in rows.items()
                for key, cell in row.items()
            ],
            colour(index),
        )
        body = [
            [scale, *(_estimate_cell(rows[scale].get(key)) for key in noise)] for scale in finest_first(rows)
        ]
        head = ["scale", *map(level, noise)]
        tables += [f"<h3>{MODALITY_NAMES[modality].capitalize()}</h3>", table(head, body, css="number")]
    names = [MODALITY_NAMES[modality] for modality in checked]
    return (
        "<p>What the service will say of requests from how sure the decoder is of their words, by curves that"
        f" were fitted on {calibration.clips} validation clips. Here it is asked of the test clips: estimated"
        " and true word error rate, and below them the largest difference in a window of 100 clips (of all,"
        " where there are fewer), in percentage points, with the standard deviation that chance alone gives"
        " such a window.</p>" + legend(names) + plot.svg() + "".join(tables)
    )


def _estimate_cell(cell: CheckedEstimate | None) -> Cell:
    if cell is None:
        return Cell("<td>–</td>")
    return Cell(
        f"<td>{cell.estimated:.1%} / {cell.true:.1%}"
        f"<small>{100 * cell.largest:.1f}, chance {100 * cell.chance:.1f}</small></td>"
    )


def _conditions(evaluation: Evaluation) -> str:
    body = [
        [
            level(c.key),
            f"{c.estimated_snr_db:.1f} dB",
            f"{c.low:.1f} to {c.high:.1f} dB",
            ", ".join(f"{kind} {share:.0%}" for kind, share in c.kinds.items()) or "–",
        ]
        for c in evaluation.conditions
    ]
    return (
        "<p>What the noise estimator says about the same clips. The monitor places a measurement of the"
        " running service in this table before it looks up the word error rate.</p>"
        + table(["true", "estimated, median", "8 of 10 clips", "named"], body, css="number")
    )
