"""``python -m mome.benchmark``: measure speed against the published recipe, and write the table."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import torch

from mome.benchmark.options import ALL_LAYERS, MOME, Options
from mome.benchmark.run import COMPARISONS, run
from mome.cli import main
from mome.config import load_params
from mome.errors import ConfigError


def benchmark() -> None:
    """Read the command line, measure, and print the page."""
    parser = argparse.ArgumentParser(prog="python -m mome.benchmark", description=__doc__)
    parser.add_argument("--device", default="cpu", help="cpu or cuda; default: cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    parser.add_argument("--repetitions", type=int, default=7, help="of every comparison; default: 7")
    parser.add_argument(
        "--layers",
        type=int,
        default=ALL_LAYERS,
        help=f"of the LLM with Llama-3.2-1B shapes; all {ALL_LAYERS} in float32 need 5 GB of memory",
    )
    parser.add_argument(
        "--comparisons",
        nargs="+",
        default=list(COMPARISONS),
        metavar="NAME",
        help=f"default: {' '.join(COMPARISONS)}",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only shows that the command works")
    parser.add_argument("--output", type=Path, help="Markdown file to write, such as docs/performance.md")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    given = parser.parse_args()
    for name in ("threads", "repetitions", "layers"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise ConfigError(f"--{name} is {value}, expected at least 1")
    if not _exists(given.device):
        raise ConfigError(f"--device is {given.device}, expected cpu, or cuda where torch finds a GPU")
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    params = load_params(given.params)
    options = Options(
        device=given.device,
        repetitions=given.repetitions,
        layers=given.layers,
        quick=given.quick,
        train=params.train.model_copy(update={**MOME, "device": given.device}),
        evaluate=params.evaluate,
    )
    command = shlex.join(["python", "-m", "mome.benchmark", *sys.argv[1:]])
    print(run(options, given.comparisons, command, given.output), end="")


def _exists(name: str) -> bool:
    try:
        device = torch.device(name)
    except RuntimeError:
        return False
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    return device.type == "cpu"


if __name__ == "__main__":
    raise SystemExit(main(benchmark))
