"""Fine-tune on several nodes: inputs to the shared volume, a TrainJob, its checkpoint back."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

from kfp import dsl
from kubeflow.trainer import TrainerClient
from kubeflow.trainer.constants.constants import TRAINJOB_FAILED
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from components.train_distributed.follow import POLL_S, api_status, explain_api, follow
from components.train_distributed.layout import Layout
from components.train_distributed.request import check, job_options, secret_variables, trainer
from mome.config import TrainParams
from mome.errors import TrainingError
from mome.machine.stopping import stoppable
from mome.storage import new_folder, write_text
from mome.training.failures import RESUME
from mome.training.run import source_digest

__all__ = ["train_on_nodes"]

DELETED_AFTER = 60  # polls that a TrainJob may take to go away


def train_on_nodes(
    params: TrainParams,
    layout: Layout,
    config: dsl.TaskConfig,
    dataset: Path,
    foundation: Path,
    output: Path,
    work: Path,
) -> None:
    """Fine-tune with a TrainJob and wait for its checkpoint.

    The job is named after what it computes. A step that was itself taken away finds its job again and
    follows it; a job that failed is replaced, and the new one goes on from the training state on the volume.

    Args:
        params: Section ``train``.
        layout: Of the nodes.
        config: What the pipeline set on this step: resources, variables, volumes, place.
        dataset: Folder written by ``data.prepare``.
        foundation: Folder with the frozen encoders and LLM.
        output: Checkpoint folder to write.
        work: Folder on a volume that the nodes share.

    Raises:
        ConfigError: If the nodes would get too few GPUs, or share no volume.
        Stopped: If a signal asks to stop.
        TrainingError: If the job cannot be created or fails; the message says what to do.
    """
    check(params, layout, config, work)
    computed = (source_digest(dataset, foundation), params.model_dump_json(), layout.model_dump_json())
    key = hashlib.sha256(repr(computed).encode()).hexdigest()[:12]
    job, folder = f"mome-train-{key}", work.absolute() / "jobs" / key
    for name, source in (("dataset", dataset), ("foundation", foundation)):
        _share(source, folder / name)
    write_text(folder / "train.json", params.model_dump_json())
    if left_out := secret_variables(config):
        print(f"not handed to the nodes, which need no secrets: {', '.join(left_out)}")

    client = _connect()
    command = ["python", "-m", "mome.training.launch", "--processes", str(layout.processes)]
    command += ["--params", str(folder / "train.json"), "--work", str(work.absolute())]
    for name in ("dataset", "foundation"):
        command += [f"--{name}", str(folder / name)]
    command += ["--output", str(folder / "checkpoint")]
    with stoppable(RESUME):
        _start(client, job, layout, config, command)
        _watch(client, job, params)
    written = folder / "checkpoint"
    if not written.is_dir():
        raise TrainingError(f"TrainJob {job} is complete, but {written} is not there: is it another volume?")
    with new_folder(output) as temporary:
        shutil.copytree(written, temporary, dirs_exist_ok=True)
    _delete(client, job)
    shutil.rmtree(folder)


def _connect() -> TrainerClient:
    """Return a client for the cluster and namespace that this step runs in."""
    try:
        return TrainerClient()
    except (ConfigException, FileNotFoundError, TypeError) as error:
        raise TrainingError(
            f"several nodes need a Kubernetes cluster, and this step runs in none ({error}): set nodes: 1 "
            "for step train"
        ) from error


def _share(source: Path, target: Path) -> None:
    """Put a folder where the nodes see it; a step's inputs lie on its own disk."""
    if not target.exists():
        with new_folder(target) as temporary:
            shutil.copytree(source, temporary, dirs_exist_ok=True)


def _start(
    client: TrainerClient, job: str, layout: Layout, config: dsl.TaskConfig, command: list[str]
) -> None:
    status = _status(client, job)
    if status == TRAINJOB_FAILED:
        _delete(client, job)
        for _ in range(DELETED_AFTER):
            if (status := _status(client, job)) is None:
                break
            time.sleep(POLL_S)
    if status is not None:
        print(f"TrainJob {job} is there already ({status}); following it")
        return
    options = job_options(job, command, layout, config, layout.labels | {"app.kubernetes.io/part-of": "mome"})
    try:
        client.train(layout.runtime, trainer=trainer(layout, config), options=options)
    except (RuntimeError, TimeoutError, HTTPError, ApiException) as error:
        raise explain_api(error, f"TrainJob {job} with runtime {layout.runtime} cannot be created") from error
    print(f"TrainJob {job}: {layout.nodes} nodes with {layout.processes} processes each")


def _status(client: TrainerClient, job: str) -> str | None:
    try:
        return client.get_job(job).status
    except (RuntimeError, TimeoutError, HTTPError) as error:
        if api_status(error) == 404:
            return None
        raise explain_api(error, f"TrainJob {job} cannot be looked up") from error


def _watch(client: TrainerClient, job: str, params: TrainParams) -> None:
    try:
        follow(client, job, params, lambda line: print(line, flush=True))
    except BaseException:
        if not _has_failed(client, job):  # nobody follows it any more, so it must hold no GPU
            _delete(client, job)
        raise


def _has_failed(client: TrainerClient, job: str) -> bool:
    try:
        return _status(client, job) in (TRAINJOB_FAILED, None)
    except TrainingError:
        return False


def _delete(client: TrainerClient, job: str) -> None:
    try:
        client.delete_job(job)
    except (RuntimeError, TimeoutError, HTTPError) as error:
        print(f"TrainJob {job} could not be deleted: {error}")
