"""What has a name of its own is found by it, whatever signs are in the name."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import kfp_server_api as api
import pytest

from tests.pipelines.planted_server import Server
from tests.pipelines.submit.submission import submit

COMMIT = "0.1.0+g8bdaeca8f00b"


def listed(server: Server, name: str) -> tuple[int, list[str]]:
    """Ask for runs of a name as anybody would who does not know the server."""
    predicate = {"operation": "EQUALS", "key": "display_name", "stringValue": name}
    query = urlencode({"filter": json.dumps({"predicates": [predicate]})})
    try:
        with urlopen(f"{server.address}/apis/v2beta1/runs?{query}") as answer:
            return answer.status, [run["display_name"] for run in json.load(answer).get("runs", [])]
    except OSError as error:
        return getattr(error, "code", 0), []


@pytest.mark.parametrize(
    ("asked", "status", "found"),
    [
        (f"mome-training {COMMIT} live1", 200, []),
        (f"mome-training {COMMIT.replace('+', '%2B')} live1", 200, [f"mome-training {COMMIT} live1"]),
        ("mome-training r1 red1", 200, ["mome-training r1 red1"]),
        ("100% müde", 400, []),
        ('a"b', 200, []),
    ],
)
def test_the_planted_server_reads_a_filter_as_the_real_one_did(
    server: Server, asked: str, status: int, found: list[str]
) -> None:
    server.token = ""
    for name in (f"mome-training {COMMIT} live1", "mome-training r1 red1"):
        server.runs.append(api.V2beta1Run(run_id="r", display_name=name))
    assert listed(server, asked) == (status, found)


def test_a_commit_is_submitted_twice_and_a_key_finds_its_run(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        code, result, _ = submit(server, tmp_path, "--version", COMMIT, "--key", "live1")
        assert (code, result["run_id"]) == (0, "r1"), result["outcome"]
    assert submit(server, tmp_path, "--version", COMMIT, "--key", "live2")[1]["run_id"] == "r2"
    assert (len(server.versions), len(server.runs)) == (1, 2)


@pytest.mark.parametrize("name", ["a+b", "100% müde", "50%2Bmore", 'a"b', "a\\b", "a b", "& = ? #", "ü+ö 木"])
def test_every_sign_of_a_name_is_found_again(server: Server, tmp_path: Path, name: str) -> None:
    for _ in range(2):
        code, result, _ = submit(
            server, tmp_path, "--experiment", name, "--version", f"1 {name}", "--key", "k"
        )
        assert (code, result["run_id"]) == (0, "r1"), result["outcome"]
    kept = (server.experiments, server.pipelines, server.versions, server.runs)
    assert [len(things) for things in kept] == [1, 1, 1, 1]
    assert server.experiments[0].display_name == name
