"""Whatever the place, the same is written, read and forgotten: a folder, SQLite, a real PostgreSQL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mome.errors import ConfigError, MonitorError, ServiceError
from mome.records import RequestRecord
from mome.request_log.opening import open_store
from mome.request_log.store import RequestStore
from tests import planted
from tests.postgresql import PASSWORD, Server

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[3]


def request(number: int, age_s: float, status: int = 200) -> RequestRecord:
    return planted.request(f"r{number:04d}", NOW - timedelta(seconds=age_s), status=status)


@pytest.fixture(params=["folder", "sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "requests")
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/requests.db"
    return request.getfixturevalue("postgresql").url()


@pytest.fixture
def store(address: str) -> Iterator[RequestStore]:
    with closing(open_store(address)) as opened:
        yield opened


def ids(store: RequestStore, size: int = 5, max_age_s: float = 600) -> list[str]:
    return [request.request_id for request in store.newest(size, max_age_s, NOW).requests]


def test_a_service_without_requests_is_an_empty_window_and_asking_makes_nothing(
    store: RequestStore, tmp_path: Path
) -> None:
    assert ids(store) == []
    assert store.delete_before(NOW) == 0
    assert list(tmp_path.iterdir()) == []


def test_the_newest_come_oldest_first_and_as_they_were_written(store: RequestStore) -> None:
    written = [request(number, 40 - number) for number in range(30)]
    store.append(written[:10])
    store.append(written[10:])
    assert store.newest(7, 600, NOW).requests == written[-7:]
    assert store.newest(100, 600, NOW).requests == written


def test_what_was_refused_is_old_or_from_the_future_says_nothing_about_now(store: RequestStore) -> None:
    store.append(
        [request(1, 700), request(2, 10), request(3, 9, status=422), request(4, 8), request(5, -3600)]
    )
    assert ids(store) == ["r0002", "r0004"]


def test_a_request_that_was_logged_twice_counts_once_and_a_window_is_full_all_the_same(
    store: RequestStore,
) -> None:
    store.append([request(1, 20), request(2, 10), request(2, 5), request(3, 4), request(3, 3)])
    assert ids(store, size=3) == ["r0001", "r0002", "r0003"]


def test_another_store_in_the_same_place_sees_it_at_once(store: RequestStore, address: str) -> None:
    with closing(open_store(address)) as other:
        for number in range(3):
            store.append([request(number, 3 - number)])
            assert len(ids(other)) == number + 1


def test_a_closed_store_opens_again(store: RequestStore) -> None:
    store.append([request(1, 2)])
    store.close()
    store.append([request(2, 1)])
    assert ids(store) == ["r0001", "r0002"]


@pytest.mark.parametrize("place", ["sqlite", "postgresql"])
def test_old_rows_are_forgotten(place: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    address = (
        f"sqlite:///{tmp_path}/r.db" if place == "sqlite" else request.getfixturevalue("postgresql").url()
    )
    with closing(open_store(address)) as store:
        store.append([request_of_day(day) for day in range(10)])
        assert store.delete_before(NOW - timedelta(days=6.5)) == 3
        assert store.delete_before(NOW - timedelta(days=6.5)) == 0
        assert len(store.newest(20, 30 * 86400, NOW).requests) == 7


def request_of_day(day: int) -> RequestRecord:
    return request(day, day * 86400.0)


def test_old_files_are_forgotten_and_counted_by_their_lines(tmp_path: Path) -> None:
    with closing(open_store(tmp_path)) as store:
        store.append([request_of_day(day) for day in (40, 40, 1)])
    for path in tmp_path.iterdir():
        day = datetime.fromisoformat(path.name[len("requests-") :][:10]).timestamp()
        os.utime(path, (day, day))
    assert store.delete_before(NOW - timedelta(days=30)) == 2
    assert ids(store, max_age_s=90 * 86400) == ["r0001"]


def test_a_record_that_is_given_again_after_a_lost_answer_is_there_once(postgresql: Server) -> None:
    with closing(open_store(postgresql.url())) as store:
        batch = [request(number, 10 - number) for number in range(5)]
        store.append(batch[:3])
        store.append(batch)
    assert postgresql.query("SELECT count(*), min(status) FROM mome_requests") == [(5, 200)]
    (scale,) = postgresql.query("SELECT DISTINCT record::jsonb ->> 'scale' FROM mome_requests")
    assert scale == ("a4v2",)


_WRITER = """
import sys, pathlib, time
from tests.mome.request_log.test_store import request
from mome.request_log.opening import open_store
store = open_store(sys.argv[1])
import mome.request_log.database
pathlib.Path(sys.argv[2] + sys.argv[3]).touch()
while not pathlib.Path(sys.argv[2] + "go").exists():
    time.sleep(0.001)
