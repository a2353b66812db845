"""The rehearsal runs against a small real HTTP server in place of BentoML, with the real monitor."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from components.catalogue import rehearse
from components.rehearse import rehearsal
from components.rehearse.playlist import PHASES, files, playlist
from components.rehearse.server import Command
from mome.config import RehearseParams
from mome.errors import ConfigError, CorpusError, ServiceError
from mome.records import GateDecision, Rehearsal
from mome.speech.media import Clip, read_clip
from mome.speech.shards import write_manifest, write_shard
from mome.speech.usable import write_set_aside
from tests.planted import condition, evaluation, monitor_params, table, utterance

pytest.importorskip("evidently", reason="the monitoring extra is not installed")

ROOT = Path(__file__).parents[2]
PARAMS = RehearseParams(seed=3, snr_db=0.0, requests_per_phase=40, check_every=5, startup_timeout_s=20.0)
MONITOR = monitor_params(cooldown_s=0.1, max_wer={"audio": 0.08})
RATES = {"a4v2": {"clean": 1, "babble_0": 4}, "a16v5": {"clean": 3, "babble_0": 25}}

# Answers like the service: reads the scale file, measures the sound, logs the request, says its name.
SERVER = """
import json, os, sys
from datetime import UTC, datetime
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from mome.records import RequestRecord
from mome.speech.media import read_clip

