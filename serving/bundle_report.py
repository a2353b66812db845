"""What a packaged model is, for people, and what its lineage shows."""

from __future__ import annotations

from pathlib import Path

from mome.bundle import Bundle
from mome.records import MODALITY_NAMES, WordErrors, level
from mome.reporting.report import Report
from mome.reporting.sizes import file_bytes, size

__all__ = ["describe"]


def describe(bundle: Bundle, page: Path) -> dict[str, str]:
    """Write what a person wants to know before they serve a bundle, and return what it is known by.

    Args:
        bundle: As it was packaged.
        page: HTML file to write.
    """
    evaluation = bundle.evaluation
    report = Report(f"Model {bundle.name} {bundle.version}")
    report.facts(
        [
            ("name", bundle.name),
            ("version", bundle.version),
            ("trained and tested on", evaluation.corpus),
            ("data revision", evaluation.revision),
            ("test utterances", evaluation.utterances),
            ("understands", MODALITY_NAMES[evaluation.modality]),
            ("scales", ", ".join(map(str, bundle.scales))),
            ("default scale", str(bundle.default_scale)),
            ("gate", bundle.gate.reason),
            ("size", size(file_bytes(bundle.path.rglob("*")))),
        ]
    )
    table = evaluation.wer[evaluation.modality]
    noise = [condition.key for condition in evaluation.conditions]
    rows = [
        [
            f"{scale}, never trained" if str(scale) in evaluation.untrained else str(scale),
            f"{scale.tokens_per_second:g}",
            _share(bundle.gate.max_wer.get(str(scale))),
            *(_rate(table[str(scale)].get(key)) for key in noise),
        ]
        for scale in bundle.scales
        if str(scale) in table
    ]
    report.heading("Word error rate")
    report.say(
        "Of the test split, by noise at an SNR in dB. The monitor chooses the cheapest scale within what is "
        "allowed."
    )
    report.table(["scale", "tokens/s", "allowed, clean", *map(level, noise)], rows)
    report.heading("What is inside")
    parts = [
        [path.name, size(file_bytes(path.rglob("*") if path.is_dir() else [path]))]
        for path in sorted(bundle.path.iterdir())
    ]
    report.table(["part", "size"], parts)
    report.say("bundle.json names the SHA-256 of every file, and whoever loads the bundle compares them.")
    report.heading("Serve it")
    report.say("Download the artifact packaged of this step and run:")
    report.command("bentoml serve packaged/bento")
    report.write(page)
    return {
        "name": bundle.name,
        "version": bundle.version,  # of the sums of its files
        "corpus": evaluation.corpus,
        "revision": evaluation.revision,
        "default_scale": str(bundle.default_scale),
    }


def _rate(cell: WordErrors | None) -> str:
    return "–" if cell is None else f"{cell.rate:.1%}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
