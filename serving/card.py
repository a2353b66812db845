"""What a packaged model is, for people: the page and the card of a bundle."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mome.bundle import Bundle
from mome.card import bullets, card, columns
from mome.page import facts, page, table
from mome.records import WordErrors, snr_key
from mome.storage import write_text

__all__ = ["write_cards"]

_SERVE = "bentoml serve packaged/bento"
_NAMES = {"av": "sound and lips", "audio": "sound alone", "video": "lips alone"}


def write_cards(bundle: Bundle, html: Path, markdown: Path) -> None:
    """Write what a person wants to know before they serve a bundle.

    Args:
        bundle: As it was packaged.
        html: Page to write.
        markdown: Card to write.
    """
    title = f"Model {bundle.name} {bundle.version}"
    evaluation = bundle.evaluation
    about: list[tuple[str, object]] = [
        ("name", bundle.name),
        ("version", bundle.version),
        ("trained and tested on", evaluation.corpus),
        ("data revision", evaluation.revision),
        ("test utterances", evaluation.utterances),
        ("understands", _NAMES[evaluation.modality]),
        ("scales", ", ".join(map(str, bundle.scales))),
        ("default scale", str(bundle.default_scale)),
        ("gate", bundle.gate.reason),
        ("size", _size(_bytes(bundle.path.rglob("*")))),
    ]
    table_ = evaluation.wer[evaluation.modality]
    levels = [snr_key(condition.snr_db) for condition in evaluation.conditions]
    named = [key if key == snr_key(None) else f"{key} dB" for key in levels]
    head = ["scale", "tokens/s", "allowed, clean", *named]
    rows = [
        [
            str(scale),
            f"{scale.tokens_per_second:g}",
            _share(bundle.gate.max_wer.get(str(scale))),
            *(_rate(table_[str(scale)].get(key)) for key in levels),
        ]
        for scale in bundle.scales
        if str(scale) in table_
    ]
    parts = {
        path.name: _bytes(path.rglob("*") if path.is_dir() else [path])
        for path in sorted(bundle.path.iterdir())
    }
    body = [
        facts(about),
        "<h2>Word error rate</h2><p>Of the test split, by babble at an SNR in dB. The monitor"
        " chooses the cheapest scale within what is allowed.</p>",
        table(head, rows, css="number"),
        "<h2>What is inside</h2>",
        table(["part", "size"], [[name, _size(size)] for name, size in parts.items()]),
        "<p>bundle.json names the SHA-256 of every file, and whoever loads the bundle compares them.</p>",
        "<h2>Serve it</h2>",
        f"<p>Download the artifact <b>packaged</b> of this step and run <code>{_SERVE}</code>.</p>",
    ]
    write_text(html, page(title, "".join(body)))
    write_text(
        markdown,
        card(
            title,
            bullets(about),
            columns(head, rows),
            f"Serve it: download the artifact `packaged` of this step and run `{_SERVE}`.",
        ),
    )


def _rate(cell: WordErrors | None) -> str:
    return "–" if cell is None else f"{cell.rate:.1%}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _bytes(paths: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in paths if path.is_file())
