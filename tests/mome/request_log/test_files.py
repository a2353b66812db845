"""The log is written as the service writes it, and broken as crashes and mistakes break it."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mome.errors import MonitorError
from mome.records import RequestRecord
from mome.request_log.files import FileStore
from tests import planted

NOW = datetime.now(UTC)


def request(number: int, age_s: float, status: int = 200) -> RequestRecord:
    return planted.request(f"r{number:04d}", NOW - timedelta(seconds=age_s), status=status)


def write(path: Path, requests: list[RequestRecord], tail: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(request.model_dump_json() + "\n" for request in requests) + tail)


def ids(folder: Path, size: int = 5, max_age_s: float = 600) -> list[str]:
    return [request.request_id for request in FileStore(folder).newest(size, max_age_s, NOW).requests]


def test_the_newest_requests_of_all_workers_come_oldest_first(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [request(number, 100 - number) for number in range(0, 40, 2)])
    write(tmp_path / "b.jsonl", [request(number, 100 - number) for number in range(1, 40, 2)])
    assert ids(tmp_path) == ["r0035", "r0036", "r0037", "r0038", "r0039"]


def test_a_half_written_last_line_is_left_for_the_next_look(tmp_path: Path) -> None:
    whole = request(2, 1).model_dump_json()
    write(tmp_path / "a.jsonl", [request(1, 2)], tail=whole[:40])
    assert ids(tmp_path) == ["r0001"]
    write(tmp_path / "a.jsonl", [request(1, 2)], tail=whole + "\n")
    assert ids(tmp_path) == ["r0001", "r0002"]


def test_a_broken_line_in_the_middle_is_counted_and_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [request(1, 3)], tail="{broken\n\n" + request(2, 2).model_dump_json() + "\n")
    window = FileStore(tmp_path).newest(5, 600, NOW)
    assert ([r.request_id for r in window.requests], window.unreadable) == (["r0001", "r0002"], 1)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "hello"}\n' * 3)
    with pytest.raises(MonitorError, match="none of 3 lines is a RequestRecord"):
        FileStore(tmp_path).newest(5, 600, NOW)


def test_refused_and_old_requests_say_nothing_about_now(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [request(1, 700), request(2, 10), request(3, 9, status=422), request(4, 8)])
    assert ids(tmp_path) == ["r0002", "r0004"]
    old = tmp_path / "old.jsonl"
    write(old, [request(5, 5)])
    os.utime(old, (NOW.timestamp() - 700, NOW.timestamp() - 700))  # not written to since: not even opened
    assert ids(tmp_path) == ["r0002", "r0004"]


def test_a_service_without_requests_is_an_empty_window(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    write(tmp_path / "started.jsonl", [], tail='{"half')
    assert ids(tmp_path) == ids(tmp_path / "nowhere") == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(MonitorError, match="expected the folder of the request log"):
        FileStore(tmp_path / "log").newest(5, 600, NOW)


def test_requests_from_the_future_and_copied_lines_are_left_out(tmp_path: Path) -> None:
    good = [request(number, 100 - number) for number in range(3)]
    write(tmp_path / "a.jsonl", [*good, request(9, -3600.0), good[1]])
    assert ids(tmp_path) == ["r0000", "r0001", "r0002"]


def test_a_line_that_a_killed_writer_left_half_written_costs_no_other(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.append([request(1, 3)])
    store.close()
    (path,) = tmp_path.iterdir()
    with path.open("a") as file:
        file.write(request(2, 2).model_dump_json()[:40])
    again = FileStore(tmp_path)  # as a container that is started again: the same host, the same process id
    again.append([request(3, 1)])
    window = again.newest(5, 600, NOW)
    assert ([each.request_id for each in window.requests], window.unreadable) == (["r0001", "r0003"], 1)
    again.close()
