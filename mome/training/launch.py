"""Start a training where it is to run: in this process, or in one process per GPU through torchrun.

``python -m mome.training.launch`` is one machine of several: Kubeflow Trainer starts it on each, and says in
the environment (``PET_NNODES``, ``PET_NODE_RANK``, ``PET_MASTER_ADDR``, ``PET_MASTER_PORT``) where they meet.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import parse_args
from torch.distributed.run import run as torchrun

from mome.cli import main
from mome.config import TrainParams
from mome.errors import ConfigError, TrainingError
from mome.machine.devices import check_devices
from mome.machine.memory import memory_watched
from mome.machine.processor import number_of_threads
from mome.machine.stopping import stoppable, stopped
from mome.training.failures import RESUME, explained, root_cause, smaller

__all__ = ["add_options", "launch", "read_params"]

_MACHINES = "PET_NNODES"


def launch(
    params: TrainParams, dataset: Path, foundation: Path, output: Path, work: Path, processes: int = 1
) -> None:
    """Fine-tune, with as many processes on this machine as are asked for; see `mome.training.run`.

    The result does not depend on the number: processes share each step and end with the weights of one.

    Args:
        params: Section ``train``.
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen encoders and LLM.
        output: Checkpoint folder to write.
        work: Folder that outlives an interruption.
        processes: On this machine; on GPUs one for each.

    Raises:
        ConfigError: If there are fewer GPUs here than processes, or ``work`` cannot be written.
        Stopped: If a signal asks to stop.
        TrainingError: If the training cannot go on; the message says what to change.
    """
    if processes < 1:
        raise ConfigError(f"processes is {processes}, expected one or more")
    check_devices(params.device, processes)
    _check_folders(dataset, foundation, work)
    with stoppable(RESUME), memory_watched("train", smaller(params)), explained(params):
        if processes == 1 and _MACHINES not in os.environ:
            # Only here: a process that starts others needs no model, and no memory for its libraries.
            from mome.training.run import run

            run(params, dataset, foundation, output, work)
        else:
            _share(params, processes, dataset=dataset, foundation=foundation, output=output, work=work)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what every process of a training is told on its command line."""
    parser.add_argument("--params", type=Path, required=True, help="section `train`, as JSON")
    parser.add_argument("--dataset", type=Path, required=True, help="folder written by data.prepare")
    parser.add_argument("--foundation", type=Path, required=True, help="folder with the frozen models")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--work", type=Path, required=True, help="folder that survives an interruption")


def read_params(path: Path) -> TrainParams:
    """Return the section from the JSON that a process is told of."""
    return TrainParams.model_validate_json(path.read_text())


def _share(params: TrainParams, processes: int, **folders: Path) -> None:
    """Run `mome.training.worker` in several processes, here and on the other machines if there are any."""
    # torchrun would set one thread, and warn that it does.
    os.environ.setdefault("OMP_NUM_THREADS", str(number_of_threads(params.threads)))
    with tempfile.TemporaryDirectory() as temporary:
        section = Path(temporary) / "train.json"
        section.write_text(params.model_dump_json())
        command = ["--nproc-per-node", str(processes), "-m", "mome.training.worker", "--params", str(section)]
        for name, path in folders.items():
            command += [f"--{name}", str(path.absolute())]
        try:
            torchrun(parse_args(command))
        except ChildFailedError as error:
            raise root_cause(error, params) from None
        except SignalException as error:  # torchrun has handlers of its own
            raise stopped(error.sigval, RESUME) from error


def _check_folders(dataset: Path, foundation: Path, work: Path) -> None:
    for folder in (dataset, foundation):
        if not folder.is_dir():
            raise TrainingError(f"{folder}: no such folder here; is the volume that holds it mounted?")
    try:
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work):
            pass
    except OSError as error:
        raise ConfigError(
            f"{work}: user {os.getuid()} of group {os.getgid()} cannot write here ({error.strerror}): give "
            "the volume to that group, or name another folder in MOME_WORK_DIR"
        ) from error


def _launch() -> None:
    parser = argparse.ArgumentParser(prog="python -m mome.training.launch", description=__doc__)
    add_options(parser)
    parser.add_argument("--processes", type=int, required=True, help="on this machine")
    given = parser.parse_args()
    launch(
        read_params(given.params), given.dataset, given.foundation, given.output, given.work, given.processes
    )


if __name__ == "__main__":
    raise SystemExit(main(_launch))