broken_after = int(sys.argv[2])
log = Path(os.environ["MOME_REQUEST_LOG"])
count = 0

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200 if self.path == "/readyz" else 404, {})

    def do_POST(self):
        global count
        count += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if broken_after and count > broken_after:
            return self.reply(500, {"error": {"message": "planted"}})
        head = f"Content-Type: {self.headers['Content-Type']}\\r\\n\\r\\n".encode()
        parts = {p.get_param("name", header="content-disposition"): p.get_payload(decode=True)
                 for p in BytesParser().parsebytes(head + body).get_payload()}
        clip = read_clip(parts["file"], parts.get("video"))
        scale = json.loads(Path(os.environ["MOME_SCALE_FILE"]).read_text())["scale"]
        # Speech of the test corpus is bursts with pauses: how loud the pauses are is the noise.
        frames = clip.samples[: len(clip.samples) // 160 * 160].reshape(-1, 160).std(axis=1)
        snr_db = 20.0 if (frames < 1e-3).mean() > 0.2 else 0.0
        record = RequestRecord(
            request_id=str(count), at=datetime.now(UTC), scale=scale, modality=clip.modality,
            duration_s=clip.duration_s, latency_ms=1.0, snr_db=snr_db + count % 7 / 10, snr_confident=True,
            noise_kind="babble" if snr_db == 0.0 else "none", noise_confidence=0.9,
            level_db=-20.0 - count % 5, speech_share=0.5, mouth_sharpness=None, status=200)
        log.mkdir(exist_ok=True)
        with (log / "worker.jsonl").open("a") as file:
            file.write(record.model_dump_json() + "\\n")
        text = "one two" if scale == "a4v2" or snr_db else "one"
        self.reply(200, {"text": text, "x_mome": {"scale": scale, "snr_db": record.snr_db}})

    def reply(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

print("listening", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(12):
        bursts = np.repeat(rng.random(20) < 0.5, 800)
        bursts[:800], bursts[800:3200] = True, False
        clip = Clip((rng.normal(size=16000) * 0.1 * bursts).astype(np.float32), None)
        split = "test" if number else "train"
        row = utterance(f"u{number:02d}", split, clip, transcript="one two", shard="0.tar")
        rows.append((row, clip))
    write_shard(root / "shards" / "0.tar", rows)
    write_manifest(root, [row for row, _ in rows])
    return root


@pytest.fixture
def package(tmp_path: Path) -> Path:
    root = tmp_path / "package"
    (root / "bento").mkdir(parents=True)
    (root / "bento" / "server.py").write_text(SERVER)
    evaluation(
        {"audio": table(RATES)},
        conditions=[
            condition(snr_db=None, estimated_snr_db=20, low=15, high=30),
            condition(snr_db=0, estimated_snr_db=0, low=-2, high=2),
        ],
    ).write(root / "bundle" / "evaluation.json")
    GateDecision(passed=True, reason="", checks=[], max_wer={"a4v2": 0.05, "a16v5": 0.10}).write(
        root / "bundle" / "gate.json"
    )
    rng = np.random.default_rng(1)
    pd.DataFrame(
        {"snr_db": rng.normal(20.3, 0.2, 50), "level_db": rng.normal(-22, 2, 50), "condition": "clean"}
    ).to_parquet(root / "bundle" / "baseline.parquet")
    return root


def planted_server(broken_after: int = 0) -> Command:
    def command(bento: Path, port: int) -> Sequence[str]:
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); exec(open({str(bento / 'server.py')!r}).read())"
        )
        return [sys.executable, "-c", code, str(port), str(broken_after)]

    return command


def no_child_is_left(output: Path) -> bool:
    """Look for processes whose environment names this rehearsal's scale file."""
    marker = str((output / "state" / "scale.json").resolve()).encode()
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            if process.parent.name != str(os.getpid()) and marker in process.read_bytes():
                return False
        except OSError:
            continue
    return True


def test_babble_makes_the_scale_finer_and_its_end_coarser_again(
    tmp_path: Path, package: Path, dataset: Path
) -> None:
    output = tmp_path / "rehearsal"
    found = rehearsal.run(PARAMS, MONITOR, package, dataset, output, planted_server())
    assert found.model_dump_json() == Rehearsal.read(output / "rehearsal.json").model_dump_json()
    assert found.requests.model_dump() == {"sent": 120, "answered": 120, "lost": 0}
    assert [(s.from_scale, s.to_scale) for s in found.switches] == [("a16v5", "a4v2"), ("a4v2", "a16v5")]
    content = json.loads((output / "rehearsal.json").read_text())
    assert set(content["switches"][0]) == {"at", "from", "to", "snr_db", "reason"}
    assert len(found.decisions) == 1 + 120 // 5
    # The planted service drops a word in babble until the scale is finer.
    slow = sum(r.scale == "a16v5" for r in found.played if r.phase == "babble")
    assert {phase: (cell.errors, cell.words) for phase, cell in found.wer.items()} == {
        "clean": (0, 80),
        "babble": (slow, 80),
        "clean again": (0, 80),
    }
    assert 0 < slow < 40
    assert sum(latency.requests for latency in found.latency_ms.values()) == 120
    assert all(0 < latency.p50 <= latency.p95 for latency in found.latency_ms.values())
    text = (output / "rehearsal.html").read_text()
    assert "in babble; mostly like babble 0 dB; a4v2 is expected to get" in text
    assert "coarser: " in text
    assert "http" not in text.replace("http-equiv", "")  # self-contained
    assert no_child_is_left(output)


def test_the_step_leaves_the_rehearsal_its_figures_and_a_page(
    tmp_path: Path, package: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = rehearsal.run
    monkeypatch.setattr(rehearsal, "run", lambda *given: run(*given, planted_server()))
    artifacts = [SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in ("rehearsal", "page")]
    write_set_aside([], tmp_path / "validation")
    given = [SimpleNamespace(path=str(path)) for path in (package, dataset, tmp_path / "validation")]
    params = PARAMS.model_copy(update={"requests_per_phase": 5}).model_dump(mode="json")
    monitor = MONITOR.model_dump(mode="json")
    rehearse.python_func(*given, *artifacts, params, monitor)
    assert Rehearsal.read(tmp_path / "rehearsal" / "rehearsal.json").requests.answered == 15
    figures = artifacts[0].metadata
    assert figures["requests_sent"] == figures["requests_answered"] == 15
    assert "Rehearsal" in (tmp_path / "page").read_text()


def test_the_step_refuses_a_section_of_the_wrong_type(tmp_path: Path) -> None:
    nothing = [SimpleNamespace(path=str(tmp_path / "nothing"))] * 5
    params = PARAMS.model_dump(mode="json") | {"requests_per_phase": "40"}
    with pytest.raises(ConfigError, match=r"RehearseParams: requests_per_phase: .* got '40'"):
        rehearse.python_func(*nothing, params, MONITOR.model_dump(mode="json"))


def test_lost_requests_are_counted_and_named(tmp_path: Path, package: Path, dataset: Path) -> None:
    short = PARAMS.model_copy(update={"requests_per_phase": 5})
    found = rehearsal.run(short, MONITOR, package, dataset, tmp_path / "out", planted_server(broken_after=7))
    assert found.requests.model_dump() == {"sent": 15, "answered": 7, "lost": 8}
    assert found.played[7].problem.startswith("status 500")
    assert set(found.wer) == {"clean", "babble"}
    assert "8 requests lost" in (tmp_path / "out" / "rehearsal.html").read_text()


def test_a_service_that_answers_nothing_is_an_error(tmp_path: Path, package: Path, dataset: Path) -> None:
    def command(bento: Path, port: int) -> Sequence[str]:
        code = (
            "import http.server as h, sys\n"
            "class H(h.BaseHTTPRequestHandler):\n"
            "    def do_GET(self): self.send_response(200); self.end_headers()\n"
            "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()"
        )
        return [sys.executable, "-c", code, str(port)]

    short = PARAMS.model_copy(update={"requests_per_phase": 1})
    with pytest.raises(ServiceError, match="answered no request: status 501"):
        rehearsal.run(short, MONITOR, package, dataset, tmp_path / "out", command)
    assert not (tmp_path / "out" / "rehearsal.json").exists()
    assert no_child_is_left(tmp_path / "out")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('planted reason'); raise SystemExit(3)", "ended with 3 before it was ready: planted reason"),
        (
            "import time; print('slow', flush=True); time.sleep(60)",
            r"not ready after 0\.6 s: slow; raise rehearse\.startup_timeout_s",
        ),
        (
            "import os; print('loading', flush=True); os.kill(os.getpid(), 9)",
            "ended with -9 before it was ready: loading; killed, .* raise memory.limit of step rehearse",
        ),
    ],
)
def test_a_service_that_does_not_start_is_an_error_with_its_last_words(
    tmp_path: Path, package: Path, dataset: Path, code: str, message: str
) -> None:
    hasty = PARAMS.model_copy(update={"startup_timeout_s": 0.6 if "sleep" in code else 20.0})
    with pytest.raises(ServiceError, match=message):
        rehearsal.run(
            hasty, MONITOR, package, dataset, tmp_path / "out", lambda *_: [sys.executable, "-c", code]
        )
    assert no_child_is_left(tmp_path / "out")


