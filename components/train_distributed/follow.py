"""Follow a TrainJob to its end: the first node's lines as they come, and one sentence on why it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from kubeflow.trainer import TrainerClient
from kubeflow.trainer.constants.constants import TRAINJOB_COMPLETE, TRAINJOB_FAILED
from kubernetes.client import ApiException
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from components.train_distributed.nodes import NODE, Node, nodes_of
from mome.config import TrainParams
from mome.errors import TrainingError
from mome.training.failures import RESUME, is_consequence, smaller

__all__ = ["api_status", "explain_api", "follow"]

POLL_S = 5.0  # between two looks
SILENCE_S = 60.0  # after which the job is looked at though its log goes on; progress comes every ten
PATIENCE = 24  # polls without an answer, or with an image that does not come
_ENDS = (TRAINJOB_COMPLETE, TRAINJOB_FAILED)
_LAST_LINES = 200  # that an error is looked for in
_ERROR = "error: "  # how mome.cli begins the last line of a command that failed
_UNMENDABLE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")


def follow(client: TrainerClient, job: str, params: TrainParams, say: Callable[[str], None]) -> None:
    """Show a TrainJob until it is complete.

    Args:
        client: Of Kubeflow Trainer.
        job: Name of the TrainJob.
        params: Of the training, to name the settings that could be changed.
        say: Takes every line.

    Raises:
        TrainingError: If it fails, cannot start, or is gone; the message says what to do.
    """
    shown: dict[str, int] = {}  # lines, by pod
    waiting, unanswered, stuck = "", 0, 0
    while True:
        try:
            status = client.get_job(job).status
            nodes = nodes_of(client, job)
        except (RuntimeError, TimeoutError, ApiException, HTTPError) as error:
            unanswered += 1
            if api_status(error) in (401, 403, 404) or unanswered >= PATIENCE:
                raise explain_api(error, f"TrainJob {job} can no longer be followed") from error
            time.sleep(POLL_S)
            continue
        unanswered = 0
        for line in _new_lines(client, nodes, shown, until_end=status not in _ENDS):
            say(line)
        if status == TRAINJOB_COMPLETE:
            return
        if status == TRAINJOB_FAILED:
            raise TrainingError(_why(client, job, nodes, params))
        if (reason := _waits_for(nodes)) != waiting:
            waiting = reason
            if waiting:
                say(f"waiting for {waiting}")
        stuck = stuck + 1 if any(node.reason in _UNMENDABLE for node in nodes) else 0
        if stuck >= PATIENCE:
            raise TrainingError(f"TrainJob {job} cannot start: {waiting}")
        time.sleep(POLL_S)


def _new_lines(
    client: TrainerClient, nodes: list[Node], shown: dict[str, int], *, until_end: bool
) -> Iterator[str]:
    """Yield what the first node has said since; while the job runs, wait for what it says next.

    Not by the SDK, which would wait for ever for a node that is gone.
    """
    first = next((node for node in nodes if node.name == "node-0"), None)
    if first is None or not first.has_started:
        return
    before = shown.get(first.pod, 0)
    try:
        lines = _stream(client, first) if until_end else _lines(client, first)
        for number, line in enumerate(lines):
            if number >= before:
                shown[first.pod] = number + 1
                yield line
    except (ApiException, HTTPError):
        return  # silence, or the pod went away: the next look goes on where this one stood


def _stream(client: TrainerClient, node: Node) -> Iterator[str]:
    logs = client.backend.core_api.read_namespaced_pod_log
    where = {"name": node.pod, "namespace": client.backend.namespace, "container": NODE}
    # A pair, to connect and to read: the client takes no notice of a single float.
    yield from Watch().stream(logs, **where, follow=True, _request_timeout=(SILENCE_S, SILENCE_S))


def _lines(client: TrainerClient, node: Node, last: int | None = None) -> list[str]:
    logs = client.backend.core_api.read_namespaced_pod_log
    options = {} if last is None else {"tail_lines": last}
    text: str = logs(node.pod, client.backend.namespace, container=NODE, **options)
    return [line for line in text.splitlines() if line]  # the stream leaves empty ones out, too


def _waits_for(nodes: list[Node]) -> str:
    pending = [node for node in nodes if not node.has_started]
    if not nodes:
        return "nodes to be created"
    if not pending:
        return ""
    reasons = sorted({f"{node.reason} {node.message}".strip() for node in pending} - {""})
    return f"{len(pending)} of {len(nodes)} nodes" + (f": {'; '.join(reasons)}" if reasons else "")


def _why(client: TrainerClient, job: str, nodes: list[Node], params: TrainParams) -> str:
    """Return what ended the job: the failure that the other nodes' failures followed from."""
    said = {node.name: _last_error(client, node) for node in nodes if node.has_started}
    causes = {name: line for name, line in said.items() if line and not is_consequence(line)}
    for name, line in causes.items():
        return f"{name}: {line}"
    for node in nodes:
        if node.reason == "OOMKilled":
            return (
                f"{node.name} was ended for its memory: raise memory.limit of step train, or "
                f"{smaller(params)}; {RESUME}"
            )
    for node in nodes:
        why = f"{node.reason} {node.message}".strip()
        if why and not node.has_started:
            return f"{node.name} did not start in time ({why}): ask for less in step train, or wait longer"
        if why:
            return f"{node.name} was taken away ({why}); {RESUME}"
    for name, line in said.items():
        if line:
            return f"{name}: {line}"
    return f"TrainJob {job} failed: {_condition(client, job)}; {RESUME}"


def _last_error(client: TrainerClient, node: Node) -> str:
    try:
        lines = _lines(client, node, _LAST_LINES)
    except (ApiException, HTTPError):
        return ""
    return next((line.removeprefix(_ERROR) for line in reversed(lines) if line.startswith(_ERROR)), "")


def _condition(client: TrainerClient, job: str) -> str:
    """Return Trainer's own words, which the SDK does not hand on."""
    try:
        found = client.backend.custom_api.get_namespaced_custom_object(
            "trainer.kubeflow.org", "v1alpha1", client.backend.namespace, "trainjobs", job
        )
    except (ApiException, HTTPError) as error:
        return str(error).partition("\n")[0]
    conditions = found.get("status", {}).get("conditions", [])
    failed = [condition for condition in conditions if condition["type"] == TRAINJOB_FAILED]
    return "; ".join(f"{each.get('reason', '')} {each.get('message', '')}".strip() for each in failed)


def api_status(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an error of the SDK, which wraps what Kubernetes said."""
    while error is not None:
        if isinstance(error, ApiException):
            return int(error.status)
        error = error.__cause__
    return None


def explain_api(error: BaseException, what: str) -> TrainingError:
    """Return what to do about an answer of the Kubernetes API."""
    status = api_status(error)
    advice = {
        401: "the token of this step's service account is not valid here",
        403: "this step's service account may not do that: give it create, get and delete of trainjobs, get "
        "of training runtimes and of pods/log, and list of pods",
        404: "it is not there: is Kubeflow Trainer 2.3 or newer installed, with a runtime of that name?",
        409: "one of that name is still being deleted",
        422: "Kubeflow Trainer refuses it",
    }.get(status or 0, "the Kubernetes API did not answer as expected")
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    said = getattr(root, "body", None) or str(root)
    return TrainingError(f"{what}: {advice} ({' '.join(str(said).split())[:300]})")
