"""What ends a training says what to do, whichever of its processes it was that ended first."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from mome.config import TrainParams
from mome.errors import ConfigError, Stopped, TrainingError
from mome.training.failures import explained, root_cause
from mome.training.launch import launch


@pytest.fixture
def params(train_params: TrainParams) -> TrainParams:
    return train_params


def test_a_training_that_diverges_says_what_to_lower(
    params: TrainParams, dataset: Path, foundation: Path, tmp_path: Path
) -> None:
    diverging = params.model_copy(update={"learning_rate": 1e30, "warm_up": 0.0, "max_grad_norm": 1e30})
    with pytest.raises(TrainingError, match=r"the loss is \S+ at step 1; lower train\.learning_rate"):
        launch(diverging, dataset, foundation, tmp_path / "checkpoint", tmp_path / "work")


@pytest.mark.parametrize(("processes", "sharding"), [(1, "none"), (2, "full")])
def test_weights_that_hear_nothing_any_more_are_not_what_a_training_goes_on_from(
    processes: int, sharding: str, params: TrainParams, dataset: Path, foundation: Path, tmp_path: Path
) -> None:
    changed = {"learning_rate": 1e30, "warm_up": 0.0, "max_grad_norm": 1e30, "checkpoint_every": 1}
    diverging = params.model_copy(update=changed | {"sharding": sharding, "threads": 1})
    said = r"the validation loss is (nan|inf) after step 1; lower train\.learning_rate"
    with pytest.raises(TrainingError, match=said):
        launch(diverging, dataset, foundation, tmp_path / "checkpoint", tmp_path / "work", processes)
    assert not list((tmp_path / "work").glob("train-*/*"))


def test_memory_that_a_cpu_does_not_have_names_the_settings_to_change(params: TrainParams) -> None:
    with (
        pytest.raises(TrainingError, match=r"lower train\.batch_size \(now 16\) or set .*gradient_checkp"),
        explained(params),
    ):
        torch.empty(2**58)
    frames = params.model_copy(update={"batch_frames": 1500, "gradient_checkpointing": True})
    with (
        pytest.raises(TrainingError, match=r"train\.batch_frames \(now 1500\) or set train\.sharding: full"),
        explained(frames),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_a_mistake_of_our_own_stays_what_it_is(params: TrainParams) -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes") as raised, explained(params):
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    assert not isinstance(raised.value, TrainingError)


def failure(folder: Path, rank: int, exitcode: int, said: str | None = None) -> ProcessFailure:
    path = folder / f"{rank}.json"
    if said is not None:
        extra = {"py_callstack": "", "timestamp": str(1000 + rank)}
        path.write_text(json.dumps({"message": {"message": said, "extraInfo": extra}}))
    return ProcessFailure(rank, 1, exitcode, str(path))


LOST = "TrainingError: lost the connection to another process, whose log says why"


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([(1, LOST), (1, "TrainingError: the loss is nan at step 7"), (-15, None)], "the loss is nan"),
        ([(1, "RuntimeError: Connection closed by peer [127.0.0.1]:1"), (-9, None)], "ended by SIGKILL"),
        ([(-15, None), (-7, None), (1, LOST)], "give the step a larger shm"),
        ([(-15, None), (1, "ConfigError: no such scale")], "no such scale"),
        ([(-15, None)], "told to stop"),
        ([(1, LOST)], "lost the connection"),
    ],
)
def test_of_several_failures_the_one_that_the_others_followed_from_is_told(
    failures: list[tuple[int, str | None]], expected: str, params: TrainParams, tmp_path: Path
) -> None:
    error = ChildFailedError(
        "worker", {rank: failure(tmp_path, rank, *how) for rank, how in enumerate(failures)}
    )
    with pytest.raises((TrainingError, ConfigError, Stopped), match=expected):
        raise root_cause(error, params)


def test_an_unknown_failure_is_not_taken_for_one_that_a_person_can_mend(
    params: TrainParams, tmp_path: Path
) -> None:
    error = ChildFailedError("worker", {0: failure(tmp_path, 0, 1, "KeyError: 'x'")})
    assert type(root_cause(error, params)) is RuntimeError


def test_a_process_that_is_told_to_stop_says_so_last(
    params: TrainParams, dataset: Path, foundation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mome.training.run.run", lambda *_: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(10)
    )
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match=r"SIGTERM: pre-empted.* goes on from its last checkpoint"):
        launch(params, dataset, foundation, tmp_path / "checkpoint", tmp_path / "work")
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_gpu_where_one_is_asked_for_is_said_before_anything_is_loaded(
    params: TrainParams, dataset: Path, foundation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_gpu = params.model_copy(update={"device": "cuda"})
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigError, match=r"device is cuda"):
        launch(on_gpu, dataset, foundation, tmp_path / "checkpoint", tmp_path / "work")


def test_folders_that_are_not_there_or_not_ours_are_named(
    params: TrainParams, dataset: Path, foundation: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="no such folder here"):
        launch(params, tmp_path / "nothing", foundation, tmp_path / "checkpoint", tmp_path / "work")
    with pytest.raises(ConfigError, match=r"cannot write here.*MOME_WORK_DIR"):
        launch(params, dataset, foundation, tmp_path / "checkpoint", Path("/proc/work"))
    with pytest.raises(ConfigError, match="processes is 0"):
        launch(params, dataset, foundation, tmp_path / "checkpoint", tmp_path / "work", processes=0)
