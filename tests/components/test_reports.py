"""Every report opens as Kubeflow shows it: in a sandboxed frame, offline, and says first what matters."""

import json
import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from components.rehearse.report import write_report as write_rehearsal
from components.request_retraining.noise import learn_noise
from components.request_retraining.report import describe as describe_retraining
from data import validate
from data.dataset_report import describe as describe_dataset
from data.revision_report import describe as describe_revision
from data.version import CorpusRevision, Versioned
from mome.bundle import Bundle
from mome.changes import configured
from mome.config import load_params
from mome.evaluation import gate
from mome.evaluation.report import write_report as write_evaluation
from mome.foundation.describe import describe as describe_foundation
from mome.records import (
    GateDecision,
    Latency,
    PlayedRequest,
    Rehearsal,
    RequestCounts,
    RetrainRequest,
    ScaleDecision,
    WordErrors,
)
from mome.registry.history import Lineage
from mome.reporting.differences import describe as describe_parameters
from mome.reporting.page import page
from mome.scales import Scale
from mome.speech.media import Clip
from mome.speech.shards import write_manifest
from mome.training.pace import Pace, write_pace
from monitoring.journal import append_decision
from monitoring.report import describe as describe_look
from serving.bundle_report import describe as describe_bundle
from serving.registry.address import open_registry
from serving.registry.promotion_report import describe as describe_promotion
from tests.page_text import page_text
from tests.planted import evaluation
from tests.planted import utterance as planted_utterance
from tests.serving.registry.planted import bundle as planted_bundle

sandbox = pytest.importorskip("tests.components.sandbox", reason="selenium is not installed")

FOUND = sandbox.found_browser()
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SCALES = ("a4v2", "a4v5", "a16v2", "a16v5")
pytestmark = pytest.mark.skipif(FOUND is None, reason="Chromium or ChromeDriver is not installed")


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with sandbox.browser(*FOUND, tmp_path_factory.mktemp("chromium") / "profile") as chrome:
        yield chrome


def cell(errors: int) -> WordErrors:
    return WordErrors(errors=errors, words=400, low=max(0, errors - 5) / 400, high=(errors + 5) / 400)


def planted(worse: int = 0, corpus: str = "calls") -> Any:
    table = {scale: {"clean": cell(4 + n + worse), "0": cell(20 + n)} for n, scale in enumerate(SCALES)}
    return evaluation({"av": table, "audio": table}, corpus=corpus)


def training_page(folder: Path) -> str:
    from mome.training.describe import describe

    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    history = [{"step": step, "loss": 4.0 / step, "balance": 1.0} for step in range(1, 41)]
    for row in history[19::20]:
        row |= {"validation_loss": row["loss"] + 0.1, "validation_wer": 0.1}
    about = {
        "train": load_params().train.model_dump(mode="json"),
        "corpus": {"name": "calls", "revision": "0" * 40},
    }
    (checkpoint / "history.json").write_text(json.dumps(history))
    (checkpoint / "config.json").write_text(json.dumps(about))
    pace = Pace()
    pace.rows = [{"step": step, "seconds": 0.5, "utterances": 8, "speech_s": 16.0} for step in range(1, 41)]
    write_pace(pace, folder, checkpoint)
    figures = describe(checkpoint, folder, folder / "page.html")
    assert figures["utterances_per_s"] == 16
    assert figures["times_real_time"] == 32
    return (folder / "page.html").read_text()


def gate_page(folder: Path, worse: int, champion: bool) -> str:
    planted(worse).write(folder / "evaluation" / "evaluation.json")
    planted().write(folder / "champion" / "evaluation.json")
    best = folder / "champion" if champion else None
    gate.judge(load_params().gate, folder / "evaluation", best, folder / "gate")
    return (folder / "gate" / "gate.html").read_text()


def package_page(folder: Path) -> str:
    (folder / "bundle" / "checkpoint").mkdir(parents=True)
    (folder / "bundle" / "checkpoint" / "weights.safetensors").write_bytes(b"x" * 3_000_000)
    bundle = Bundle(
        path=folder / "bundle",
        name="mome",
        version="9ca8bff889de",
        default_scale=Scale.parse("a16v5"),
        scales=tuple(map(Scale.parse, SCALES)),
        evaluation=planted(),
        gate=GateDecision(passed=True, reason="all 5 checks hold", checks=[], max_wer={"a4v2": 0.05}),
    )
    assert describe_bundle(bundle, folder / "page.html")["version"] == "9ca8bff889de"
    return (folder / "page.html").read_text()


