"""What was promised beside what was seen, after processes of the loop were killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from pipelines.loop.kills import Kills
from pipelines.loop.witness import Seen
from serving.benchmark.load import Answers

__all__ = ["Row", "account"]

_REFUSED = (429, 503)  # with Retry-After: send it again

_Switch = tuple[str, str | None, str]  # when, from, to


class Row(NamedTuple):
    """A line of the table; ``kept`` is None where nothing is promised."""

    what: str
    found: str
    promised: str = ""
    kept: bool | None = None


def account(seen: Seen, answers: Answers, kills: Kills) -> list[Row]:
    """Compare what callers and the witness have seen with what is promised.

    Args:
        seen: Of the published files.
        answers: Of the service.
        kills: Of its workers and of the monitors.
    """
    return [*_killed(kills), *_requests(seen, answers, kills), *_decisions(seen), *_files(seen)]


def _killed(kills: Kills) -> list[Row]:
    workers, monitors = len(kills.workers), len(kills.monitors)
    return [
        Row("workers killed", str(workers), "some", workers > 0),
        Row("monitors killed", f"{monitors}, {kills.at_switches} at a switch", "some", monitors > 0),
    ]


def _requests(seen: Seen, answers: Answers, kills: Kills) -> list[Row]:
    sent = sum(answers.statuses.values())
    answered = answers.statuses.get(200, 0)
    refused = sum(answers.statuses.get(status, 0) for status in _REFUSED)
    resets, in_vain = len(answers.resets_s), answers.errors[TimeoutError.__name__]
    other = sent - answered - refused - resets - in_vain
    unexplained = sum(not kills.explains(*each) for each in answers.resets_s)
    logged = Counter(_of(seen.requests, "request_id"))
    missing = len(set(answers.request_ids) - logged.keys())
    doubled = sum(count - 1 for count in logged.values())
    return [
        Row("requests answered", f"{answered} of {sent}", "some", answered > 0),
        Row("refused, to be sent again", str(refused)),
        Row("reset with the worker that had them", str(resets - unexplained)),
        Row("reset otherwise", str(unexplained), "0", unexplained == 0),
        Row("answered with another status", str(other), "0", other == 0),
        Row("waited in vain", str(in_vain), "0", in_vain == 0),
        Row("answered, and not in the request log", str(missing), "0", missing == 0),
        Row("twice in the request log", str(doubled), "0", doubled == 0),
    ]


def _decisions(seen: Seen) -> list[Row]:
    journal = [line for line in seen.journal if line is not None]
    recorded = [_switch(line) for line in journal if line["switched"] and line["previous"] is not None]
    published = _changes(seen.versions, journal)
    lost = sum((Counter(recorded) - Counter(published)).values())
    on_record = Counter((line["at"], line["scale"]) for line in journal)
    unfounded = sum(on_record[version["at"], version["scale"]] != 1 for version in seen.versions)
    in_order = recorded == published
    return [
        Row("decisions on record", str(len(journal)), "some", bool(journal)),
        Row("switches on record", str(len(recorded)), "some", bool(recorded)),
        Row("switches served", str(len(published)), "the same, once, in order", in_order),
        Row("switches on record that were never served", str(lost), "0", lost == 0),
        Row("scales served without one decision on record", str(unfounded), "0", unfounded == 0),
    ]


def _files(seen: Seen) -> list[Row]:
    return [
        Row("published files read", str(seen.reads), "some", seen.reads > 0),
        Row("of these torn, gone or shortened", str(len(seen.torn)), "0", not seen.torn),
        Row("looks at who holds the lock", str(seen.looks), "some", seen.looks > 0),
        Row("of these with two holders", str(len(seen.several)), "0", not seen.several),
        Row("longest time without a monitor at work", f"{seen.alone_s:.1f} s"),
        Row("broken lines of the request log, passed over", str(seen.requests.count(None))),
        Row("broken lines of the decisions, passed over", str(seen.journal.count(None))),
        Row("files whose last line was never ended", str(len(seen.halves))),
        Row("temporary files left behind", str(seen.leftovers)),
    ]


def _changes(versions: Sequence[dict[str, Any]], journal: Sequence[dict[str, Any]]) -> list[_Switch]:
    """Return the switches of a scale that was published again and again.

    A switch whose writer died is served by the next one, whose first look may keep it and publish that a
    millisecond later: whoever sees only the second has seen the switch.
    """
    switch_at: dict[tuple[str, str], str] = {}  # which one a decision upholds
    newest = ""
    for line in journal:
        newest = line["at"] if line["switched"] else newest
        switch_at[line["at"], line["scale"]] = newest
    return [
        (switch_at.get((after["at"], after["scale"]), after["at"]), before["scale"], after["scale"])
        for before, after in pairwise(versions)
        if before["scale"] != after["scale"]
    ]


def _switch(decision: dict[str, Any]) -> _Switch:
    return decision["at"], decision["previous"], decision["scale"]


def _of(lines: Iterable[dict[str, Any] | None], name: str) -> list[Any]:
    return [line[name] for line in lines if line is not None]
