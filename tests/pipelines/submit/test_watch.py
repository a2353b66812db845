"""The wait shows every change once, and the time."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta

import kfp_server_api as api
import pytest

from pipelines.submit.logs import error_of
from pipelines.submit.tasks import tasks_of
from pipelines.submit.watch import RunTimeout, watch
from tests.pipelines.submit.submission import LOG

BEGAN = datetime(2026, 11, 20, 12, tzinfo=UTC)


def run(state: str, *steps: tuple[str, str]) -> api.V2beta1Run:
    details = [
        api.V2beta1PipelineTaskDetail(
            display_name=name,
            state=state,
            start_time=BEGAN,
            end_time=BEGAN + timedelta(seconds=12.5) if state == "SUCCEEDED" else None,
        )
        for name, state in steps
    ]
    return api.V2beta1Run(run_id="r1", state=state, run_details=api.V2beta1RunDetails(task_details=details))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, *looks: api.V2beta1Run, names: tuple[str, ...] = ("train",)) -> str:
    story = iter(looks)
    watch(lambda: next(story), names, every_s=0.001, until=time.monotonic() + 60, stream=stream)
    return stream.getvalue()


LOOKS = (
    run("PENDING"),
    run("RUNNING", ("train", "RUNNING")),
    run("RUNNING", ("train", "RUNNING"), ("train-driver", "SUCCEEDED")),
    run("SUCCEEDED", ("train", "SUCCEEDED")),
)


def test_a_log_has_one_line_per_change() -> None:
    assert shown(io.StringIO(), *LOOKS).splitlines() == [
        "  train                  running",
        "  train                  succeeded      12.5 s",
    ]


def test_a_terminal_shows_the_wait_under_the_lines_and_ends_without_it() -> None:
    text = shown(Terminal(), *LOOKS)
    assert "  train, 0:00" in text
    assert text.splitlines()[-1] == "\r\033[K".rpartition("\r")[2]


def test_turns_of_a_loop_are_counted_as_one_step() -> None:
    turns = [("shard", "SUCCEEDED"), ("shard", "RUNNING"), ("shard", "PENDING")]
    looks = run("RUNNING", *turns), run("SUCCEEDED", *[("shard", "SUCCEEDED")] * 3)
    text = shown(io.StringIO(), *looks, names=("shard",))
    assert text.splitlines()[0] == "  shard                  running     1 of 3"
    assert text.splitlines()[1].endswith("3 of 3")


def test_the_wait_says_where_the_servers_list_of_steps_stopped() -> None:
    looks = (
        run("RUNNING", ("train", "SUCCEEDED"), ("evaluate", "RUNNING")),
        run("SUCCEEDED", ("train", "SUCCEEDED"), ("evaluate", "RUNNING")),
    )
    text = shown(io.StringIO(), *looks, names=("train", "evaluate", "gate"))
    assert text.splitlines() == [
        "  train                  succeeded      12.5 s",
        "  evaluate               running",
        "  succeeded; the server's list of steps does not tell how these ended: evaluate, gate",
    ]


def test_what_a_run_that_ended_left_open_is_unknown_and_what_it_never_began_is_left_out() -> None:
    ended = run("FAILED", ("train", "FAILED"), ("evaluate", "RUNNING"), ("gate", "PENDING"))
    ended.run_details.task_details.append(api.V2beta1PipelineTaskDetail(display_name="promote"))
    found = tasks_of(ended, ["train", "evaluate", "gate", "promote"])
    assert {name: task.state for name, task in found.items()} == {
        "train": "FAILED",
        "evaluate": "UNKNOWN",
        "gate": "UNKNOWN",
    }


@pytest.mark.parametrize(
    ("turns", "state"),
    [
        (["SUCCEEDED", "FAILED", "RUNNING"], "FAILED"),
        (["SUCCEEDED", "PENDING"], "RUNNING"),
        (["SKIPPED", "SUCCEEDED"], "SUCCEEDED"),
        (["PENDING"], "PENDING"),
    ],
)
def test_the_state_of_a_loop_is_that_of_its_worst_turn(turns: list[str], state: str) -> None:
    found = tasks_of(run("RUNNING", *(("shard", turn) for turn in turns)), ["shard"])
    assert found["shard"].state == state


def test_a_run_that_does_not_end_is_given_back_as_it_is() -> None:
    with pytest.raises(RunTimeout) as timeout:
        watch(lambda: LOOKS[1], ["train"], every_s=0.001, until=time.monotonic() + 0.01, stream=io.StringIO())
    assert timeout.value.run is LOOKS[1]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("mome.errors.GateRejected: too many errors", "GateRejected: too many errors"),
        ("ValueError: what", "unexpected ValueError: what"),
    ],
)
def test_the_error_of_a_step_is_named(last: str, expected: str) -> None:
    assert error_of(f"noise\nTraceback (most recent call last):\n  File x\n{last}\n") == expected


@pytest.mark.parametrize(
    "after",
    [
        "I1128 08:54:31.120345      17 launcher_v2.go:215] publish success.\nF1128 08:54:31.2 main.go:54] x",
        'time="2026-11-28T08:54:31.456Z" level=info msg="sub-process exited" argo=true\nError: exit status 1',
        '{"time":"2026-11-28T08:54:31Z","level":"INFO","msg":"sub-process exited"}',
        "exit status 1",
    ],
)
def test_what_the_launcher_says_after_a_step_is_no_part_of_its_error(after: str) -> None:
    log = LOG.format(f"GateRejected: too many errors\n{after}\n")
    assert error_of(log) == "GateRejected: too many errors"


def test_a_step_that_was_killed_has_no_error_of_ours() -> None:
    assert "out of memory?" in error_of("epoch 1\nepoch 2\n")
