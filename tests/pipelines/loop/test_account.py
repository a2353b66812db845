"""What is held against a loop whose processes were killed: every fault is planted once, and found."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitoring.lease import FileLease
from pipelines.loop.account import Row, account
from pipelines.loop.faults import table
from pipelines.loop.kills import Kills
from pipelines.loop.witness import Seen, Tail, Witness
from serving.benchmark.load import Answers

LOCKS = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="who holds a lock is not told here")


def decision(at: int, previous: str | None, scale: str) -> dict[str, Any]:
    return {
        "at": f"{at:02d}",
        "previous": previous,
        "scale": scale,
        "switched": previous not in (None, scale),
    }


def loop() -> tuple[Seen, Answers, Kills]:
    """Return a loop that kept every promise, with two switches, one reset and one line half-written."""
    journal = [
        decision(1, None, "a16v5"),
        decision(2, "a16v5", "a16v5"),
        decision(3, "a16v5", "a4v2"),
        decision(4, "a4v2", "a16v5"),
    ]
    seen = Seen(
        versions=[journal[0], journal[2], journal[3]],
        journal=[*journal, None],
        requests=[{"request_id": "r1"}, None, {"request_id": "r2"}],
        reads=3,
        looks=9,
    )
    answers = Answers(latencies_s={200: [0.1, 0.1], 429: [0.01], "lost": [1.0]}, request_ids=["r1", "r2"])
    answers.resets_s = [(10.0, 11.0)]
    return seen, answers, Kills(workers=[10.5], monitors=[12.0])


def broken(rows: list[Row]) -> list[str]:
    return [row.what for row in rows if row.kept is False]


def test_a_loop_that_keeps_its_promises_has_none_broken() -> None:
    rows = account(*loop())
    assert broken(rows) == []
    found = {row.what: row.found for row in rows}
    assert found["requests answered"] == "2 of 4"
    assert found["reset with the worker that had them"] == "1"
    assert found["switches served"] == "2"
    assert found["broken lines of the request log, passed over"] == "1"
    assert "| switches served | 2 | the same, once, in order | kept |" in table(rows)


def test_a_switch_seen_with_the_next_decision_to_keep_it_was_served() -> None:
    seen, answers, kills = loop()
    kept = decision(5, "a16v5", "a16v5")
    seen.journal.append(kept)
    seen.versions[2] = kept
    assert broken(account(seen, answers, kills)) == []
    seen.versions[2] = decision(3, "a16v5", "a4v2")  # the switch back never came
    assert broken(account(seen, answers, kills)) == [
        "switches served",
        "switches on record that were never served",
    ]


def unserved(seen: Seen, _: Answers, __: Kills) -> None:
    del seen.versions[2]


def unfounded(seen: Seen, _: Answers, __: Kills) -> None:
    seen.versions.append(decision(9, "a16v5", "a4v2"))


def twice(seen: Seen, _: Answers, __: Kills) -> None:
    seen.journal.append(seen.journal[3])


def out_of_order(seen: Seen, _: Answers, __: Kills) -> None:
    seen.journal[2:4] = [seen.journal[3], seen.journal[2]]


def torn(seen: Seen, _: Answers, __: Kills) -> None:
    seen.torn.append("scale.json: 0 bytes that are no JSON")


def two_writers(seen: Seen, _: Answers, __: Kills) -> None:
    seen.several.append(2)


def reset_alone(_: Seen, answers: Answers, __: Kills) -> None:
    answers.latencies_s["lost"].append(1.0)
    answers.resets_s.append((20.0, 21.0))


def waited(_: Seen, answers: Answers, __: Kills) -> None:
    answers.latencies_s["lost"].append(120.0)
    answers.errors["TimeoutError"] += 1


def unlogged(_: Seen, answers: Answers, __: Kills) -> None:
    answers.request_ids.append("r3")


def doubled(seen: Seen, _: Answers, __: Kills) -> None:
    seen.requests.append({"request_id": "r1"})


def failed(_: Seen, answers: Answers, __: Kills) -> None:
    answers.latencies_s[500] = [0.1]


def nobody_killed(_: Seen, __: Answers, kills: Kills) -> None:
    kills.monitors.clear()


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (unserved, ["switches served", "switches on record that were never served"]),
        (unfounded, ["switches served", "scales served without one decision on record"]),
        (
            twice,
            [
                "switches served",
                "switches on record that were never served",
                "scales served without one decision on record",
            ],
        ),
        (out_of_order, ["switches served"]),
        (torn, ["of these torn, gone or shortened"]),
        (two_writers, ["of these with two holders"]),
        (reset_alone, ["reset otherwise"]),
        (waited, ["waited in vain"]),
        (unlogged, ["answered, and not in the request log"]),
        (doubled, ["twice in the request log"]),
        (failed, ["answered with another status"]),
        (nobody_killed, ["monitors killed"]),
    ],
)
def test_a_planted_fault_is_found(fault: Callable[..., None], named: list[str]) -> None:
    parts = loop()
    fault(*parts)
    assert broken(account(*parts)) == named


def test_a_witness_sees_what_is_torn_gone_and_shortened(tmp_path: Path) -> None:
    state, requests = tmp_path / "state", tmp_path / "requests"
    state.mkdir()
    requests.mkdir()
    scale, journal = state / "scale.json", state / "decisions.jsonl"
    witness = Witness(state, requests, list)

    def look() -> Seen:
        witness._look(True)
        return witness.seen

    scale.write_text(json.dumps(decision(1, None, "a16v5")))
    journal.write_text(json.dumps(decision(1, None, "a16v5")) + '\n{"half')
    assert (look().torn, len(witness.seen.journal)) == ([], 1)
    scale.write_text('{"at"')
    journal.write_text("{}")
    (state / "retrain.json").write_text("")
    (requests / "a.jsonl").write_text('{"request_id": "r1"}\n')
    assert look().torn == [
        "decisions.jsonl: 2 bytes where 74 had been",
        "scale.json: 5 bytes that are no JSON",
        "retrain.json: 0 bytes that are no JSON",
    ]
    scale.unlink()
    assert look().torn[-1] == "scale.json: gone"
    assert [version["at"] for version in witness.seen.versions] == ["01"]
    assert witness.seen.requests == [{"request_id": "r1"}]


def test_a_tail_gives_lines_when_they_are_whole(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "log")
    assert tail.lines() == []
    with tail.path.open("ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert tail.lines() == [b"one"]
        file.write(b"o\n")
        assert (tail.lines(), tail.rest) == ([b"two"], b"")


@LOCKS
def test_the_kernel_names_who_holds_the_lock_and_a_replaced_lock_has_two_holders(tmp_path: Path) -> None:
    path, pids = tmp_path / "monitor.lock", [os.getpid()]
    witness = Witness(tmp_path, tmp_path / "requests", lambda: pids)

    def holders() -> list[int]:
        witness._look(True)
        return witness.holders()

    assert holders() == []
    with FileLease(path):
        assert holders() == pids
        path.unlink()
        with FileLease(path):
            assert holders() == 2 * pids
    assert holders() == []
    assert (witness.seen.several, witness.seen.looks) == ([2], 3)


@LOCKS
def test_a_monitor_is_killed_as_soon_as_a_switch_is_on_record(tmp_path: Path) -> None:
    journal = tmp_path / "decisions.jsonl"
    acts: list[int] = []
    with Witness(tmp_path, tmp_path / "requests", list) as witness:
        witness.at_next_switch(lambda: acts.append(1))
        for line in (decision(1, None, "a16v5"), decision(2, "a16v5", "a4v2"), decision(3, "a4v2", "a16v5")):
            with journal.open("a") as file:
                file.write(json.dumps(line) + "\n")
            deadline = time.monotonic() + 10
            while len(witness.seen.journal) < int(line["at"]) and time.monotonic() < deadline:
                time.sleep(0.001)
            assert len(acts) == (int(line["at"]) > 1)
