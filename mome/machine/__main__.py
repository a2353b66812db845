"""``python -m mome.machine``: what this machine is, and what every ``auto`` of params.yaml becomes on it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mome.cli import main
from mome.config import load_params
from mome.machine.devices import check_devices
from mome.machine.processor import decided_everywhere, machine, number_of_threads
from mome.storage import write_text


def _say() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.machine", description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="default: params.yaml")
    parser.add_argument("--profile", help="of mome/profiles; its sections stand in for those of params.yaml")
    parser.add_argument("--output", type=Path, help="JSON file to write it to as well")
    given = parser.parse_args()
    params = load_params(given.params, given.profile)
    check_devices(params.train.device)
    chosen = decided_everywhere(params)
    # Without the number of threads: no result depends on it.
    precisions = {"foundation": chosen.foundation.precision, "train": chosen.train.precision}
    print(machine(params.train.device))
    for name, precision in precisions.items():
        print(f"{name}.precision: {precision}")
    print(f"threads: {number_of_threads(params.train.threads)}")
    if given.output is not None:
        write_text(given.output, json.dumps(precisions, indent=2) + "\n")


if __name__ == "__main__":
    raise SystemExit(main(_say))
