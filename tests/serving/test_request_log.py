from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from mome.records import RequestRecord
from serving.request_log import RequestLog

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def record(request_id: str, at: datetime = NOON) -> RequestRecord:
    return RequestRecord(
        request_id=request_id,
        at=at,
        scale="a4v2",
        modality="audio",
        duration_s=1.0,
        latency_ms=12.5,
        snr_db=None,
        snr_confident=False,
        noise_kind=None,
        noise_confidence=0.0,
        level_db=-30.0,
        speech_share=0.5,
        mouth_sharpness=None,
        status=200,
    )


def test_a_line_is_there_as_soon_as_it_was_appended(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "requests")
    for number in range(3):
        log.append(record(str(number)))
        (file,) = (tmp_path / "requests").iterdir()
        lines = file.read_text().splitlines()
        ids = [RequestRecord.model_validate_json(line).request_id for line in lines]
        assert ids == list("012")[: number + 1]
    log.close()


def test_each_day_and_each_process_has_its_file(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    log.append(record("today"))
    log.append(record("tomorrow", NOON + timedelta(days=1)))
    # Half past midnight in Tokyo is still yesterday afternoon in UTC.
    log.append(record("today too", datetime(2026, 11, 21, 0, 30, tzinfo=timezone(timedelta(hours=9)))))
    log.close()

    files = sorted(path.name for path in tmp_path.iterdir())
    assert [name[: len("requests-2026-11-20")] for name in files] == [
        "requests-2026-11-20",
        "requests-2026-11-21",
    ]
    assert all(name.endswith(f"-{os.getpid()}.jsonl") for name in files)
    assert len((tmp_path / files[0]).read_text().splitlines()) == 2


def test_a_closed_log_appends_to_what_is_there(tmp_path: Path) -> None:
    for number in range(2):
        log = RequestLog(tmp_path)
        log.append(record(str(number)))
        log.close()

    (file,) = tmp_path.iterdir()
    assert len(file.read_text().splitlines()) == 2


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    RequestLog(None).append(record("0"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_reported_once_and_fails_no_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "requests").write_text("a file where the folder should be")
    log = RequestLog(tmp_path / "requests")

    with caplog.at_level(logging.ERROR):
        log.append(record("0"))
        log.append(record("1"))

    assert len(caplog.records) == 1
    assert "cannot be written" in caplog.text
