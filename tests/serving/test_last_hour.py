"""The last hour is told in minutes, and never in requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mome.records import RequestRecord
from serving.last_hour import LastHour
from tests.planted import request
from tests.serving.planted import Served, syllables, wav

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def record(at: datetime, scale: str, snr_db: float | None) -> RequestRecord:
    return request("r", at, scale=scale, snr_db=snr_db)


def test_a_minute_has_the_scale_of_most_requests_and_the_median_noise() -> None:
    hour = LastHour()
    for second, (scale, snr_db) in enumerate([("a4v2", 3.0), ("a16v5", None), ("a4v2", 9.0), ("a4v2", 30.0)]):
        hour.add(record(NOON + timedelta(seconds=second), scale, snr_db))

    assert hour.minutes(NOON + timedelta(minutes=1)) == [
        {"at": NOON.isoformat(), "requests": 4, "scale": "a4v2", "snr_db": 9.0}
    ]


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    hour = LastHour()
    for minute in range(200):
        hour.add(record(NOON + timedelta(minutes=minute), "a4v2", None))
    told = hour.minutes(NOON + timedelta(minutes=199))

    assert len(told) == 60
    assert told[0]["at"] == (NOON + timedelta(minutes=140)).isoformat()
    assert hour.minutes(NOON + timedelta(hours=9)) == []


def test_it_is_asked_for_beside_the_scale(served: Served) -> None:
    assert served.client.get("/scale/last-hour").json() == {"minutes": []}
    served.post(wav(syllables()))

    (minute,) = served.client.get("/scale/last-hour").json()["minutes"]
    assert (minute["requests"], minute["scale"]) == (1, "a16v5")