store.append([request(10 * int(sys.argv[3]) + number, 5.0) for number in range(10)])
"""


@pytest.mark.parametrize("place", ["sqlite", "postgresql"])
def test_two_replicas_that_start_at_once_make_the_table_together(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = (
        f"sqlite:///{tmp_path}/r.db" if place == "sqlite" else request.getfixturevalue("postgresql").url()
    )
    flags = str(tmp_path) + "/ready-"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, address, flags, str(number)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    while not all(Path(f"{flags}{number}").exists() for number in range(2)):
        assert all(writer.poll() is None for writer in writers), writers[0].communicate()
    Path(f"{flags}go").touch()
    for writer in writers:
        _, said = writer.communicate(timeout=30)
        assert writer.returncode == 0, said
    with closing(open_store(address)) as store:
        assert len(store.newest(100, 600, NOW).requests) == 20


def test_the_newest_are_found_by_the_key_however_many_there_are(postgresql: Server) -> None:
    with closing(open_store(postgresql.url())) as store:
        store.append([request(1, 1)])
    postgresql.query(
        "INSERT INTO mome_requests SELECT n, n::text, 200, '{}' FROM generate_series(1, 50000) AS n"
    )
    postgresql.query("ANALYZE mome_requests")
    plan = postgresql.query(
        "EXPLAIN SELECT record FROM mome_requests WHERE at_ms >= 40000 AND at_ms <= 60000 AND status = 200 "
        "ORDER BY at_ms DESC, request_id DESC LIMIT 100"
    )
    assert "Index Scan Backward using mome_requests_pkey" in "\n".join(str(line) for (line,) in plan)


def test_who_may_only_read_and_write_does_not_have_to_make_anything(postgresql: Server) -> None:
    with closing(open_store(postgresql.url())) as store:
        store.append([request(1, 2)])
    postgresql.query("DROP ROLE IF EXISTS writer")
    postgresql.query("CREATE ROLE writer LOGIN PASSWORD 'w'")
    postgresql.query("GRANT SELECT, INSERT ON mome_requests TO writer")
    try:
        with closing(open_store(postgresql.url("writer", "w"))) as store:
            store.append([request(2, 1)])
            assert ids(store) == ["r0001", "r0002"]
            with pytest.raises(ServiceError, match="permission denied for table mome_requests"):
                store.delete_before(NOW)
    finally:
        postgresql.query("REVOKE ALL ON mome_requests FROM writer")


def test_a_table_of_something_else_is_refused_and_one_broken_row_is_counted(postgresql: Server) -> None:
    with closing(open_store(postgresql.url())) as store:
        store.append([request(1, 1)])
        postgresql.query("INSERT INTO mome_requests SELECT at_ms - 1, 'x', 200, '{broken' FROM mome_requests")
        window = store.newest(5, 600, NOW)
        assert ([each.request_id for each in window.requests], window.unreadable) == (["r0001"], 1)
        postgresql.query('UPDATE mome_requests SET record = \'{"text": "hello"}\'')
        with pytest.raises(MonitorError, match="none of 2 rows is a RequestRecord"):
            store.newest(5, 600, NOW)


def test_a_server_that_was_away_is_used_again(postgresql: Server) -> None:
    with closing(open_store(postgresql.url())) as store:
        store.append([request(1, 2)])
        postgresql.stop()
        try:
            with pytest.raises(ServiceError, match="postgres"):
                store.append([request(2, 1)])
            with pytest.raises(ServiceError, match="postgres"):
                store.newest(5, 600, NOW)
        finally:
            postgresql.start()
        store.append([request(2, 1)])
        assert ids(store) == ["r0001", "r0002"]


def test_no_message_has_a_password_in_it(postgresql: Server) -> None:
    secret = "never-to-be-seen@1"
    with (
        closing(open_store(postgresql.url(password=secret))) as store,
        pytest.raises(ServiceError, match="password authentication failed") as raised,
    ):
        store.append([request(1, 1)])
    assert secret not in str(raised.value)
    for address in (
        f"postgresql+psycopg://mome:{secret}@host:port/d",  # its @ is not escaped
        f"postgresql://mome:{secret}@localhost",
        f"mysql://mome:{secret}@localhost/d",
        "sqlite://",
        "sqlite:///:memory:",
    ):
        with pytest.raises(ConfigError) as refused:
            open_store(address)
        for part in (secret, "never", "seen"):
            assert part not in str(refused.value)
            assert part not in repr(refused.value.__cause__)
    assert PASSWORD not in repr(open_store(postgresql.url()))


def test_the_address_may_come_from_the_environment_alone(tmp_path: Path) -> None:
    store = open_store("environment", {"MOME_REQUEST_LOG": f" {tmp_path}/log\n"})
    store.append([request(1, 1)])
    store.close()
    assert len(list((tmp_path / "log").iterdir())) == 1
    with pytest.raises(ConfigError, match="MOME_REQUEST_LOG is not set"):
        open_store("environment", {})
