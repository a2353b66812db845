"""The images as they are built, and one run of the training pipeline inside them.

Needs an engine, the images of `make images` and MOME_CONTAINERS=1, which says that both are there:
`.ci/containers` makes them and runs these tests. From then on a missing one is a failure.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import docker
import pytest

from mome.config import Params, load_params
from pipelines import containers
from pipelines.compile import PIPELINES, compile_pipeline

ROOT = Path(__file__).parents[2]

# Enough to go through every step, not enough to learn: the gate's budget is wide open. One thread: on
# a busy machine two wait for each other longer than so little work takes.
CHANGES = {
    "prepare.train_utterances": 60,
    "prepare.validation_utterances": 10,
    "prepare.test_utterances": 12,
    "foundation.threads": 1,
    "foundation.utterances": 60,
    "foundation.audio_steps": 8,
    "foundation.video_steps": 8,
    "foundation.language_steps": 8,
    "train.threads": 1,
    "train.steps": 6,
    "train.checkpoint_every": 3,
    "evaluate.threads": 1,
    "evaluate.snrs_db": ["clean", 0],
    "evaluate.bootstrap_samples": 50,
    "evaluate.max_new_tokens": 8,
    "gate.max_wer": {"av": {"a4v2": 2.0, "a4v5": 2.0, "a16v2": 2.0, "a16v5": 2.0}},
    "rehearse.requests_per_phase": 6,
    "rehearse.check_every": 3,
    "monitor.window": 4,
    "monitor.min_requests": 3,
    "monitor.cooldown_s": 0.1,
}


class Started(NamedTuple):
    """A container as a step asked for it."""

    image: str
    command: list[str]
    volumes: dict[str, Any]


class Place:
    """Where pipelines run: compiled as they are, with one folder that all their steps share."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.logs = folder / "logs"
        self.params: Params = load_params(ROOT / "params.yaml")
        self.started: dict[str, Started] = {}  # by the name of the step
        self.compiled = {}
        for name in PIPELINES:
            self.compiled[name] = folder / f"{name}.yaml"
            self.compiled[name].write_text(compile_pipeline(name, self.params))

    def run(self, name: str, **arguments: Any) -> Path:
        theirs = containers.run_container

        def recorded(
            client: docker.DockerClient, image: str, command: list[str], volumes: dict[str, Any], **given: Any
        ) -> int:
            step = command[command.index("--function_to_execute") + 1]
            self.started[step] = Started(image, command, volumes)
            return theirs(client, image, command, volumes, **given)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(containers, "run_container", recorded)
            return containers.run(self.compiled[name], arguments, self.root, self.logs / f"{name}.log")

    def train(self, **changes: Any) -> Path:
        registry = str(self.root / "registry")
        return self.run("training", changes=CHANGES | changes, corpus="embedded", registry=registry)


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    if os.environ.get("MOME_CONTAINERS") != "1":
        pytest.skip("needs a container engine: .ci/containers starts one and sets MOME_CONTAINERS=1")
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def place(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(scope="session")
def trained(place: Place) -> Path:
    """The folder of a run of the training pipeline that ended well."""
    return place.train()


def lay_out_of_reach(path: Path) -> None:
    """Change a table: clean speech is right at every scale and cleaner than any recording, noise never is."""
    evaluation = json.loads(path.read_text())
    for number, condition in enumerate(evaluation["conditions"]):
        looks = 39.9 if condition["noise"] is None else 39.0 - 0.1 * number
        condition |= {"estimated_snr_db": looks, "low": looks - 60.0, "high": looks}
    cells = [
        (key, cell)
        for rows in evaluation["wer"].values()
        for row in rows.values()
        for key, cell in row.items()
    ]
    for key, cell in cells:
        rate = 0.0 if key == "clean" else 1.0
        cell |= {"errors": int(rate * cell["words"]), "low": rate, "high": rate}
    path.write_text(json.dumps(evaluation))


@pytest.fixture(scope="session")
def monitored(place: Place, trained: Path) -> Path:
    """The folder of a look at what the rehearsal of that run served, as if any noise were too much."""
    bundle, state = place.root / "bundle", place.root / "state"
    shutil.copytree(trained / "package" / "packaged" / "bundle", bundle)
    lay_out_of_reach(bundle / "evaluation.json")
    state.mkdir()
    state.chmod(0o777)
    monitor = place.params.sections()["monitor"] | {"window": 18, "min_requests": 3, "consecutive_windows": 1}
    return place.run(
        "monitoring",
        monitor=monitor | {"max_age_s": 86400.0},
        bundle=str(bundle),
        requests=str(trained / "rehearse" / "rehearsal" / "requests"),
        state=str(state),
        publish_to="",
    )
