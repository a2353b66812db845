"""Which comparisons there are, and the page that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mome.benchmark.batches import measure_batches
from mome.benchmark.decoding import measure_decoding
from mome.benchmark.evaluation import measure_evaluation
from mome.benchmark.experts import measure_experts
from mome.benchmark.language import measure_language
from mome.benchmark.options import Options
from mome.benchmark.rows import Row
from mome.benchmark.scales import measure_scales
from mome.benchmark.table import document
from mome.benchmark.training import measure_training
from mome.errors import ConfigError
from mome.storage import write_text

__all__ = ["COMPARISONS", "run"]

COMPARISONS: dict[str, Callable[[Options], Iterator[Row]]] = {
    "experts": measure_experts,
    "language": measure_language,
    "training": measure_training,
    "evaluation": measure_evaluation,
    "scales": measure_scales,
    "decoding": measure_decoding,
    "batches": measure_batches,
}


def run(options: Options, comparisons: Sequence[str], command: str, output: Path | None) -> str:
    """Measure, and return the page.

    Args:
        options: Where and how much.
        comparisons: Names of `COMPARISONS`.
        command: Command line to print on the page.
        output: File to write the page to as well.

    Raises:
        ConfigError: If a comparison is unknown.
        ResultsDifferError: If two sides do not compute the same.
    """
    unknown = sorted(set(comparisons) - set(COMPARISONS))
    if unknown:
        raise ConfigError(f"unknown comparison {', '.join(unknown)}; expected {', '.join(COMPARISONS)}")
    rows = [row for name in comparisons for row in COMPARISONS[name](options)]
    page = document(rows, options, command)
    if output is not None:
        write_text(output, page)
    return page
