"""What decides does not hang on the server's list of steps: it stays behind, or stops for ever.

The ids and the forms of the lists are those that a server of 2.17 gave.
"""

from __future__ import annotations

from pathlib import Path

import kfp_server_api as api
import pytest

from mome.records import GateDecision
from pipelines.submit.nodes import pods_of
from pipelines.submit.package import Place
from tests.pipelines.planted_nodes import DEFAULT, Workflow
from tests.pipelines.planted_server import Server
from tests.pipelines.submit.submission import DONE, JUDGE, LOG, STEPS, cached, submit
from tests.planted import evaluation
from tests.planted import table as planted

LOOP = [("exit-handler-1", False), ("for-loop-2", True)]
SHARDED = cached("training_sharded")
SHARDED_DONE = dict.fromkeys(SHARDED.steps(), "SUCCEEDED")
YES = GateDecision(passed=True, reason="all checks hold", checks=["ok: a"], max_wer={}).model_dump_json()
NO = GateDecision(passed=False, reason="budget of a4v2: 9.0%", checks=[], max_wer={}).model_dump_json()
TABLE = evaluation({"av": planted({"a4v2": {"clean": 9}})}).model_dump_json()

# Children in the lists of four runs: of gate(0), of executor of two steps, and of a piece of a loop.
RECORDED = [
    ("mome-training-dlt2b", "gate(0).executor", 1048263248),
    ("mome-training-dlt2b", "gate(0).executor(0)", 3366226419),
    ("mome-training-9vfqx", "require-2(0).executor(0)", 3221518178),
    ("mome-training-9vfqx", "gate(0)", 3303926531),
]


@pytest.mark.parametrize(("workflow", "node", "number"), RECORDED)
def test_the_planted_nodes_are_called_as_the_real_ones(workflow: str, node: str, number: int) -> None:
    found = Workflow(workflow)
    assert found.node_id(found.node(node, DEFAULT)) == f"{workflow}-{number}"


def test_the_planted_pieces_are_called_as_the_real_ones() -> None:
    assert (
        Workflow("mome-training-sharded-gc5kl").pod("prepare-shard", LOOP, 3)
        == "mome-training-sharded-gc5kl-1006527476"
    )


def listed(workflow: str, *names: str) -> api.V2beta1Run:
    """Return a run whose list has these display names, and one child that names the workflow."""
    child = api.PipelineTaskDetailChildTask(pod_name=f"{workflow}-1178764280")
    details = [api.V2beta1PipelineTaskDetail(display_name=name, child_tasks=[child]) for name in names]
    return api.V2beta1Run(run_id="r", run_details=api.V2beta1RunDetails(task_details=details))


def test_a_pod_is_known_where_the_list_has_stopped_before_its_step() -> None:
    run = listed("mome-training-dlt2b", "root(0)")
    pods = pods_of(run, Place("gate", ("exit-handler-1",)))
    assert "mome-training-dlt2b-3366226419" in pods
    bare = listed("retry3-hjh4s", "root")
    # The second attempt and the first, as a server without the defaults of 2.17 called them.
    pods = pods_of(bare, Place("window", attempts=2))
    assert [pod for pod in pods if pod in ("retry3-hjh4s-3876024843", "retry3-hjh4s-185198926")] == [
        "retry3-hjh4s-3876024843",
        "retry3-hjh4s-185198926",
    ]


def test_a_list_without_a_single_child_leads_to_no_pod() -> None:
    assert pods_of(api.V2beta1Run(run_id="r"), Place("gate")) == []


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", None])
def test_a_green_run_is_a_yes_however_far_its_list_stayed_behind(
    server: Server, tmp_path: Path, state: str
) -> None:
    server.story = [("SUCCEEDED", DONE | dict.fromkeys(STEPS[STEPS.index("gate") :], state))]
    code, result, _ = submit(server, tmp_path)
    assert (code, result["outcome"]["verdict"]) == (0, "passed")
    assert "promoted" in result["outcome"]["reason"]
    assert result["steps"].get("promote") == (None if state is None else "UNKNOWN")
    assert "promote" not in result["seconds"]