def look_page(folder: Path) -> str:
    folder.mkdir(parents=True)
    looks = [
        ScaleDecision(
            at=NOW + timedelta(minutes=number),
            scale=scale,
            previous="a16v5",
            switched=scale != "a16v5",
            snr_db=5.0,
            requests=20,
            reason=f"look {number}",
        )
        for number, scale in enumerate(["a16v5", "a16v5", "a4v2"])
    ]
    for look in looks:
        append_decision(folder / "decisions.jsonl", look)
    figures = describe_look(folder, looks[-1], folder / "page.html")
    assert figures["switched"] == 1
    assert "Monitor: switched to a4v2" in page_text(folder / "page.html")
    return (folder / "page.html").read_text()


def rehearsal_page(folder: Path) -> str:
    played = [
        PlayedRequest(
            number=number,
            phase=phase,
            utterance_id=f"u{number}",
            answered=True,
            scale="a16v5",
            latency_ms=40.0 + number,
            snr_db=20.0,
            problem="",
        )
        for number, phase in enumerate(["clean", "babble", "clean again"], start=1)
    ]
    rehearsal = Rehearsal(
        corpus="calls",
        revision="0" * 40,
        snr_db=-5.0,
        requests=RequestCounts(sent=3, answered=3, lost=0),
        switches=[],
        latency_ms={"a16v5": Latency(p50=41.0, p95=43.0, requests=3)},
        wer={"clean": cell(3)},
        played=played,
        decisions=[],
    )
    write_rehearsal(rehearsal, 1, folder / "page.html")
    return (folder / "page.html").read_text()


def corpus_page(folder: Path, revision: CorpusRevision) -> str:
    asked = "https://bob:s3cret@git.example.org/speech/calls.git@main"
    describe_revision(asked, Versioned(revision, "published"), folder / "page.html")
    assert f"--rev {revision.revision} --out calls-" in page_text(folder / "page.html")
    return (folder / "page.html").read_text()


def dataset_page(folder: Path, broken: int) -> str:
    rng = np.random.default_rng(1)
    clip = Clip(samples=np.zeros(16_000, np.float32), mouth=None)
    rows = [
        planted_utterance(
            f"call-{number:04d}",
            split,
            clip,
            speaker=f"s{number % 9}",
            duration_s=float(rng.gamma(6, 0.5)),
            snr_db=float(rng.normal(24, 5)),
            decodable=number >= broken,
            problem="" if number >= broken else f"wavs/{number}.wav: holds no sound, expected a WAV file",
        )
        for number, split in enumerate(["train"] * 120 + ["validation"] * 20 + ["test"] * 40)
    ]
    folder.mkdir(parents=True)
    write_manifest(folder, rows)
    about = {"name": "calls", "revision": "0" * 40, "modality": "audio", "speaker_disjoint": False}
    (folder / "corpus.json").write_text(json.dumps(about))
    figures = describe_dataset(folder, folder / "page.html")
    assert figures["unusable"] == broken
    assert figures["utterances_train"] == 120 - broken
    return (folder / "page.html").read_text()


def foundation_page(folder: Path, llm: str) -> str:
    """Plant folders as transformers writes them, with tensors of known sizes."""
    sizes = {"audio": (4, 128, 300), "video": (2, 128, 500), "llm": (4, 128, 700)}
    for name, (layers, width, rows) in sizes.items():
        (folder / name).mkdir(parents=True)
        config = {"model_type": name, "num_hidden_layers": layers, "hidden_size": width}
        (folder / name / "config.json").write_text(json.dumps(config))
        tensors = {"encoder.a": np.zeros((rows, 1000), np.float32), "b": np.zeros(rows, np.float32)}
        if name == "audio":
            tensors["decoder.c"] = np.zeros((50, 50), np.float32)  # of which nothing is used
        save_file(tensors, folder / name / "model.safetensors")
    params = load_params().foundation.model_copy(update={"llm": llm})
    taught = {"audio_frame_accuracy": 0.834, "video_frame_accuracy": 0.612}
    if llm == "embedded":
        taught["language_loss"] = 1.1
    about = {"taught": taught, "params": params.model_dump(mode="json")}
    (folder / "foundation.json").write_text(json.dumps(about))
    assert describe_foundation(folder, folder / "page.html") == {
        "audio": "embedded",
        "video": "embedded",
        "llm": llm,
        **taught,
        "precision_bits": 32.0,
    }
    assert "- parameters: 1.50 M" in page_text(folder / "page.html")
    return (folder / "page.html").read_text()


