"""``compression_scale=auto``: by hand on a planted table, and through the routes on sound with noise."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mome.errors import ConfigError
from mome.records import Promise, RequestRecord, ScaleDecision
from mome.scales import Scale
from serving.engine import Transcription, complete
from serving.features import Features
from serving.own_scale import OwnScale
from serving.scale_source import ServedScale
from serving.settings import Settings
from tests.planted import condition, evaluation, table
from tests.serving.planted import Served, publish, syllables, wav
from tests.serving.realtime.test_connection import COMPLETED, Client

FINE, COARSE = Scale(4, 2), Scale(16, 5)
# Planted syllables are breathy: the estimator says 15 dB of them, and calls that no noise.
CONDITIONS = [
    condition(None, 13, 10, 16).model_copy(update={"kinds": {"none": 0.5, "steady": 0.5}}),
    condition(-5, -5, -6, -4, noise="steady"),
]
RATES = table({"a4v2": {"clean": 2, "steady_-5": 5}, "a16v5": {"clean": 3, "steady_-5": 30}})
EVALUATED = evaluation({"av": RATES, "audio": RATES, "video": RATES}, conditions=CONDITIONS)
PROMISE = Promise(max_wer={"av": 0.08, "audio": 0.08}, confidence=0.8)


def features(snr_db: float | None, *, confident: bool = True) -> Features:
    return Features(snr_db, confident, None if snr_db is None else "steady", 1.0, -20.0, 0.8, None)


def served(scale: Scale = COARSE, **changed: Any) -> ServedScale:
    decision = ScaleDecision(
        at=datetime(2026, 1, 1, tzinfo=UTC),
        scale=str(scale),
        previous=None,
        switched=True,
        snr_db=0.0,
        requests=100,
        reason="planted",
        **changed,
    )
    return ServedScale(scale, "scale file", "planted", decision.at, decision)


def chosen(snr_db: float | None, by: ServedScale, promise: Promise | None = PROMISE) -> Scale | None:
    return OwnScale(EVALUATED, (FINE, COARSE), promise).choose(by, "audio", features(snr_db))


def noisy(samples: npt.NDArray[np.float32], snr_db: float) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(0).normal(size=len(samples)).astype(np.float32)
    gain = np.sqrt(np.mean(samples**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
    return (samples + gain * noise).astype(np.float32)


CLEAN = syllables(2.0)
NOISY = noisy(CLEAN, -5.0)


def test_each_clip_is_read_at_the_cheapest_scale_that_keeps_the_promise_in_its_noise() -> None:
    assert chosen(11.0, served()) == COARSE
    assert chosen(-5.0, served()) == FINE
    assert chosen(-5.0, ServedScale(COARSE, "bundle", "planted", None)) == FINE  # without a monitor


def test_what_the_window_heard_decides_between_two_noises_that_a_clip_may_have() -> None:
    # 3 dB lies between; by the table it is as far from both.
    middle = (11.5 - 5.0) / 2 - 0.05
    wide = [each.model_copy(update={"low": -6.0 + n * 8, "high": 13.0}) for n, each in enumerate(CONDITIONS)]
    own = OwnScale(EVALUATED.model_copy(update={"conditions": wide}), (FINE, COARSE), PROMISE)
    quiet = served(noise={"clean": 0.99, "steady_-5": 0.01})
    loud = served(noise={"clean": 0.01, "steady_-5": 0.99})
    assert own.choose(quiet, "audio", features(middle + 6)) == COARSE
    assert own.choose(loud, "audio", features(middle)) == FINE
    assert own.choose(quiet, "audio", features(-5.0)) == FINE  # one clip may be unlike all others


def test_the_monitors_promise_goes_before_the_bundles_and_its_spending_and_its_bounds_count() -> None:
    assert chosen(-5.0, served(promise=Promise(max_wer={"audio": 0.5}, confidence=0.8))) == COARSE
    assert chosen(11.0, served(promise=Promise(max_wer={"audio": 0.025}, confidence=0.8))) == FINE
    assert chosen(11.0, served(spending="finest")) == FINE
    assert chosen(-5.0, served(allowed=("a16v5",))) == COARSE
    assert chosen(-5.0, served(allowed=("a1v1",))) is None


@pytest.mark.parametrize("modality", ["audio", "video", "av"])
def test_what_cannot_be_measured_or_is_not_promised_has_no_scale_of_its_own(modality: Any) -> None:
    own = OwnScale(EVALUATED, (FINE, COARSE), PROMISE)
    assert own.choose(served(), modality, features(None)) is None
    assert own.choose(served(), modality, features(-5.0, confident=False)) is None
    # Of quiet the estimator does not know how quiet, and that does not matter.
    assert (own.choose(served(), modality, features(30.0, confident=False)) is None) == (modality == "video")
    assert OwnScale(EVALUATED, (FINE, COARSE), None).choose(served(), modality, features(-5.0)) is None
    assert (own.choose(served(), modality, features(-5.0)) is None) == (modality == "video")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"estimator": "wada"}, "estimator 'wada'"),
        ({"conditions": []}, "no conditions"),
        ({"conditions": [*CONDITIONS, condition(0, 0, -1, 1)]}, "no av word errors at babble_0"),
    ],
)
def test_a_table_that_says_nothing_of_a_clip_is_said_once_and_not_used(
    changed: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        own = OwnScale(EVALUATED.model_copy(update=changed), (FINE, COARSE), PROMISE)
    assert said in caplog.text
    assert own.choose(served(), "audio", features(-5.0)) is None


def test_replies_and_log_say_which_scale_it_was_and_who_chose_it(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    site = serve(evaluated=EVALUATED, promise=PROMISE, request_log=tmp_path / "log")
    sent = [(CLEAN, "auto"), (NOISY, "auto"), (NOISY, "a16v5"), (NOISY, "")]
    found = []
    for samples, scale in sent:
        wanted = {"compression_scale": scale} if scale else {}
        reply = site.post(wav(samples), response_format="verbose_json", **wanted)
        facts = reply.json()["x_mome"]
        assert reply.headers["X-MoME-Scale"] == facts["scale"]
        assert reply.headers["X-MoME-Scale-Chosen-By"] == facts["scale_chosen_by"]
        assert reply.json()["text"].endswith(facts["scale"])
        found.append((facts["scale"], facts["scale_chosen_by"]))
    expected = [("a16v5", "auto"), ("a4v2", "auto"), ("a16v5", "caller"), ("a16v5", "published")]
    assert found == expected
    (log,) = (tmp_path / "log").iterdir()
    records = [RequestRecord.model_validate_json(line) for line in log.read_text().splitlines()]
    assert [(record.scale, record.chosen_by) for record in records] == expected
    assert all(
        record.waited_ms is not None and 0 <= record.waited_ms <= record.latency_ms for record in records
    )
    labels = {"scale": "a4v2", "chosen_by": "auto"}
    assert site.registry.get_sample_value("mome_scale_choices_total", labels) == 1


def test_it_is_the_default_where_the_settings_say_so(serve: Callable[..., Served]) -> None:
    site = serve(evaluated=EVALUATED, promise=PROMISE, default_scale="auto")
    assert site.post(wav(NOISY)).headers["X-MoME-Scale"] == "a4v2"
    assert site.client.get("/scale").json()["default"] == "auto"
    assert Settings.from_environment({"MOME_DEFAULT_SCALE": "auto"}).default_scale == "auto"
    with pytest.raises(ConfigError, match="MOME_DEFAULT_SCALE: expected published or auto, got 'a4v2'"):
        Settings.from_environment({"MOME_DEFAULT_SCALE": "a4v2"})


def test_a_bundle_without_a_promise_is_read_at_the_published_scale_and_says_so(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    site = serve(evaluated=EVALUATED, scale_file=tmp_path / "scale.json")
    reply = site.post(wav(NOISY), compression_scale="auto")
    assert (reply.headers["X-MoME-Scale"], reply.headers["X-MoME-Scale-Chosen-By"]) == ("a16v5", "published")
    publish(tmp_path / "scale.json", "a16v5", promise=PROMISE)
    reply = site.post(wav(NOISY), compression_scale="auto")
    assert (reply.headers["X-MoME-Scale"], reply.headers["X-MoME-Scale-Chosen-By"]) == ("a4v2", "auto")


def test_every_piece_of_a_long_recording_has_its_own(serve: Callable[..., Served]) -> None:
    short = EVALUATED.model_copy(update={"utterance_s": 8.0})  # so long are its pieces, about
    site = serve(evaluated=short, promise=PROMISE)
    pause = np.zeros(16_000, np.float32)
    # A piece may have both, and is read as its mixture is taken for; the noisy ones alone are most of it.
    long = np.concatenate([syllables(20.0), pause, noisy(syllables(40.0), -5.0)])
    reply = site.post(wav(long), compression_scale="auto", response_format="verbose_json").json()
    at = [(each["end"], each["x_mome"]["scale"]) for each in reply["segments"]]
    assert {scale for end, scale in at if end <= 21.0} == {"a16v5"}
    assert {scale for end, scale in at if end > 30.0} == {"a4v2"}
    assert reply["x_mome"]["scale"] == "a4v2"  # that of most of it


def test_a_stream_names_the_scale_before_its_first_word(serve: Callable[..., Served]) -> None:
    site = serve(evaluated=EVALUATED, promise=PROMISE)
    reply = site.post(wav(NOISY), compression_scale="auto", stream="true")
    assert reply.headers["X-MoME-Scale"] == "a4v2"


def test_callers_who_were_refused_are_counted_in_the_next_line_of_the_log(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    site = serve(request_log=tmp_path / "log", max_waiting_s=1.0)

    async def busy() -> Transcription:
        first = site.engine.answer({"file": wav(CLEAN)}, None, live=False)
        with site.engine.admission.place(0) as place:
            place.decoded(5.0)
            for _ in range(3):
                with pytest.raises(Exception, match="wait already"):
                    site.engine.admission.check(100_000)
        return await complete(first)

    asyncio.run(busy())
    site.post(wav(CLEAN))
    (log,) = (tmp_path / "log").iterdir()
    assert [json.loads(line)["refused"] for line in log.read_text().splitlines()] == [3, 0]


def test_a_live_session_reads_an_utterance_by_the_noise_of_the_one_before(
    serve: Callable[..., Served],
) -> None:
    site = serve(evaluated=EVALUATED, promise=PROMISE)
    quiet = (0.2 * NOISY / np.abs(NOISY).max()).astype(np.float32)
    found = []
    with site.client.websocket_connect("/realtime") as socket:
        client = Client(socket)
        assert client.hear()["type"] == "session.created"
        client.set(input={"turn_detection": None}, compression_scale="auto")
        for _ in range(2):
            client.say(quiet)
            client.send("input_audio_buffer.commit")
            facts = client.until(COMPLETED)[-1]["x_mome"]
            found.append((facts["scale"], facts["scale_chosen_by"]))
    assert found == [("a16v5", "published"), ("a4v2", "auto")]