def test_the_playlist_is_held_out_and_only_the_middle_is_noisy(dataset: Path) -> None:
    short = PARAMS.model_copy(update={"requests_per_phase": 6})
    items = list(playlist(short, dataset))
    assert [item.phase for item in items] == [phase for phase in PHASES for _ in range(6)]
    assert {item.utterance.split for item in items} == {"test"}
    assert len({item.utterance.utterance_id for item in items[:11]}) == 11  # each once before any twice
    pauses = [
        float((np.abs(item.clip.samples) == 0).mean()) for item in items if item.clip.samples is not None
    ]
    assert min(pauses[:6] + pauses[12:]) > 0.2
    assert max(pauses[6:12]) < 0.2


def test_a_dataset_without_test_clips_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, [])
    with pytest.raises(CorpusError, match="no usable test utterance"):
        next(playlist(PARAMS, tmp_path))


def test_an_upload_holds_what_the_clip_holds() -> None:
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=16000) * 0.1).astype(np.float32)
    mouth = np.full((25, 96, 96), 128, np.uint8)
    assert {name: part[0] for name, part in files(Clip(samples, mouth)).items()} == {
        "file": "clip.flac",
        "video": "clip.mp4",
    }
    assert {name: part[0] for name, part in files(Clip(None, mouth)).items()} == {"file": "clip.mp4"}
    sent = files(Clip(samples, None))
    received = read_clip(sent["file"][1], None)
    assert received.samples is not None
    assert np.abs(received.samples - samples).max() <= 1 / 32768