def parameters_page(folder: Path, changes: dict[str, Any]) -> str:
    defaults = load_params().sections()
    describe_parameters(configured(changes, defaults), changes, "params.yaml", defaults, folder / "page.html")
    return (folder / "page.html").read_text()


def retraining_page(folder: Path, low: float, high: float) -> str:
    before = load_params().train
    request = RetrainRequest(
        at=NOW,
        snr_low_db=low,
        snr_high_db=high,
        noise="continuous",
        reason="keep a4v2: measured -8.1 dB is noisier than anything evaluated, a4v2 is the finest",
    )
    after = learn_noise(before, request)
    describe_retraining(request, before, after, folder / "page.html")
    return (folder / "page.html").read_text()


def promotion_page(folder: Path, champions: int, again: bool) -> str:
    models = open_registry(str(folder / "registry"))
    lineage = Lineage(
        code="c0ffee",
        run="run-7",
        image=f"registry.example.org/speech/mome-train@sha256:{'1' * 64}",
        serve_image=f"registry.example.org/speech/mome-serve@sha256:{'2' * 64}",
        monitor_image="mome-monitor:0.1.0",
    )
    errors = [9, 7, 8, 5][:champions]
    for number, count in enumerate(errors):
        path = planted_bundle(folder / str(number), str(number), errors=count)
        before = models.history("digits")
        version = models.register(path, "digits", lineage, by="run-7").version
        models.promote("digits", version, by="run-7")
        removed = models.prune("digits", keep=2, by="run-7")
    if again:
        before, removed = models.history("digits"), []
    describe_promotion(models, "var/registry", before, version, removed, folder / "page.html")
    return (folder / "page.html").read_text()


def evaluation_page(folder: Path) -> str:
    write_evaluation(planted(), folder / "page.html")
    return (folder / "page.html").read_text()


