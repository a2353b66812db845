"""A loop's progress is seen by the person who waits, wherever the loop runs."""

import io
import os
import pty
import select
from pathlib import Path
from types import SimpleNamespace

import pytest

from mome import progress as module
from mome.progress import PROGRESS_VARIABLE, progress


def test_every_item_passes_in_order_whether_or_not_the_length_is_known() -> None:
    assert list(progress([3, 1, 2], "items")) == [3, 1, 2]
    assert list(progress((number for number in range(4)), "items", total=4)) == [0, 1, 2, 3]


def test_without_a_terminal_a_line_tells_the_time_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "stderr"
    monkeypatch.setenv(PROGRESS_VARIABLE, str(target))
    ticks = iter(range(0, 1000, 6))  # six seconds an item
    # Its own clock: other threads of the process look at the real one.
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    assert list(progress(range(5), "training")) == list(range(5))
    assert target.read_text().splitlines() == [
        # From when the first was there: what had to be started before it is done once.
        "  training: 1 of 5, 0:24 left",
        "  training: 3 of 5, 0:12 left",
    ]


def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: list[float], total: int) -> list[str]:
    """Return what is shown of a loop whose clock shows these times, one per item after the start."""
    target = tmp_path / "stderr"
    monkeypatch.setenv(PROGRESS_VARIABLE, str(target))
    clock = iter([0.0, *times])
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    list(progress(iter(range(len(times))), "training", total=total))
    return target.read_text().splitlines()


def test_a_slow_start_is_no_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Half a minute until the first one, which are not 1,500 times half a minute.
    shown = lines(tmp_path, monkeypatch, [29.0, 29.1, 29.2, 39.2], total=1500)
    assert shown == ["  training: 1 of 1500, 0:29 so far", "  training: 3 of 1500, 84:49 left"]


def test_a_twentieth_is_enough_for_a_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = lines(tmp_path, monkeypatch, [9.0, 12.0, 14.0, 25.0], total=40)
    assert shown == ["  training: 1 of 40, 0:12 so far", "  training: 3 of 40, 3:17 left"]


def test_a_bar_forecasts_as_late_as_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = module._Bar(range(1500), "training", 1500, file=io.StringIO())
    bar.n, bar.start_t = 1, bar._time() - 5
    assert "?" not in str(bar)
    assert "<" not in str(bar)
    bar.start_t = bar._time() - 12
    assert "<" in str(bar)


def test_a_terminal_gets_a_bar_that_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BAR_AFTER_S", 0.0)
    ours, theirs = pty.openpty()
    monkeypatch.setenv(PROGRESS_VARIABLE, os.ttyname(theirs))
    list(progress(range(3), "training"))
    shown = ""
    # A terminal hands over in pieces.
    while not (shown.endswith("\r") and "training" in shown):
        assert select.select([ours], [], [], 5)[0], f"no more was shown than {shown!r}"
        shown += os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert "training" in shown
    assert "0/3" in shown
    assert shown.endswith("\r")


def test_a_lost_listener_does_not_stop_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRESS_VARIABLE, "/proc/1/fd/no-such-file")
    monkeypatch.setattr(module.sys, "stderr", io.StringIO())
    assert list(progress(range(3), "training")) == [0, 1, 2]
