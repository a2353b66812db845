from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from mome.errors import ServiceError
from mome.records import RequestRecord
from mome.request_log.opening import open_store
from serving.request_log import RequestLog
from tests.planted import request

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def record(request_id: str, at: datetime = NOON) -> RequestRecord:
    return request(request_id, at, snr_db=None, noise_kind=None)


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


class Database:
    """A place that is slow or away, as long as it is told to be."""

    is_remote = True

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.batches: list[int] = []
        self.answers = threading.Event()
        self.answers.set()
        self.is_away = False
        self.asked = threading.Semaphore(0)

    def append(self, records: Sequence[RequestRecord]) -> None:
        self.asked.release()
        self.answers.wait(10)
        if self.is_away:
            raise ServiceError("request log: db/speech: connection refused")
        self.batches.append(len(records))
        self.records += records

    def close(self) -> None:
        pass


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    planted = Database()
    monkeypatch.setattr("serving.request_log.open_store", lambda _: planted)
    monkeypatch.setattr("serving.request_log._PAUSE_S", 0.01)
    return planted


def ids(database: Database) -> list[str]:
    return [record.request_id for record in database.records]


def test_a_database_that_does_not_answer_holds_nobody_up_and_gets_all_in_one_batch(
    database: Database,
) -> None:
    log = RequestLog("postgresql://db/speech")
    database.answers.clear()
    log.append(record("0"))
    assert database.asked.acquire(timeout=10)
    started = time.perf_counter()
    for number in range(1, 301):
        log.append(record(str(number)))
    assert time.perf_counter() - started < 1.0
    database.answers.set()
    log.close()
    assert ids(database) == [str(number) for number in range(301)]
    assert database.batches == [1, 300]


def test_while_a_database_is_away_the_newest_are_kept_and_what_is_lost_is_counted(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    lost: list[int] = []
    log = RequestLog("postgresql://db/speech", lost.append, most_waiting=10)
    database.is_away = True
    for number in range(25):
        log.append(record(str(number)))
    for _ in range(3):
        assert database.asked.acquire(timeout=10)
    assert sum(lost) == 15
    database.is_away = False
    log.close()
    assert ids(database) == [str(number) for number in range(15, 25)]
    assert [each.levelname for each in caplog.records] == ["ERROR", "WARNING"]
    assert "db/speech: connection refused" in caplog.text


def test_a_service_that_ends_while_its_database_is_away_counts_what_it_gives_up(database: Database) -> None:
    lost: list[int] = []
    log = RequestLog("postgresql://db/speech", lost.append)
    database.is_away = True
    for number in range(5):
        log.append(record(str(number)))
    log.close()
    assert (sum(lost), ids(database)) == (5, [])
    database.is_away = False
    log.append(record("later"))  # it opens again
    log.close()
    assert ids(database) == ["later"]


def test_a_file_that_cannot_be_written_counts_as_lost(tmp_path: Path) -> None:
    (tmp_path / "requests").write_text("a file where the folder should be")
    lost: list[int] = []
    RequestLog(tmp_path / "requests", lost.append).append(record("0"))
    assert lost == [1]


def test_a_file_of_sqlite_is_written_by_the_thread(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/requests.db"
    log = RequestLog(address)
    for number in range(20):
        log.append(record(str(number)))
    log.close()
    with closing(open_store(address)) as store:
        assert len(store.newest(100, 60, NOON).requests) == 20
