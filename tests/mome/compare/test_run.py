"""A tiny comparison for real; started again, it repeats nothing and writes the same."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from mome.compare import trial
from mome.compare.plan import base_params, models_of
from mome.compare.records import Comparison
from mome.compare.run import Folders, run
from mome.compare.tuning import Grid
from mome.config import EvaluateParams, TrainParams, load_params
from mome.errors import ConfigError, CorpusError, TrainingError
from mome.model.avsr import Task
from mome.training import step
from mome.training.run import run as learn
from mome.training.step import tasks_of

ROOT = Path(__file__).parents[3]
METHODS = ["llama-avsr", "mome-layer"]
LENGTHS = [2]
GRID = Grid((1e-3,), (1.0,))  # tried with the seed of the tables: what was searched is trained already
FILES = ("comparison.json", "comparison.md", "comparison.html")


@pytest.fixture(scope="module")
def train(train_params: TrainParams) -> TrainParams:
    return train_params.model_copy(
        update={"scales": ["a4v2", "a16v5"], "task_weights": {"av": 1.0}, "batch_size": 4, "seed": 3}
    )


@pytest.fixture(scope="module")
def evaluate() -> EvaluateParams:
    return load_params(Path("params.yaml")).evaluate.model_copy(
        update={"max_new_tokens": 6, "bootstrap_samples": 50}
    )


@pytest.fixture(scope="module")
def folders(dataset: Path, foundation: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    folder = tmp_path_factory.mktemp("compared")
    return Folders(dataset, foundation, folder / "output", folder / "work")


@pytest.fixture(scope="module")
def found(train: TrainParams, evaluate: EvaluateParams, folders: Folders) -> Comparison:
    return run(train, evaluate, folders, METHODS, [3], LENGTHS, GRID)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is trained and what is measured from here on."""
    made: list[str] = []
    for name, kind in (("learn", "train"), ("load_checkpoint", "measure")):
        original = getattr(trial, name)

        def counted(*args: object, original: object = original, kind: str = kind, **named: object) -> object:
            made.append(kind)
            return original(*args, **named)

        monkeypatch.setattr(trial, name, counted)
    return made


def test_every_method_is_measured_in_every_condition(found: Comparison, folders: Folders) -> None:
    assert [(row.method, row.models, row.utterances) for row in found.rows] == [
        ("llama-avsr", 2, 4),
        ("mome-layer", 1, 4),
    ]
    snrs = ["clean", "7.5", "5", "2.5", "0", "-5"]
    expected = {f"{scale}/{snr}" for scale in ("a4v2", "a16v5") for snr in snrs}
    assert all(set(row.cells) == expected for row in found.rows)
    assert {(gap.first, gap.second) for gap in found.gaps} == {("llama-avsr", "mome-layer")}
    assert len(found.gaps) == 12
    lora, experts = found.rows
    assert experts.active == found.mome_active
    assert abs(lora.active - experts.active) / experts.active < 0.05
    assert Comparison.read(folders.output / "comparison.json") == found
    # Four test utterances, one seed.
    trials = [json.loads(path.read_text()) for path in (folders.work / "trials").iterdir()]
    assert len(trials) == 3
    assert {cell.total.words for row in found.rows for cell in row.cells.values()} == {
        sum(trials[0]["words"])
    }


