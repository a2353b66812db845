"""What a foundation is made of, for people and for comparing runs: page and figures from its folder."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

from mome.config import EMBEDDED, FoundationParams, parse_section
from mome.errors import CheckpointError
from mome.machine.processor import machine, precision_bits
from mome.reporting.report import Report
from mome.reporting.sizes import file_bytes, size
from mome.synthesis.phonemes import PHONEMES

__all__ = ["describe"]

_PARTS = {"audio": "audio encoder", "video": "video encoder", "llm": "LLM"}
# No parameters that count: Whisper's decoder, of which nothing is used, and what normalisation remembers.
_UNUSED = re.compile(r"(model\.)?decoder\..*|.*\.(running_mean|running_var|num_batches_tracked)")
_MEANING = {
    "audio_frame_accuracy": (
        "heard right",
        f"which of {len(PHONEMES)} phonemes 20 ms of noisy speech are; guessing: {1 / len(PHONEMES):.1%}",
    ),
    "video_frame_accuracy": (
        "seen right",
        "which phoneme 40 ms of lips are; many look alike, so that far from all can be told",
    ),
}


class _Part(NamedTuple):
    kind: str
    parameters: int
    num_bytes: int


def describe(foundation: Path, page: Path) -> dict[str, float | str]:
    """Write the page of a foundation; returns its sources and how well what was taught was learnt, flat.

    Args:
        foundation: Folder that `mome.foundation.run` wrote.
        page: HTML file to write.

    Raises:
        CheckpointError: If the folder is no foundation.
    """
    try:
        about = json.loads((foundation / "foundation.json").read_text())
        parts = {name: _read(foundation / name) for name in _PARTS}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{foundation}: not a foundation: {error}") from error
    params: FoundationParams = parse_section(FoundationParams, about["params"])
    sources: dict[str, str] = {name: getattr(params, name) for name in _PARTS}
    taught: dict[str, float] = about["taught"]

    report = Report("Foundation")
    report.verdict(True, *_origin(sources))
    total = sum(part.parameters for part in parts.values())
    report.facts(
        [
            ("parameters", _millions(total)),
            ("size", size(sum(part.num_bytes for part in parts.values()))),
            ("afterwards", "frozen: training puts small adapters beside them and leaves them as they are"),
        ]
    )
    report.heading("Models")
    rows = [
        [
            _PARTS[name],
            part.kind,
            "taught here" if sources[name] == EMBEDDED else f"taken from {sources[name]}",
            _millions(part.parameters),
            size(part.num_bytes),
        ]
        for name, part in parts.items()
    ]
    report.table(["model", "kind", "source", "parameters", "size"], rows, numbers=False)
    if taught:
        report.heading("How well they learnt")
        report.table(["figure", "reached", "asked"], _learnt(taught), numbers=False)
        report.facts([("computed", f"in {params.precision} on {machine()}")])
        report.heading("Settings")
        report.facts(about["params"].items())
    report.write(page)
    return {**sources, **taught, "precision_bits": precision_bits(params.precision)}


def _origin(sources: dict[str, str]) -> tuple[str, str]:
    taught = [_PARTS[name] for name, source in sources.items() if source == EMBEDDED]
    taken = [_PARTS[name] for name, source in sources.items() if source != EMBEDDED]
    if not taken:
        return "taught here", "all three models, from synthetic voices and faces; no corpus plays a part"
    if not taught:
        return "taken", "all three models, as they were published"
    return "taught and taken", f"taught here: {', '.join(taught)}; taken: {', '.join(taken)}"


def _learnt(taught: dict[str, float]) -> list[list[str]]:
    """Return a row per figure, in the order in which they were taught."""
    rows = []
    for name, value in taught.items():
        if name in _MEANING:
            said, meaning = _MEANING[name]
            rows.append([said, f"{value:.1%}", meaning])
        else:
            choices = f"as unsure as between {math.exp(value):.1f} equal choices"
            rows.append(
                ["loss per token", f"{value:.3f}", f"which word comes next, read from phonemes; {choices}"]
            )
    return rows


def _read(folder: Path) -> _Part:
    """Count what is in the files; no tensor is loaded."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    layers = config.get("encoder_layers", config.get("num_hidden_layers"))
    width = config.get("d_model", config.get("hidden_size"))
    parameters = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            for tensor in file.keys():  # noqa: SIM118 - it is no mapping
                if not _UNUSED.fullmatch(tensor):
                    parameters += math.prod(file.get_slice(tensor).get_shape())
    kind = f"{config['model_type']}, {layers} layers of width {width}"
    return _Part(kind, parameters, file_bytes(folder.rglob("*")))


def _millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"
