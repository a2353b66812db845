"""The parameters of a run for people: where they differ from ``params.yaml``, and what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mome.config import Params, parse_section
from mome.reporting.report import Report

__all__ = ["describe"]

Sections = Mapping[str, Mapping[str, Any]]
_ABSENT = "–"


def describe(
    sections: Sections, changes: Mapping[str, Any], defaults: Sections, html: Path, markdown: Path
) -> None:
    """Write what a person wants to know before a run: which numbers are not the usual ones.

    Args:
        sections: The parameters of the run, checked.
        changes: Those that were given one by one, by their path.
        defaults: Sections of ``params.yaml``.
        html: Page to write.
        markdown: Card to write.

    Raises:
        ConfigError: If ``defaults`` are no sections.
    """
    # In the same form as the others: a pipeline's whole numbers arrive as floats.
    usual = dict(_values(parse_section(Params, dict(defaults)).sections()))
    values = dict(_values(sections))
    rows = [
        [
            path,
            usual.get(path, _ABSENT),
            values.get(path, _ABSENT),
            "changes" if _is_given(path, changes) else "section",
        ]
        for path in {**values, **usual}
        if values.get(path) != usual.get(path)
    ]
    report = Report("Parameters")
    if rows:
        said = f"{len(rows)} values differ" if len(rows) > 1 else "1 value differs"
        report.verdict(True, said, "from params.yaml, as it was when the pipeline was compiled")
        report.table(["parameter", "params.yaml", "this run", "given in"], rows, numbers=False)
    else:
        report.verdict(True, "as in params.yaml", "no value differs")
    report.heading("What is trained")
    report.facts(_summary(sections))
    for name, section in sections.items():
        report.heading(name, on_card=False)
        report.facts(_values(section), on_card=False)
    report.write(html, markdown)


def _summary(sections: Sections) -> list[tuple[str, object]]:
    train, foundation = sections["train"], sections["foundation"]
    return [
        ("method", f"{train['method']} at {_text(train['scales'])}"),
        ("steps", f"{train['steps']} of {train['batch_frames'] or train['batch_size']} "
         f"{'video frames' if train['batch_frames'] else 'sequences'}"),
        ("noise in training", _text(train["noise_snrs_db"])),
        ("foundation", ", ".join(f"{part} {foundation[part]}" for part in ("audio", "video", "llm"))),
        ("served at first", sections["package"]["default_scale"]),
    ]  # fmt: skip


def _values(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every single value with its path."""
    for name, value in section.items():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(value, Mapping):
            yield from _values(value, path)
        else:
            yield path, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return str(value).lower()  # as YAML writes it
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_given(path: str, changes: Mapping[str, Any]) -> bool:
    """Tell whether a value was given by its path, or as part of one."""
    return any(path == given or path.startswith(f"{given}.") for given in changes)
