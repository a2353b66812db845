"""The rehearsal: serve the package for real, play clean, noisy, clean clips, and watch the scale follow."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from components.rehearse.playlist import PHASES, Item, files, playlist
from components.rehearse.report import write_report
from components.rehearse.server import Command, bentoml_serve, log_tail, served
from mome.config import MonitorParams, RehearseParams
from mome.errors import ServiceError
from mome.machine.memory import memory_watched
from mome.machine.stopping import stoppable
from mome.progress import progress
from mome.records import (
    Evaluation,
    Latency,
    PlayedRequest,
    Rehearsal,
    RequestCounts,
    ScaleDecision,
    Switch,
    WordErrors,
)
from mome.wer import summarise
from monitoring import check

__all__ = ["run"]

_BOOTSTRAP_SAMPLES = 1000
_REQUEST_TIMEOUT_S = 60.0


@stoppable()
@memory_watched("rehearse")
def run(
    params: RehearseParams,
    monitor: MonitorParams,
    package: Path,
    dataset: Path,
    output: Path,
    command: Command = bentoml_serve,
) -> Rehearsal:
    """Play held-out clips over HTTP and let the monitor look at the request log as it grows.

    Args:
        params: Length and noise of the phases.
        monitor: Damping of the monitor.
        package: Folder with ``bento/`` and ``bundle/``.
        dataset: Shards and manifest; clips of the test split are played.
        output: Folder for ``rehearsal.json``, ``rehearsal.html``, the service's log, the request log
            (``requests/``) and what the monitor wrote (``state/``); an older one is replaced.
        command: How to serve a folder on a port.

    Raises:
        ServiceError: If the service does not start, or answers no request at all.
        CorpusError: If there is no test utterance to play.
        MonitorError: If a look at the request log is impossible.
        Stopped: If a signal asks to stop.
    """
    if output.exists():
        shutil.rmtree(output)  # decisions of an earlier rehearsal would count as looks of this one
    output.mkdir(parents=True)
    requests, state, log = output / "requests", output / "state", output / "server.log"
    bundle = package / "bundle"
    # The first look finds no request and publishes the choice for clean speech: a settled start.
    decisions = [check.run(monitor, bundle, requests, state)]
    environment = {
        "MOME_SCALE_FILE": str((state / "scale.json").resolve()),
        "MOME_REQUEST_LOG": str(requests.resolve()),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    played: list[PlayedRequest] = []
    heard: dict[str, list[tuple[str, str]]] = {phase: [] for phase in PHASES}
    with (
        TemporaryDirectory(prefix="mome-bentoml-") as home,  # BentoML keeps notes; not in somebody's home
        served(
            package / "bento", environment | {"BENTOML_HOME": home}, log, params.startup_timeout_s, command
        ) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=_REQUEST_TIMEOUT_S) as client,
    ):
        total = len(PHASES) * params.requests_per_phase
        for number, item in enumerate(progress(playlist(params, dataset), "rehearse", total), start=1):
            request, text = _send(client, number, item)
            played.append(request)
            if text is not None:
                heard[item.phase].append((item.utterance.transcript, text))
            if number % params.check_every == 0:
                decisions.append(check.run(monitor, bundle, requests, state))
    if not any(request.answered for request in played):
        raise ServiceError(f"the service answered no request: {played[0].problem}: {log_tail(log)}")
    word_errors = {
        phase: summarise(pairs, _BOOTSTRAP_SAMPLES, params.seed) for phase, pairs in heard.items() if pairs
    }
    rehearsal = _summary(Evaluation.read(bundle / "evaluation.json"), params, played, decisions, word_errors)
    write_report(rehearsal, params.check_every, output / "rehearsal.html")
    rehearsal.write(output / "rehearsal.json")
    return rehearsal


def _send(client: httpx.Client, number: int, item: Item) -> tuple[PlayedRequest, str | None]:
    """Send one clip and return how it went, with the transcript if there is one."""
    upload = files(item.clip)
    text: str | None = None
    scale: str | None = None
    snr_db: float | None = None
    problem = ""
    started = time.perf_counter()
    try:
        reply = client.post(
            "/v1/audio/transcriptions", files=upload, data={"response_format": "verbose_json"}
        )
        latency_ms = (time.perf_counter() - started) * 1000
        if reply.status_code == httpx.codes.OK:
            content = reply.json()
            text, scale, snr_db = content["text"], content["x_mome"]["scale"], content["x_mome"]["snr_db"]
        else:
            problem = f"status {reply.status_code}: {reply.text[:200]}"
    except (httpx.HTTPError, ValueError, KeyError) as error:  # no reply, or not one of ours
        latency_ms = (time.perf_counter() - started) * 1000
        problem = f"{type(error).__name__}: {error}"
    request = PlayedRequest(
        number=number,
        phase=item.phase,
        utterance_id=item.utterance.utterance_id,
        answered=text is not None,
        scale=scale,
        latency_ms=latency_ms,
        snr_db=snr_db,
        problem=problem,
    )
    return request, text


def _summary(
    evaluation: Evaluation,
    params: RehearseParams,
    played: Sequence[PlayedRequest],
    decisions: Sequence[ScaleDecision],
    word_errors: dict[str, WordErrors],
) -> Rehearsal:
    answered = [request for request in played if request.answered]
    waits: dict[str, list[float]] = {}
    for request in answered:
        assert request.scale is not None  # it was answered
        waits.setdefault(request.scale, []).append(request.latency_ms)
    switches = [
        Switch.model_validate(
            {
                "at": decision.at,
                "from": decision.previous,
                "to": decision.scale,
                "snr_db": decision.snr_db,
                "reason": decision.reason,
            }
        )
        for decision in decisions
        if decision.switched and decision.previous is not None
    ]
    return Rehearsal(
        corpus=evaluation.corpus,
        revision=evaluation.revision,
        snr_db=params.snr_db,
        requests=RequestCounts(sent=len(played), answered=len(answered), lost=len(played) - len(answered)),
        switches=switches,
        latency_ms={scale: _latency(values) for scale, values in sorted(waits.items())},
        wer=word_errors,
        played=list(played),
        decisions=list(decisions),
    )


def _latency(values: list[float]) -> Latency:
    p50, p95 = np.percentile(values, (50, 95))
    return Latency(p50=float(p50), p95=float(p95), requests=len(values))
