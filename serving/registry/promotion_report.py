"""What a promotion changed: the champion before, the way out and the way back."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from mome.evaluation.report import finest_first
from mome.records import condition_order, level
from mome.registry.history import Entry, History, Version
from mome.reporting.charts import Axis, Plot, colour, nice_ticks
from mome.reporting.report import Report
from serving.registry.registry import Registry

__all__ = ["describe"]

_LEFT, _RIGHT = 0.6, 0.4  # of the first and the last champion in the picture, in champions


def describe(
    models: Registry,
    address: str,
    before: History,
    version: str,
    removed: Sequence[str],
    page: Path,
) -> None:
    """Write what a person wants to know after a promotion.

    Args:
        models: The registry, after it.
        address: Of the registry; empty where the environment says it.
        before: What had happened before.
        version: That was promoted.
        removed: Versions whose files were deleted for it.
        page: HTML file to write.
    """
    history = models.history(before.corpus)
    champion = history.versions[version]
    entry = _promotion(history, version)
    replaced = None if entry.replaced is None else history.versions[entry.replaced]
    is_new = entry not in before.entries

    report = Report(f"Model of {history.corpus}: {version}")
    if is_new:
        report.verdict(
            True, "promoted", f"it is the champion of {history.corpus} now; the gate said: {champion.gate}"
        )
    else:
        report.verdict(True, "champion already", f"since {entry.at:%Y-%m-%d %H:%M} UTC; nothing was changed")
    report.facts(
        [
            ("corpus", history.corpus),
            ("version", version),
            ("champion before", "none, this is the first" if replaced is None else replaced.version),
            ("word errors, clean", _clean(champion, replaced)),
            ("kept to go back to", ", ".join(history.way_back) or "none yet"),
            ("files deleted of", ", ".join(removed) or "none"),
        ]
    )
    report.heading("Word error rate")
    if replaced is not None:
        report.say("In brackets that of the champion before.")
    report.table(*_table(champion, replaced))
    _champions(report, history, champion)
    report.heading("Serve it")
    report.say("Put this into the overlay and apply it (docs/day-two.md, Roll out a version):")
    report.command(_overlay(champion))
    report.heading("Go back")
    if history.way_back:
        report.say(
            "First the pods, with kubectl rollout undo; then the champion, which is then "
            f"{history.way_back[0]} again:"
        )
        registry = ["--registry", address] if address else []
        command = ["python", "-m", "serving.registry", *registry, "rollback", history.corpus]
        report.command(shlex.join([*command, "--reason", "why it has to go"]))
    else:
        report.say("There is no earlier champion to go back to.")
    report.heading("Where it comes from")
    lineage = champion.lineage
    report.facts(
        [
            ("data", champion.revision),
            ("code", lineage.code or "not known"),
            ("run", lineage.run or "not known"),
            ("trained by", lineage.image or "not known"),
            ("serve with", lineage.serve_image or "not known"),
            ("monitor with", lineage.monitor_image or "not known"),
            ("files", models.uri(champion)),
        ]
    )
    report.write(page)


def _overlay(champion: Version) -> str:
    """Return what a rollout changes in the overlay; images by digest alone, for a tag may move."""
    served = (("mome-serve", champion.lineage.serve_image), ("mome-monitor", champion.lineage.monitor_image))
    images = []
    for name, image in served:
        address, _, digest = image.partition("@")
        if digest:
            images += [f"  - name: {name}", f"    newName: {address}", f"    digest: {digest}"]
    model = ["  - name: mome-model", "    behavior: merge", "    literals:"]
    model += [f"      - corpus={champion.corpus}", f"      - version={champion.version}"]
    return "\n".join([*(["images:", *images] if images else []), "configMapGenerator:", *model])


def _promotion(history: History, version: str) -> Entry:
    """Return what made a version the champion, last."""
    made = [e for e in history.entries if e.version == version and e.event in ("promoted", "rolled back")]
    return made[-1]


def _clean(champion: Version, replaced: Version | None) -> str:
    key = f"wer_{champion.default_scale}_clean"
    said = f"{_rate(champion, key)} at {champion.default_scale}"
    return said if replaced is None else f"{said}, before {_rate(replaced, key)}"


def _table(champion: Version, replaced: Version | None) -> tuple[list[str], list[list[str]]]:
    """Return head and rows: a scale per row, a noise level per column, clean speech first."""
    cells = {tuple(name.split("_", 2)[1:]) for name in champion.figures if name.startswith("wer_")}
    noise = sorted({key for _, key in cells}, key=condition_order)
    rows = []
    for scale in finest_first({scale for scale, _ in cells}):
        keys = [f"wer_{scale}_{key}" for key in noise]
        before = ["" if replaced is None else f" ({_rate(replaced, key)})" for key in keys]
        rows.append(
            [scale, *(_rate(champion, key) + beside for key, beside in zip(keys, before, strict=True))]
        )
    return ["scale", *map(level, noise)], rows


def _rate(version: Version, name: str) -> str:
    rate = version.figures.get(name)
    return "–" if rate is None else f"{rate:.1%}"


def _champions(report: Report, history: History, champion: Version) -> None:
    """Show how the word errors went from champion to champion, as far as they can be compared."""
    name = f"wer_{champion.default_scale}_clean"
    entries = [entry for entry in history.entries if entry.event in ("promoted", "rolled back")]
    rates = [history.versions[entry.version].figures.get(name) for entry in entries]
    points = [
        (number, 100 * rate, f"{entry.version}, {entry.event} {entry.at:%Y-%m-%d}: {rate:.1%}")
        for number, (entry, rate) in enumerate(zip(entries, rates, strict=True), start=1)
        if rate is not None
    ]
    if len(points) < 2:
        return
    ticks = nice_ticks(max(rate for _, rate, _ in points))
    days = [(number, f"{entry.at:%Y-%m-%d}") for number, entry in enumerate(entries, start=1)]
    every = -(-len(days) // 6)
    plot = Plot(
        Axis(1 - _LEFT, len(entries) + _RIGHT, days[:: max(1, every)], "champions"),
        Axis(0, ticks[-1], [(tick, f"{tick:g} %") for tick in ticks], "word error rate"),
        "Word error rate of the champions",
        height=220,
    )
    plot.line([(number, rate) for number, rate, _ in points], colour(0))
    plot.dots(points, colour(0))
    report.heading(f"Champions so far, clean speech at {champion.default_scale}")
    report.picture(plot.svg())