@pytest.mark.parametrize("method", ["mtsk-mss", "mome-mhsa-i"])
def test_a_step_holds_the_same_utterances_for_every_method(
    train: TrainParams, folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    sequences: list[int] = []

    def counted(*args: Any) -> list[Task]:
        tasks = tasks_of(*args)
        sequences.append(len(tasks))
        return tasks

    monkeypatch.setattr(step, "tasks_of", counted)
    job = models_of(base_params(train), method, folders.foundation)[0].model_copy(update={"steps": 2})
    learn(job, folders.dataset, folders.foundation, tmp_path / "checkpoint", tmp_path / "work")
    validated = 3 * len(job.scales)  # the held-out utterances, read once at the end
    assert sum(sequences) == job.steps * 2 * len(job.scales) + validated


@pytest.mark.usefixtures("found")
def test_started_again_it_repeats_nothing(
    train: TrainParams, evaluate: EvaluateParams, folders: Folders, calls: list[str]
) -> None:
    before = [(folders.output / name).read_bytes() for name in FILES]
    run(train, evaluate, folders, METHODS, [3], LENGTHS, GRID)
    assert calls == []
    assert [(folders.output / name).read_bytes() for name in FILES] == before


def test_two_at_once_find_what_one_after_the_other_finds(
    found: Comparison, train: TrainParams, evaluate: EvaluateParams, folders: Folders, tmp_path: Path
) -> None:
    here = Folders(folders.dataset, folders.foundation, tmp_path / "output", tmp_path / "work")
    together = run(train, evaluate, here, METHODS, [3], LENGTHS, GRID, processes=2)
    assert [path.name for path in sorted((here.work / "trials").iterdir())] == [
        path.name for path in sorted((folders.work / "trials").iterdir())
    ]
    for one, other in zip(found.rungs, together.rungs, strict=True):
        # A sum over one thread rounds otherwise than over two.
        assert other.validation_loss == pytest.approx(one.validation_loss, rel=1e-3)
    assert [(row.method, row.models, row.utterances) for row in together.rows] == [
        (row.method, row.models, row.utterances) for row in found.rows
    ]


def test_what_one_of_two_at_once_raises_ends_the_run(
    train: TrainParams, evaluate: EvaluateParams, folders: Folders, tmp_path: Path
) -> None:
    here = Folders(folders.dataset, folders.foundation, tmp_path / "output", tmp_path / "work")
    wild = train.model_copy(update={"noise": str(tmp_path / "nowhere.wav")})
    with pytest.raises(ConfigError, match=r"nowhere\.wav"):
        run(wild, evaluate, here, METHODS, [3], LENGTHS, GRID, processes=2)


@pytest.mark.usefixtures("found")
def test_a_lost_measurement_does_not_train_again_and_comes_out_alike(
    train: TrainParams, evaluate: EvaluateParams, folders: Folders, calls: list[str]
) -> None:
    lost = next((folders.work / "trials").glob("mome-layer-*"))
    before = json.loads(lost.read_text())
    lost.unlink()
    run(train, evaluate, folders, METHODS, [3], LENGTHS, GRID)
    assert calls == ["measure"]
    after = json.loads(lost.read_text())
    del before["evaluation_s"], after["evaluation_s"]
    assert after == before


@pytest.mark.usefixtures("found")
def test_other_inputs_are_other_trials(
    train: TrainParams, evaluate: EvaluateParams, folders: Folders, calls: list[str], tmp_path: Path
) -> None:
    elsewhere = Folders(folders.dataset, folders.foundation, tmp_path, folders.work)
    run(train, evaluate.model_copy(update={"seed": 99}), elsewhere, ["mome-layer"], [3], LENGTHS, GRID)
    assert calls == ["measure"]  # other babble, the same weights
    run(train, evaluate, elsewhere, ["mome-layer"], [3], [1], GRID)
    assert calls == ["measure", "train", "measure"]


def test_a_training_that_broke_off_is_said_to_be_one(
    train: TrainParams,
    evaluate: EvaluateParams,
    folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = Folders(folders.dataset, folders.foundation, tmp_path / "output", tmp_path / "work")

    def broken(*_: object, **_named: object) -> None:
        raise TrainingError("broken off")

    with monkeypatch.context() as patch:
        patch.setattr(trial, "learn", broken)
        with pytest.raises(TrainingError):
            run(train, evaluate, here, ["mome-layer"], [3], [1], GRID)
    found = run(train, evaluate, here, ["mome-layer"], [3], [1], GRID)
    assert found.interrupted
    assert not found.levelled  # of one length nobody knows
    assert "At least: an interrupted" in (here.output / "comparison.md").read_text()


def test_a_corpus_without_lips_is_refused(
    train: TrainParams, evaluate: EvaluateParams, folders: Folders, tmp_path: Path
) -> None:
    shutil.copytree(folders.dataset, tmp_path / "dataset")
    about = json.loads((tmp_path / "dataset" / "corpus.json").read_text()) | {"modality": "audio"}
    (tmp_path / "dataset" / "corpus.json").write_text(json.dumps(about))
    here = Folders(tmp_path / "dataset", folders.foundation, tmp_path / "output", tmp_path / "work")
    with pytest.raises(CorpusError, match="holds audio recordings, expected sound and lips"):
        run(train, evaluate, here, METHODS, [3], LENGTHS, GRID)


def test_workers_end_with_the_process_that_hired_them(tmp_path: Path) -> None:
    script = tmp_path / "hire.py"
    script.write_text(
        "import os, time\n"
        "from mome.compare.workers import _begin\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "import multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, context, _begin, (None,))\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as hired:
        assert hired.stdout is not None
        worker = int(hired.stdout.readline())
        hired.kill()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it trains on for nobody"
        time.sleep(0.05)