PAGES = {
    "evaluate": (evaluation_page, ("Word error rate of calls", "a4v2", "1.0%", "0 dB")),
    "gate": (lambda folder: gate_page(folder, 0, False), ("passed", "no champion")),
    "gate rejected": (lambda folder: gate_page(folder, 60, True), ("rejected", "champion 1.0%", "+15.0")),
    "package": (package_page, ("Model mome 9ca8bff889de", "3.0 MB", "bentoml serve packaged/bento")),
    "rehearse": (rehearsal_page, ("no request lost", "Served scale")),
    "train": (training_page, ("Training on calls", "utterances a second", "16.00")),
    "check_drift": (look_page, ("Monitor: switched to a4v2", "look 2")),
    "prepare": (lambda folder: dataset_page(folder, 0), ("all 180 recordings", "How clean the recordings")),
    "prepare unusable": (
        lambda folder: dataset_page(folder, 3),
        ("3 cannot be used", "the first is call-0000", "wavs/2.wav: holds no sound"),
    ),
    "build_foundation": (
        lambda folder: foundation_page(folder, "embedded"),
        ("taught here", "83.4%", "as unsure as between 3.0 equal choices", "0.70 M"),
    ),
    "build_foundation taken": (
        lambda folder: foundation_page(folder, "meta-llama/Llama-3.2-1B@4e20de36"),
        ("taken: LLM", "taken from meta-llama/Llama-3.2-1B@4e20de36", "61.2%"),
    ),
    "configure": (lambda folder: parameters_page(folder, {}), ("no value differs", "method", "850")),
    "configure changed": (
        lambda folder: parameters_page(folder, {"train.steps": 200, "gate.max_wer.av.a4v2": 0.05}),
        ("2 values differ", "train.steps", "850", "200", "gate.max_wer.av.a4v2"),
    ),
    "request_retraining": (
        lambda folder: retraining_page(folder, -8.2, -6.0),
        (
            "no scale fits",
            "nothing was started",
            "-8.2 to -6.0 dB",
            "-10 dB",
            "train.noise_snrs_db=[clean, clean, clean, 15",
        ),
    ),
    "request_retraining known": (
        lambda folder: retraining_page(folder, -4.0, -1.0),
        ("none: the last training heard these", "More of the same may not help"),
    ),
    "promote first": (
        lambda folder: promotion_page(folder, 1, False),
        ("promoted", "none, this is the first", "9.0% at a4v2", "There is no earlier champion"),
    ),
    "promote": (
        lambda folder: promotion_page(folder, 4, False),
        ("promoted", "5.0% at a4v2, before 8.0%", "rollback digits", "Champions so far", "5.0% (8.0%)"),
    ),
    "promote again": (lambda folder: promotion_page(folder, 2, True), ("champion already", "nothing was")),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_in_a_frame_that_may_do_nothing(name: str, chrome: Any, tmp_path: Path) -> None:
    make, texts = PAGES[name]
    opened(name, make(tmp_path / "made"), texts, chrome, tmp_path)


def test_the_page_of_a_corpus_opens_too_and_knows_no_password(
    chrome: Any, revision: CorpusRevision, tmp_path: Path
) -> None:
    content = corpus_page(tmp_path / "made", revision)
    texts = ("https://git.example.org/speech/calls.git@main", revision.revision, "dvc get")
    opened("version_corpus", content, texts, chrome, tmp_path)
    assert "s3cret" not in content


def test_the_page_of_a_failed_validation_opens_too(
    chrome: Any, revision: CorpusRevision, tmp_path: Path, sections: dict[str, dict[str, Any]]
) -> None:
    from data import prepare
    from mome.config import PrepareParams, ValidateParams, parse_section

    prepare.run(
        parse_section(PrepareParams, sections["prepare"]), revision.repo, revision.revision, tmp_path / "d"
    )
    params = parse_section(ValidateParams, sections["validate"] | {"min_duration_s": 1.05})
    assert not validate.check(params, tmp_path / "d", tmp_path / "v").passed
    texts = ("stopped: 4 critical expectations not met", "lasts 1 s, expected 1.05 to 10 s")
    opened("validate failed", (tmp_path / "v" / "validation.html").read_text(), texts, chrome, tmp_path)


def test_the_frame_would_notice_a_page_that_reaches_out(chrome: Any, tmp_path: Path) -> None:
    content = page("Reaching out", '<script src="https://example.org/x.js"></script>')
    sandbox.show(chrome, content, tmp_path)
    deadline = time.monotonic() + 10
    asked: list[str] = []
    while not asked and time.monotonic() < deadline:  # the browser tells of it a little later
        asked += requests_of(chrome)
    assert asked == ["https://example.org/x.js"]
    assert chrome.get_log("browser")
    assert references(content) == ["https://example.org/x.js"]


def opened(name: str, content: str, texts: tuple[str, ...], chrome: Any, folder: Path) -> None:
    """Open a page and check that it is whole, quiet, offline, and fits."""
    frame = sandbox.show(chrome, content, folder)
    said = chrome.find_element("tag name", "body").text
    for text in texts:
        assert text in said
    assert chrome.execute_script("return window.origin") == "null"  # the frame has no rights of a page
    assert references(content) == []
    assert requests_of(chrome) == []
    assert chrome.get_log("browser") == []
    fits = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    for width in (sandbox.WIDTH, 560):  # popped out, and in the side panel of a run
        chrome.switch_to.default_content()
        chrome.execute_script("arguments[0].width = arguments[1]", frame, width)
        chrome.switch_to.frame(frame)
        assert chrome.execute_script(fits), f"the page is wider than its frame of {width} pixels"
    drawings = chrome.execute_script(
        "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().height)"
    )
    assert all(height > 40 for height in drawings)
    if where := os.environ.get("MOME_SCREENSHOTS"):
        chrome.switch_to.default_content()
        Path(where).mkdir(parents=True, exist_ok=True)
        chrome.save_screenshot(str(Path(where) / f"{name.replace(' ', '_')}.png"))


def references(content: str) -> list[str]:
    """Return what a page refers to outside of itself."""
    found = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]+)|url\(\s*["']?([^)"']+)""", content)
    return [either for pair in found for either in pair if either and not either.startswith(("data:", "#"))]


def requests_of(chrome: Any) -> list[str]:
    """Return what was asked for over a network since the last look."""
    messages = [json.loads(entry["message"])["message"] for entry in chrome.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if url.partition(":")[0] in ("http", "https", "ws", "wss", "ftp")]