@pytest.mark.parametrize("route", ["server", "pages"])
def test_three_hundred_pieces_that_are_green_are_a_yes_with_table_and_checks(
    server: Server, tmp_path: Path, route: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.turns, server.stops_at, server.log_route = 300, "evaluate", route
    server.story = [("SUCCEEDED", SHARDED_DONE)]
    server.logs = {"gate": f"{TABLE}\n{YES}\n"}
    code, result, comment = submit(server, tmp_path, "training_sharded")
    assert (code, result["outcome"]["verdict"]) == (0, "passed"), result["outcome"]
    assert result["gate"]["checks"] == ["ok: a"]
    assert "| a4v2 | 9.0 |" in comment
    assert result["steps"]["prepare-shard"] == "SUCCEEDED"
    shown = capsys.readouterr().err
    assert "300 of 300" in shown
    assert "does not tell how these ended: evaluate, gate, require_gate, package, rehearse, promote" in shown


def test_three_hundred_pieces_and_a_no_behind_the_end_of_the_list_are_a_rejection(
    server: Server, tmp_path: Path
) -> None:
    server.turns, server.stops_at, server.log_route = 300, "evaluate", "pages"
    server.story = [("FAILED", SHARDED_DONE)]
    server.logs = {"gate": f"{TABLE}\n{NO}\n"}
    code, result, comment = submit(server, tmp_path, "training_sharded")
    assert (code, result["outcome"]["reason"]) == (3, "budget of a4v2: 9.0%")
    assert "| a4v2 | 9.0 |" in comment


@pytest.mark.parametrize(
    ("logs", "code", "words"),
    [
        (
            {"gate": YES, "rehearse": LOG.format("ServiceError: no answer")},
            4,
            "rehearse: ServiceError: no an",
        ),
        ({"gate": YES, "promote": LOG.format("GateRejected: fell behind")}, 3, "fell behind"),
        ({JUDGE: LOG.format("GateRejected: budget")}, 3, "budget"),
        ({"gate": YES, "package": "working\n"}, 4, "the server does not say in which step"),
        ({}, 4, "the server does not say in which step"),
    ],
)
def test_the_step_that_failed_behind_the_end_of_the_list_is_found_by_its_log(
    server: Server, tmp_path: Path, logs: dict[str, str], code: int, words: str
) -> None:
    server.stops_at, server.log_route, server.logs = "evaluate", "server", logs
    server.story = [("FAILED", DONE)]
    found, result, _ = submit(server, tmp_path)
    assert (found, words in result["outcome"]["reason"]) == (code, True), result["outcome"]


def test_the_piece_of_three_hundred_that_failed_says_why(server: Server, tmp_path: Path) -> None:
    server.turns, server.failed_turn, server.log_route = 300, 217, "server"
    server.story = [("FAILED", {"plan-shards": "SUCCEEDED", "prepare-shard": "FAILED"})]
    server.logs = {"prepare-shard:217": LOG.format("CorpusError: clip 7 is cut off"), "prepare-shard": "ok\n"}
    code, result, _ = submit(server, tmp_path, "training_sharded")
    assert (code, result["outcome"]["reason"]) == (4, "prepare-shard: CorpusError: clip 7 is cut off")


@pytest.mark.parametrize(("route", "code"), [("around", 4), ("through", 0)])
def test_a_way_around_the_gate_is_no_yes(server: Server, tmp_path: Path, route: str, code: int) -> None:
    text = cached("training").text
    package = tmp_path / "package.yaml"
    # As if the gate stood behind a condition.
    head = f"        {JUDGE}:\n"
    assert text.count(head) == 1
    condition = "          triggerPolicy:\n            condition: 'false'\n"
    package.write_text(text.replace(head, head + condition))
    steps = DONE if route == "through" else DONE | {JUDGE: None}
    server.story = [("SUCCEEDED", steps)]
    assert submit(server, tmp_path, str(package))[0] == code
