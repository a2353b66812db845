"""What a stranger may ask of a retraining is what the list allows, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mome.config import TrainParams, load_params
from mome.errors import ConfigError
from pipelines.submit.triggers import PAYLOAD, corpus_address, pointer_address, read_trigger

ROOT = Path(__file__).parents[3]
DRIFT = {"at": "2026-11-20T12:00:00Z", "snr_low_db": -7.5, "snr_high_db": 2, "noise": "babble"}


@pytest.fixture(scope="module")
def train() -> TrainParams:
    return load_params(ROOT / "params.yaml").train


@pytest.mark.parametrize("kind", ["manual", "new-data", "schedule"])
@pytest.mark.parametrize("payload", ["", " ", "null", "{}"])
def test_nothing_asks_for_nothing(kind: str, payload: str, train: TrainParams) -> None:
    trigger = read_trigger(kind, payload)
    assert (trigger.asked_revision, trigger.sections(train)) == (None, {})


def test_the_payload_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PAYLOAD, '{"revision": "v3", "reason": "more speakers"}')
    trigger = read_trigger("new-data")
    assert (trigger.asked_revision, trigger.reason) == ("v3", "more speakers")


def test_heard_noise_becomes_noise_of_the_training_and_changes_nothing_else(train: TrainParams) -> None:
    sections = read_trigger("snr-drift", json.dumps(DRIFT)).sections(train)
    assert list(sections) == ["train"]
    assert list(sections["train"]) == ["noise", "noise_snrs_db"]
    assert sections["train"]["noise"] == train.noise
    assert {-10.0, -5.0, 0.0, 5.0} <= set(sections["train"]["noise_snrs_db"])
    assert "clean" in sections["train"]["noise_snrs_db"]


def test_a_form_changes_the_number_of_steps(train: TrainParams) -> None:
    assert read_trigger("manual", '{"steps": "200"}').sections(train) == {"train": {"steps": 200}}
    assert read_trigger("manual", '{"steps": "", "revision": "", "reason": ""}').sections(train) == {}


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("new-data", {"corpus": "https://evil.example.org/data.git"}),
        ("new-data", {"registry": "s3://elsewhere"}),
        ("new-data", {"gate": {"max_wer": {}}}),
        ("new-data", {"steps": "3"}),
        ("new-data", {"revision": "--upload-pack=touch"}),
        ("new-data", {"revision": "-c"}),
        ("new-data", {"revision": "../../etc"}),
        ("new-data", {"revision": "v1; rm -rf ."}),
        ("new-data", {"revision": "v1\nGITHUB_ENV"}),
        ("new-data", {"revision": "$(id)"}),
        ("new-data", {"revision": "main@{upstream}"}),
        ("new-data", {"revision": "a" * 101}),
        ("new-data", {"revision": 7}),
        ("new-data", {"reason": "<img src=x>"}),
        ("new-data", {"reason": "ping @everyone"}),
        ("new-data", {"reason": "::set-output name=x::y\n::error::"}),
        ("new-data", {"reason": "[click](http://x)"}),
        ("new-data", {"reason": "`id`"}),
        ("new-data", {"reason": "\x1b[2J"}),
        ("new-data", {"reason": "a" * 301}),
        ("schedule", {"revision": "v1"}),
        ("manual", {"steps": 200}),
        ("manual", {"steps": "1e9"}),
        ("manual", {"steps": "-1"}),
        ("snr-drift", {}),
        ("snr-drift", DRIFT | {"snr_low_db": "0"}),
        ("snr-drift", DRIFT | {"snr_low_db": 3}),
        ("snr-drift", DRIFT | {"snr_high_db": 1000}),
        ("snr-drift", DRIFT | {"snr_low_db": -1e308}),
        ("snr-drift", DRIFT | {"snr_low_db": True}),
        ("snr-drift", DRIFT | {"revision": "v1"}),
        ("snr-drift", DRIFT | {"at": "yesterday"}),
    ],
)
def test_what_is_not_on_the_list_is_refused(kind: str, payload: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"payload of {kind} refused"):
        read_trigger(kind, json.dumps(payload))


@pytest.mark.parametrize(
    "payload",
    [
        "[]",
        '"text"',
        "{",
        '{"revision": "v1", "revision": "v2"}',
        '{"snr_low_db": NaN}',
        '{"snr_low_db": Infinity}',
        "[" * 5000,
        "\ufeff{}",
    ],
)
def test_what_is_no_json_object_is_refused(payload: str) -> None:
    with pytest.raises(ConfigError, match="refused"):
        read_trigger("snr-drift", payload)


def test_too_much_is_not_even_read() -> None:
    with pytest.raises(ConfigError, match="at most 8192"):
        read_trigger("new-data", '{"reason": "' + "a" * 9000 + '"}')


def test_a_refusal_repeats_nothing_of_the_payload() -> None:
    with pytest.raises(ConfigError) as refused:
        read_trigger("new-data", '{"\\u001b[2J::error::": "\\u001b]0;owned", "reason": "::warning::x\\n"}')
    said = str(refused.value)
    assert "\x1b" not in said
    assert "::" not in said
    assert "allowed are reason, revision" in said


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of manual"):
        read_trigger("pull_request", "{}")


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [
        ("https://example.org/speech.git", "https://example.org/speech.git@v2"),
        ("https://example.org/speech.git@v1", "https://example.org/speech.git@v2"),
        ("git@example.org:speech.git@v1", "git@example.org:speech.git@v2"),
        ("git@example.org:speech.git", "git@example.org:speech.git@v2"),
    ],
)
def test_a_revision_replaces_that_of_the_reviewed_address(corpus: str, expected: str) -> None:
    trigger = read_trigger("new-data", '{"revision": "v2"}')
    assert corpus_address(corpus, trigger) == expected


@pytest.mark.parametrize("corpus", [None, "embedded"])
def test_a_revision_of_no_repository_is_refused(corpus: str | None) -> None:
    with pytest.raises(ConfigError, match="of which corpus"):
        corpus_address(corpus, read_trigger("new-data", '{"revision": "v2"}'))


def test_a_pointer_names_corpus_and_commit(tmp_path: Path) -> None:
    pointer = tmp_path / "corpus.dvc"
    pointer.write_text(
        "deps:\n- path: content\n  repo:\n    url: https://example.org/speech.git\n    rev_lock: 1f2e\n"
    )
    assert pointer_address(pointer) == "https://example.org/speech.git@1f2e"
    pointer.write_text("outs:\n- md5: 1f2e\n  path: corpus\n")
    with pytest.raises(ConfigError, match="dvc import"):
        pointer_address(pointer)
