"""A submission ends with the gate's decision, whatever the server does; over real HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mome.errors import MomeError
from mome.records import GateDecision
from pipelines.client import Connection, connect
from tests.pipelines.planted_server import Fault, Server
from tests.pipelines.submit.submission import (
    DONE,
    JUDGE,
    LOG,
    PASSED,
    REJECTED,
    ROOT,
    cached,
    submit,
)
from tests.planted import evaluation
from tests.planted import table as planted


def test_a_passed_run_is_exit_0_and_tells_every_step(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, result, comment = submit(server, tmp_path, "--set", "train.steps=12", "--experiment", "nightly")
    assert (code, result["exit_code"], result["outcome"]["verdict"]) == (0, 0, "passed")
    assert result["run_url"] == f"{server.address}/#/runs/details/r1"
    assert result["steps"] == DONE
    assert result["seconds"]["train"] == 90
    assert "Retraining passed the gate" in comment
    shown = capsys.readouterr().err
    assert shown.index("running") < shown.index("succeeded")
    assert [run.display_name.split()[0] for run in server.runs] == ["mome-training"]
    sent = server.runs[0].runtime_config["parameters"]
    assert sent == {"profile": "params.yaml", "changes": {"train.steps": 12}}
    assert server.experiments[0].display_name == "nightly"
    version = server.versions[0]
    assert (version.name, version.display_name) == ("mome-training-1.0.0-gabc", "1.0.0+gabc")
    assert {header.get("authorization") for header in server.headers} == {"Bearer right"}


def test_a_second_submission_of_a_commit_uploads_nothing_again(server: Server, tmp_path: Path) -> None:
    assert submit(server, tmp_path, "--upload-only")[0] == 0
    assert (len(server.versions), len(server.runs)) == (1, 0)
    server.looks = 0
    assert submit(server, tmp_path)[0] == 0
    assert (len(server.pipelines), len(server.versions), len(server.runs)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("wrapped", "retried"), [(True, False), (False, False), (False, True)], ids=["wrapped", "bare", "retried"]
)
@pytest.mark.parametrize("route", ["archive", "server", "pages"])
def test_a_rejected_model_is_exit_3_with_the_gates_own_words(
    server: Server, tmp_path: Path, route: str, wrapped: bool, retried: bool
) -> None:
    table = evaluation({"av": planted({"a4v2": {"clean": 9, "0": 12}, "a16v5": {"clean": 11}})})
    decision = GateDecision(passed=False, reason="budget of a4v2: 9.0%", checks=["FAILED: a | b"], max_wer={})
    server.story, server.log_route = REJECTED, route
    server.wrapped, server.retried = wrapped, retried
    server.logs = {
        JUDGE: LOG.format("GateRejected: budget of a4v2: 9.0% of words wrong"),
        "gate": f"noise\n{table.model_dump_json()}\n{{}}\n{decision.model_dump_json()}\n",
    }
    code, result, comment = submit(server, tmp_path)
    assert (code, result["outcome"]["verdict"]) == (3, "rejected")
    assert result["outcome"]["reason"].startswith("budget of a4v2: 9.0%")
    assert "|  | clean | 0 dB |" in comment
    assert "| a4v2 | 9.0 | 12.0 |" in comment
    assert "| a16v5 | 11.0 |  |" in comment
    assert r"a \| b" in comment


def test_without_any_log_a_failed_verdict_is_still_a_rejection(server: Server, tmp_path: Path) -> None:
    server.story = REJECTED
    code, result, _ = submit(server, tmp_path)
    assert (code, result["outcome"]["verdict"]) == (3, "rejected")


def test_words_of_a_step_start_no_command_in_the_log_of_ci(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decision = GateDecision(passed=False, reason="no\n::add-mask::a\x1b[2J", checks=[], max_wer={})
    server.story, server.logs = REJECTED, {"gate": decision.model_dump_json()}
    assert submit(server, tmp_path)[0] == 3
    printed = capsys.readouterr()
    assert "no ::add-mask::a" in printed.out
    assert not any(line.startswith("::") for line in (printed.out + printed.err).splitlines())
    assert "\x1b" not in printed.out


def test_a_gate_that_broke_is_no_rejection(server: Server, tmp_path: Path) -> None:
    server.story = REJECTED
    server.logs = {JUDGE: LOG.format("ConfigError: stage 'x' judges nothing")}
    code, result, _ = submit(server, tmp_path)
    assert (code, result["outcome"]["verdict"]) == (4, "failed")
    assert "judges nothing" in result["outcome"]["reason"]


def test_a_failed_step_is_exit_4_and_says_what_the_step_said(server: Server, tmp_path: Path) -> None:
    server.story = [("FAILED", {"train": "FAILED"})]
    server.logs = {"train": LOG.format("TrainingError: the loss is not finite")}
    code, result, comment = submit(server, tmp_path)
    assert (code, result["outcome"]["verdict"]) == (4, "failed")
    assert result["outcome"]["failed"] == {"train": "TrainingError: the loss is not finite"}
    assert "the loss is not finite" in comment


def test_a_run_that_somebody_ended_is_exit_4(server: Server, tmp_path: Path) -> None:
    server.story = [("CANCELED", {"train": "FAILED"})]
    assert submit(server, tmp_path)[1]["outcome"]["verdict"] == "cancelled"


def test_a_run_that_ended_well_without_a_decision_is_no_yes(server: Server, tmp_path: Path) -> None:
    server.story = [("SUCCEEDED", DONE | {JUDGE: "SKIPPED"})]
    code, result, _ = submit(server, tmp_path)
    assert (code, result["outcome"]["verdict"]) == (4, "failed")


def test_a_pipeline_without_a_gate_is_exit_0_when_it_ends_well(server: Server, tmp_path: Path) -> None:
    (tmp_path / "retrain.json").touch()
    needed = [name for name, field in cached("monitoring").inputs.items() if field.required]
    given = [word for name in needed for word in ("--set", f"{name}=x") if name not in ("monitor", "train")]
    server.story = [("SUCCEEDED", {"check-drift": "SUCCEEDED"})]
    code, result, _ = submit(server, tmp_path, "monitoring", *given)
    assert (code, result["outcome"]["verdict"]) == (0, "none")


def test_a_wrong_token_is_exit_5_and_says_what_to_do(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_TOKEN", "wrong")
    code, result, comment = submit(server, tmp_path)
    assert code == 5
    assert "--token-file" in result["outcome"]["reason"]
    assert len(server.asked) == 1  # not tried again
    assert "wrong" not in comment  # the token itself


def test_a_token_that_ends_during_the_wait_is_exit_5_and_the_run_is_known(
    server: Server, tmp_path: Path
) -> None:
    server.faults = [Fault("GET", "/runs/r1$", 401, times=9)]
    code, result, comment = submit(server, tmp_path)
    assert (code, result["run_id"]) == (5, "r1")
    assert "goes on" in result["outcome"]["reason"]
    assert "/runs/details/r1" in comment


@pytest.mark.parametrize(
    ("status", "words"), [(403, "kubeflow-edit"), (404, "/pipeline"), (400, "refused (400)")]
)
def test_other_refusals_say_what_to_do_and_are_not_tried_again(
    server: Server, tmp_path: Path, status: int, words: str
) -> None:
    server.faults = [Fault("POST", "/runs$", status, times=9)]
    code, result, _ = submit(server, tmp_path)
    assert code == 5
    assert words in result["outcome"]["reason"]
    assert server.posts("/runs") == 1


@pytest.mark.parametrize(
    "path", ["/healthz", "/experiments", "/pipelines$", "/versions", "/runs$", r"/runs/r1$"]
)
def test_passing_faults_are_waited_out(server: Server, tmp_path: Path, path: str) -> None:
    server.faults = [Fault("GET", path, 503, times=2), Fault("GET", path, 429), Fault("GET", path, lost=True)]
    assert submit(server, tmp_path)[0] == 0
    assert all(fault.times == 0 for fault in server.faults)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/experiments", "experiments"),
        ("/pipelines$", "pipelines"),
        ("/upload_version", "versions"),
        ("/runs$", "runs"),
    ],
)
@pytest.mark.parametrize("lost", [True, False])
def test_what_creates_is_never_done_twice(
    server: Server, tmp_path: Path, path: str, kept: str, lost: bool
) -> None:
    server.faults = [Fault("POST", path, 502, lost=lost)]
    assert submit(server, tmp_path)[0] == 0
    assert len(getattr(server, kept)) == 1
    assert server.posts(path.rstrip("$")) == (1 if lost else 2)


def test_a_run_that_the_server_makes_after_the_gateway_gave_up_is_not_made_twice(
    server: Server, tmp_path: Path
) -> None:
    server.faults = [Fault("POST", "/runs$", lost=True, late=True)]
    assert submit(server, tmp_path)[0] == 0
    assert (len(server.runs), server.posts("/runs")) == (1, 1)


def test_a_server_that_stays_away_is_exit_5(server: Server, tmp_path: Path) -> None:
    server.faults = [Fault("GET", "/healthz", 500, times=99)]
    code, result, _ = submit(server, tmp_path)
    assert code == 5
    assert "planted 500" in result["outcome"]["reason"]


def test_nobody_there_is_exit_5(tmp_path: Path) -> None:
    code, result, _ = submit(Server(address="http://127.0.0.1:9"), tmp_path)
    assert code == 5
    assert "cannot be reached" in result["outcome"]["reason"]


@pytest.mark.parametrize(
    ("version", "refused"),
    [("2.16.1", True), ("2.5.0", True), ("2.17.0", False), ("3.0.0", False), ("unknown", False)],
)
def test_a_server_older_than_2_17_is_refused(
    server: Server, tmp_path: Path, version: str, refused: bool
) -> None:
    server.version = version
    code, result, _ = submit(server, tmp_path)
    assert code == (5 if refused else 0)
    if refused:
        assert f"{version}, and 2.17 or newer is needed" in result["outcome"]["reason"]


@pytest.mark.parametrize(
    ("health", "words"),
    [
        ("<html>Log in</html>", "login page"),
        ({"apiServerReady": False, "frontendTagName": "2.17.0"}, "its API is not"),
        ({"apiServerTagName": "2.15.0", "apiServerMultiUser": False}, "2.17 or newer"),
        ({"apiServerTagName": "2.17.0", "apiServerMultiUser": True, "multi_user": True}, "--namespace"),
    ],
)
def test_what_stands_before_the_server_is_told_from_it(
    server: Server, tmp_path: Path, health: object, words: str
) -> None:
    server.health = health
    code, result, _ = submit(server, tmp_path)
    assert (code, words in result["outcome"]["reason"]) == (5, True), result["outcome"]["reason"]


def test_a_namespace_travels_with_what_is_created(server: Server, tmp_path: Path) -> None:
    server.multi_user = True
    assert submit(server, tmp_path, "--namespace", "team-a")[0] == 0
    assert (server.experiments[0].namespace, server.pipelines[0].namespace) == ("team-a", "team-a")


def test_a_timeout_is_exit_6_and_leaves_the_run(server: Server, tmp_path: Path) -> None:
    server.story = [("RUNNING", {"train": "RUNNING"})]
    code, result, _ = submit(server, tmp_path, "--timeout", "0.05", "--key", "k1")
    assert (code, result["outcome"]["verdict"], result["steps"]) == (6, "unfinished", {"train": "RUNNING"})
    assert server.terminated == []
    server.story = PASSED
    assert submit(server, tmp_path, "--key", "k1")[0] == 0
    assert len(server.runs) == 1  # the second one waited for the same run


def test_a_timeout_can_end_the_run(server: Server, tmp_path: Path) -> None:
    server.story = [("RUNNING", {})]
    assert submit(server, tmp_path, "--timeout", "0.05", "--terminate-on", "timeout")[0] == 6
    assert server.terminated == ["r1"]


@pytest.mark.parametrize(
    ("sent", "more", "ended"),
    [(signal.SIGINT, [], []), (signal.SIGTERM, ["--terminate-on", "interrupt"], ["r1"])],
)
def test_an_interrupted_wait_is_exit_130_and_says_how_to_go_on(
    server: Server, tmp_path: Path, sent: signal.Signals, more: list[str], ended: list[str]
) -> None:
    server.story = [("RUNNING", {"train": "RUNNING"})]
    command = [sys.executable, "-m", "pipelines.submit", "--host", server.address, "--poll", "0.05", *more]
    result = tmp_path / "result.json"
    with subprocess.Popen(
        [*command, "--version", "1", "--result", str(result)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while server.looks < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(sent)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert json.loads(result.read_text())["run_id"] == "r1"
    assert server.terminated == ended


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--set", "train.steps=many"], "train.steps"),
        (["--set", "train.step=3"], "train"),
        (["--set", "steps"], "name=value"),
        (["--set", "nothing=3"], "nothing"),
        (["--set", "corpus=a", "--set", "corpus=b"], "twice"),
        (["--set", "train.learning_rate=.nan"], "not a value"),
        (["--profile", "none"], "unknown"),
        (["nowhere.yaml"], "no such pipeline"),
        (["params.yaml"], "no compiled pipeline"),
        (["--require-digests"], "without a digest"),
        (["--pointer", "nowhere.dvc"], "cannot be read"),
    ],
)
def test_wrong_input_is_exit_1_before_a_server_is_asked(
    server: Server, tmp_path: Path, given: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    code, result, _ = submit(server, tmp_path, *given)
    assert (code, server.asked) == (1, [])
    assert words in result["outcome"]["reason"]


@pytest.mark.parametrize("is_file", [False, True])
def test_a_name_in_changes_that_no_section_has_is_exit_1_before_a_server_is_asked(
    server: Server, tmp_path: Path, is_file: bool
) -> None:
    path = tmp_path / "package.yaml"
    path.write_text((ROOT / "pipelines" / "compiled" / "training.yaml").read_text())
    source = str(path) if is_file else "training"
    code, result, _ = submit(server, tmp_path, source, "--set", 'changes={"train.stepps": 3}')
    assert (code, server.asked) == (1, [])
    assert "section train has" in result["outcome"]["reason"]
    assert "not 'stepps'" in result["outcome"]["reason"]


def test_a_version_that_is_gone_is_said_at_once(server: Server, tmp_path: Path) -> None:
    # A 500 by its number, but one that no second attempt mends.
    said = "Failed to get a pipeline version with id 0: ResourceNotFoundError: PipelineVersion 0 not found"
    server.faults = [Fault("POST", "/runs$", 500, times=99, message=said)]
    code, result, _ = submit(server, tmp_path)
    assert (code, server.posts("/runs")) == (5, 1)
    assert "there is no such thing on the server (500)" in result["outcome"]["reason"]


def test_a_compiled_file_is_taken_as_it_is(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "package.yaml"
    path.write_text((ROOT / "pipelines" / "compiled" / "training.yaml").read_text())
    assert submit(server, tmp_path, str(path))[0] == 0


def test_a_token_does_not_travel_unencrypted() -> None:
    with pytest.raises(MomeError, match="unencrypted"):
        Connection.find("http://kubeflow.example.org/pipeline")
    with pytest.raises(MomeError, match="unencrypted"):
        Connection.find("http://ml-pipeline.svc.example.org")
    assert Connection.find("http://ml-pipeline.kubeflow.svc:8888").credentials is not None


def test_a_token_file_is_read_again_when_it_is_rotated(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("right\n")
    client = connect(Connection.find(server.address, token_file=file))
    file.write_text("newer\n")
    server.token = "newer"
    assert client.experiments.experiment_service_list_experiments(
        filter='{"predicates":[{"operation":"EQUALS","key":"display_name","stringValue":"x"}]}'
    ).experiments in (None, [])


@pytest.mark.parametrize(
    ("content", "words"), [("", "empty"), ("two words", "one word"), ("a\nb", "one word"), (None, "no token")]
)
def test_what_is_no_token_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    credentials = Connection.find("https://kubeflow.example.org", token_file=file).credentials
    assert credentials is not None
    with pytest.raises(MomeError, match=words):
        credentials.token()
