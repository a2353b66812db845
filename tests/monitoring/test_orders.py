"""Orders of people, as the command writes them and as looks follow them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mome.errors import MonitorError
from mome.records import Promise, ScaleDecision
from mome.scales import Scale
from monitoring import orders as command
from monitoring.orders import Orders, read_orders
from tests.monitoring.test_policy import COARSE, EVALUATION, FINE, MIDDLE

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ALLOWED = [FINE, MIDDLE, COARSE]


def decision(scale: str, *, switched: bool) -> ScaleDecision:
    return ScaleDecision(
        at=NOW,
        scale=scale,
        previous="a16v5",
        switched=switched,
        snr_db=4.0,
        requests=20,
        reason="finer: noisy",
    )


def order(monkeypatch: pytest.MonkeyPatch, state: Path, *words: str) -> Orders:
    monkeypatch.setattr("sys.argv", ["monitoring.orders", str(state), *words])
    command._command()
    return read_orders(state)


def test_a_pin_is_served_until_it_ends() -> None:
    orders = Orders(pin="a16v2", until=NOW + timedelta(hours=1), reason="a visit")
    found = orders.apply(decision("a4v2", switched=True), NOW, ALLOWED)
    assert (found.scale, found.previous, found.switched) == ("a16v2", "a16v5", True)
    assert found.reason == "pinned to a16v2 until 2026-01-01 13:00 UTC: a visit; otherwise finer: noisy"
    late = orders.apply(decision("a4v2", switched=True), NOW + timedelta(hours=1), ALLOWED)
    assert late.scale == "a4v2"


def test_a_stopped_monitor_and_a_dry_run_change_nothing_and_say_what_they_would() -> None:
    for orders, said in (
        (Orders(stopped=True, reason="audit"), "stopped by hand: audit; otherwise finer: noisy"),
        (Orders(dry_run=True), "dry run; would serve a4v2: finer: noisy"),
    ):
        found = orders.apply(decision("a4v2", switched=True), NOW, ALLOWED)
        assert (found.scale, found.switched, found.reason) == ("a16v5", False, said)


def test_requests_of_their_own_scale_keep_to_the_orders_too() -> None:
    promised = decision("a4v2", switched=True).model_copy(
        update={"promise": Promise(max_wer={"av": 0.08}, confidence=0.9)}
    )
    until = NOW + timedelta(hours=1)
    assert Orders(pin="a16v2", until=until).apply(promised, NOW, ALLOWED).allowed == ("a16v2",)
    assert Orders(stopped=True).apply(promised, NOW, ALLOWED).allowed == ("a16v5",)
    assert Orders(dry_run=True).apply(promised, NOW, ALLOWED).promise is None
    assert Orders().apply(promised, NOW, ALLOWED) == promised


def test_bounds_leave_scales_out_of_the_table_and_out_of_service() -> None:
    orders = Orders(scales=("a4v2", "a16v2"))
    assert orders.within(EVALUATION).wer["av"].keys() == {"a4v2", "a16v2"}
    found = orders.apply(decision("a16v5", switched=False), NOW, ALLOWED[:2])
    assert (found.scale, found.switched) == ("a4v2", True)
    with pytest.raises(MonitorError, match=r"pins a16v5; expected one of a4v2, a16v2"):
        Orders(pin="a16v5", until=NOW + timedelta(hours=1)).apply(
            decision("a4v2", switched=True), NOW, ALLOWED[:2]
        )
    with pytest.raises(MonitorError, match="allows a9v9; the bundle's table has a4v2, a16v2, a16v5"):
        Orders(scales=("a9v9",)).within(EVALUATION)


def test_the_command_writes_and_takes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_orders(tmp_path) == Orders()
    pinned = order(monkeypatch, tmp_path, "pin", "a4v2", "--hours", "2", "--reason", "a visit")
    assert (pinned.pin, pinned.reason) == ("a4v2", "a visit")
    assert pinned.until is not None
    assert abs(pinned.until - datetime.now(UTC) - timedelta(hours=2)) < timedelta(minutes=1)
    assert order(monkeypatch, tmp_path, "allow", "a4v2", "a16v5").scales == ("a4v2", "a16v5")
    stopped = order(monkeypatch, tmp_path, "stop")
    assert (stopped.stopped, stopped.pin) == (True, "a4v2")
    assert order(monkeypatch, tmp_path, "show") == stopped
    assert order(monkeypatch, tmp_path, "free") == Orders()
    assert '"dry_run": false' in capsys.readouterr().out


@pytest.mark.parametrize("text", ["{", '{"pin": "fast"}', '{"hurry": true}', "[]"])
def test_orders_that_are_none_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "orders.json").write_text(text)
    with pytest.raises(MonitorError, match="the orders cannot be read"):
        read_orders(tmp_path)


def test_a_pin_that_never_began_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MonitorError, match="--hours -1: expected a number above 0"):
        order(monkeypatch, tmp_path, "pin", "a4v2", "--hours", "-1")
    assert Scale.parse("a4v2") == FINE
