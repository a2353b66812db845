"""Every reply says how many of its words are probably wrong, if the bundle can say; so do log and metrics."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mome.records import ErrorCurve, RequestRecord, WerCalibration
from tests.serving.planted import Served, events, syllables, wav

SPEECH = wav(syllables())
HEADER = "X-MoME-Estimated-WER"
# Log odds of a half are 0: what the curve adds is all there is.
CALIBRATION = WerCalibration(
    curves={"audio": ErrorCurve(offset=-2.0, slope=1.0, scales={"a4v2": -1.0, "a16v5": 0.5}, noise={})},
    clips=100,
    checked={},
)


def sigmoid(odds: float) -> float:
    return float(1 / (1 + np.exp(-odds)))


@pytest.mark.parametrize("shape", ["json", "text", "srt", "vtt", "verbose_json"])
def test_a_reply_of_any_format_has_it_in_its_header(serve: Callable[..., Served], shape: str) -> None:
    served = serve(calibration=CALIBRATION)
    reply = served.post(SPEECH, response_format=shape, compression_scale="a4v2")
    assert float(reply.headers[HEADER]) == pytest.approx(sigmoid(-3.0), abs=1e-4)
    if shape == "verbose_json":
        assert reply.json()["x_mome"]["estimated_wer"] == pytest.approx(sigmoid(-3.0))


def test_a_stream_has_it_in_its_last_event(serve: Callable[..., Served]) -> None:
    served = serve(calibration=CALIBRATION)
    last = events(served.post(SPEECH, stream="true", compression_scale="a16v5").text)[-1]
    assert last["x_mome"]["estimated_wer"] == pytest.approx(sigmoid(-1.5))


def test_log_and_metrics_have_it_by_scale(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve(calibration=CALIBRATION, request_log=tmp_path / "requests")
    for scale in ("a4v2", "a16v5", "a16v5"):
        served.post(SPEECH, compression_scale=scale)
    lines = [line for file in (tmp_path / "requests").iterdir() for line in file.read_text().splitlines()]
    found = [RequestRecord.model_validate_json(line) for line in lines]
    expected = [sigmoid(-3.0), sigmoid(-1.5), sigmoid(-1.5)]
    assert [each.estimated_wer for each in found] == pytest.approx(expected)
    total = served.registry.get_sample_value(
        "mome_estimated_wer_sum", {"scale": "a16v5", "modality": "audio"}
    )
    assert total == pytest.approx(2 * sigmoid(-1.5))


@pytest.mark.parametrize("calibration", [CALIBRATION, None])
def test_without_words_or_a_calibration_nothing_is_said(
    serve: Callable[..., Served], calibration: WerCalibration | None
) -> None:
    samples = syllables() if calibration is None else np.zeros(16_000, np.float32)
    reply = serve(calibration=calibration).post(wav(samples), response_format="verbose_json")
    assert HEADER not in reply.headers
    assert reply.json()["x_mome"]["estimated_wer"] is None
