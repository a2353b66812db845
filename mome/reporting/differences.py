"""The parameters of a run for people: where they differ from ``params.yaml``, and how to change them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mome.config import PARAMS_FILE, Params, parse_section, profiles
from mome.reporting.report import Report

__all__ = ["describe"]

Sections = Mapping[str, Mapping[str, Any]]
_ABSENT = "–"
_FIELDS = [
    ("corpus", "the word embedded, a folder that the steps read, or a DVC repository as address@revision"),
    ("registry", "what outlives a run: a folder on a volume, or an s3:// address"),
    ("profile", f"{PARAMS_FILE}, or the settings of a paper: {', '.join(profiles())}"),
    ("changes", 'single values by their path, as in {"train.steps": 200, "gate.max_wer.av.a4v2": 0.05}'),
]


def describe(
    sections: Sections, changes: Mapping[str, Any], profile: str, defaults: Sections, page: Path
) -> None:
    """Write what a person wants to know before a run: which numbers are not the usual ones.

    Args:
        sections: The parameters of the run, checked.
        changes: Those that were given one by one, by their path.
        profile: Whose sections stand in for those of ``params.yaml``.
        defaults: Sections of ``params.yaml``.
        page: HTML file to write.

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
            "changes" if _is_given(path, changes) else f"profile {profile}",
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
    report.heading("Another run")
    report.say("The form has four fields, and starts as it is; all numbers below are behind the last two.")
    report.facts(_FIELDS)
    for name, section in sections.items():
        report.heading(name)
        report.facts(_values(section))
    report.write(page)


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
