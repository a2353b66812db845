"""What the monitor heard and what the next training would hear, for people."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from mome.config import TrainParams
from mome.records import RetrainRequest, level, snr_key
from mome.reporting.charts import Axis, Plot, colour
from mome.reporting.report import Report

__all__ = ["describe", "describe_none"]

_MARGIN_DB = 5.0  # beside the outermost level of the picture


def describe(request: RetrainRequest, before: TrainParams, after: TrainParams, page: Path) -> None:
    """Write what is asked for and how to start it; nothing is started by itself.

    Args:
        request: What the monitor left.
        before: Section ``train`` of the last training.
        after: Section ``train`` of the next one.
        page: HTML file to write.
    """
    new = [level_ for level_ in after.noise_snrs_db if level_ not in before.noise_snrs_db]
    report = Report("A new training is asked for")
    report.verdict(False, "no scale fits", "nothing was started: a person or CI decides on a new training")
    report.facts(
        [
            ("observed noise", f"{request.snr_low_db:.1f} to {request.snr_high_db:.1f} dB, {request.noise}"),
            ("recordings of it", request.recordings or "none: the nearest kind is made"),
            ("asked at", f"{request.at:%Y-%m-%d %H:%M:%S} UTC"),
            ("why", request.reason),
            ("new noise levels", _levels(new) if new else "none: the last training heard these already"),
        ]
    )
    report.heading("Noise of a training")
    report.table(
        ["training", "sources, each drawn as often", "levels, each drawn as often as it stands here"],
        [
            ["last", before.noise, _levels(before.noise_snrs_db)],
            ["next", after.noise, _levels(after.noise_snrs_db)],
        ],
        numbers=False,
    )
    report.picture(_picture(request, before, after))
    if not new and after.noise == before.noise:
        report.say(
            "More of the same may not help: look at the word errors at this noise in step evaluate of the "
            "last training, and think of more data, a finer scale or a wider budget."
        )
    report.heading("Start it")
    report.say("Fill in corpus and registry of the last training; all else is as in params.yaml:")
    levels = "[" + ", ".join(map(snr_key, after.noise_snrs_db)) + "]"
    noise = [] if after.noise == before.noise else [f"train.noise={after.noise}"]
    changes = [*noise, f"train.noise_snrs_db={levels}", "corpus=CORPUS", "registry=REGISTRY"]
    sets = [part for change in changes for part in ("--set", change)]
    report.command(shlex.join(["python", "-m", "pipelines.submit", "training", *sets]))
    report.say(
        "The workflow retrain.yml does the same when it is sent retrain.json as snr-drift; instead of "
        "recordings it takes noise of the nearest kind."
    )
    report.write(page)


def describe_none(page: Path) -> None:
    """Write that no training is asked for."""
    report = Report("No new training is asked for")
    report.verdict(True, "nothing to do", "a scale fits the noise, or the wish was taken over already")
    report.write(page)


def _levels(levels: Sequence[float | None]) -> str:
    return ", ".join(level(snr_key(each)) for each in levels)


def _picture(request: RetrainRequest, before: TrainParams, after: TrainParams) -> str:
    """Draw the levels of both trainings above one another, and the observed range behind them."""
    rows = [(2.0, before.noise_snrs_db, colour(0)), (1.0, after.noise_snrs_db, colour(1))]
    noisy = [each for _, levels, _ in rows for each in levels if each is not None]
    low = min([*noisy, request.snr_low_db]) - _MARGIN_DB
    high = max([*noisy, request.snr_high_db]) + _MARGIN_DB
    plot = Plot(
        Axis(low, high, [(each, f"{each:g} dB") for each in sorted(set(noisy))], "signal-to-noise ratio"),
        Axis(0.5, 2.5, [(2.0, "last"), (1.0, "next")], ""),
        "Noise levels of the last and the next training, and what was observed",
        height=150,
    )
    # Wider by a little, so that noise of one level can be seen too.
    plot.span(request.snr_low_db - 0.2, request.snr_high_db + 0.2, "observed", shaded=True)
    for row, levels, fill in rows:
        plot.dots([(each, row, f"{each:g} dB") for each in levels if each is not None], fill, 6)
    return plot.svg()
