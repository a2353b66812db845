"""The controller on folders as a service fills them: whatever breaks, it holds the scale and goes on."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from mome.records import ScaleDecision
from monitoring.metrics import Metrics
from monitoring.orders import Orders
from monitoring.publish import File
from monitoring.report import page
from monitoring.watch import Watch
from tests.monitoring.test_check import PARAMS, Site

ROOT = Path(__file__).parents[2]


class Controller:
    """A controller of a site, with the site's clock."""

    def __init__(self, root: Path) -> None:
        self.site = Site(root)
        self.site.state.mkdir()
        self.published = root / "published.json"
        self.metrics = Metrics(CollectorRegistry())
        self.start()

    def start(self) -> None:
        params = PARAMS.model_copy(update={"window": 60})
        site = self.site
        self.watch = Watch(
            params, site.bundle, site.requests, site.state, File(self.published), self.metrics, look_s=5.0
        )

    def turn(self, snr_db: float | None = None, number: int = 1) -> ScaleDecision:
        if snr_db is not None:
            self.site.serve(snr_db, number)
        self.site.now += timedelta(milliseconds=5)
        self.watch.turn(self.site.now)
        return self.decisions[-1]

    @property
    def decisions(self) -> list[ScaleDecision]:
        lines = (self.site.state / "decisions.jsonl").read_text().splitlines()
        return [ScaleDecision.model_validate_json(line) for line in lines]

    @property
    def served(self) -> str:
        return ScaleDecision.read(self.published).scale

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"mome_monitor_{name}", labels) or 0.0


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    return Controller(tmp_path)


def test_noise_is_answered_within_ten_requests_and_quiet_too(controller: Controller) -> None:
    for _ in range(50):
        controller.turn(30.0)
    assert controller.served == "a16v5"
    noisy = [controller.turn(4.0).scale for _ in range(10)]
    assert noisy[-1] == controller.served == "a4v2"
    for _ in range(40):
        controller.turn(4.0)
    for _ in range(12):
        controller.turn(30.0)
    assert controller.served == "a16v5"
    switched = [(d.previous, d.scale) for d in controller.decisions if d.switched]
    assert switched == [("a16v5", "a4v2"), ("a4v2", "a16v5")]
    assert controller.count("changes_total") == 2
    assert controller.count("looks_total", outcome="finer") == 1
    assert controller.count("tokens_per_second") == pytest.approx(50 / 16 + 25 / 5)
    assert controller.count("run_length") == PARAMS.run_length
    assert controller.count("max_wer", modality="audio") == PARAMS.max_wer["audio"]


def test_a_restart_goes_on_where_it_ended(controller: Controller) -> None:
    for _ in range(30):
        controller.turn(4.0)
    assert controller.served == "a4v2"
    controller.published.unlink()
    controller.start()
    controller.turn(4.0)
    assert controller.served == "a4v2"
    assert [d.scale for d in controller.decisions if d.switched][-1] == "a4v2"


def test_a_switch_whose_writer_was_killed_before_it_was_served_is_served_by_the_next_one(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(30):
        controller.turn(30.0)

    class Killed(BaseException):
        pass

    write = ScaleDecision.write

    def killed(decision: ScaleDecision, path: Path) -> None:
        if decision.switched:
            raise Killed
        write(decision, path)

    with monkeypatch.context() as patch:
        patch.setattr(ScaleDecision, "write", killed)
        with pytest.raises(Killed):
            for _ in range(30):
                controller.turn(4.0)
    assert controller.decisions[-1].switched
    assert controller.served == ScaleDecision.read(controller.site.scale_file).scale == "a16v5"
    controller.start()
    controller.turn()
    assert controller.served == ScaleDecision.read(controller.site.scale_file).scale == "a4v2"
    switched = [(d.previous, d.scale) for d in controller.decisions if d.switched]
    assert switched == [("a16v5", "a4v2")]


def test_every_kind_of_damage_holds_says_why_and_goes_on(controller: Controller) -> None:
    for _ in range(30):
        controller.turn(4.0)
    site = controller.site
    table = (site.bundle / "evaluation.json").read_text()
    broken = site.requests / "broken.jsonl"

    def check(said: str) -> None:
        controller.site.now += timedelta(seconds=6)
        found = controller.turn(4.0)
        assert said in found.reason, found.reason
        assert (found.scale, controller.served) == ("a4v2", "a4v2")

    (site.bundle / "evaluation.json").unlink()
    check("the bundle cannot be monitored")
    (site.bundle / "evaluation.json").write_text('{"wer": {}}')
    check("the bundle cannot be monitored")
    (site.bundle / "evaluation.json").write_text(table)
    (site.state / "orders.json").write_text("{")
    check("the orders cannot be read")
    (site.state / "orders.json").unlink()
    (site.state / "scale.json").write_text("nonsense")
    site.serve(4.0, 1)
    controller.turn()
    assert ScaleDecision.read(site.state / "scale.json").scale == "a4v2"
    broken.write_text('{"at": "x"}\n\x00\xff\n' + "[" * 5000 + "\n" + '{"snr_db": NaN}\n')
    check("unreadable lines in the log")
    broken.unlink()
    assert controller.count("errors_total") >= 4
    site.now += timedelta(seconds=6)
    assert controller.turn(4.0).reason.startswith("keep a4v2")


def test_old_future_and_doubled_lines_change_nothing(controller: Controller) -> None:
    for _ in range(30):
        controller.turn(4.0)
    lines = (controller.site.requests / "worker.jsonl").read_text().splitlines()
    first = json.loads(lines[0]) | {"snr_db": 40.0, "noise_kind": "none"}
    strange = []
    for number in range(100):
        away = timedelta(days=-1) if number % 2 else timedelta(hours=1)
        strange.append(first | {"request_id": f"s{number}", "at": (controller.site.now + away).isoformat()})
    with (controller.site.requests / "strange.jsonl").open("w") as file:
        file.writelines(json.dumps(each) + "\n" for each in strange)
        file.writelines(line + "\n" for line in lines * 3)
    controller.site.now += timedelta(seconds=6)
    controller.turn()
    assert controller.served == "a4v2"
    assert controller.count("changes_total") == 0


def test_a_clock_that_goes_back_is_said_and_survived(controller: Controller) -> None:
    for _ in range(30):
        controller.turn(4.0)
    controller.site.now -= timedelta(hours=1)
    controller.site.now += timedelta(seconds=6)
    found = controller.turn(4.0)
    assert "the clock went back: looks of later times do not count" in found.reason
    assert controller.served == "a4v2"
    for _ in range(30):
        controller.site.now += timedelta(seconds=6)
        controller.turn(30.0)
    assert controller.served == "a16v5"


def test_a_disk_that_takes_nothing_leaves_the_scale_and_recovers(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(30):
        controller.turn(30.0)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("monitoring.check.append_decision", full)
        patch.setattr("monitoring.watch.append_decision", full)
        for _ in range(10):
            controller.turn(4.0)
        assert controller.served == ScaleDecision.read(controller.site.scale_file).scale == "a16v5"
        assert controller.count("errors_total") >= 1
    for _ in range(3):
        controller.site.now += timedelta(seconds=6)
        controller.turn(4.0)
    assert controller.served == "a4v2"


def test_drift_is_evidence_that_comes_later_and_whose_loss_harms_nothing(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look_until_compared() -> ScaleDecision:
        controller.site.now += timedelta(seconds=301)
        for _ in range(3):
            controller.site.serve(4.0, 20)
            controller.site.now += timedelta(seconds=6)
            found = controller.turn()
            if controller.watch._drifting is not None:
                controller.watch._drifting.exception(timeout=120)
        return found

    assert look_until_compared().drifted == ("snr_db",)
    assert list((controller.site.state / "drift").glob("*.json"))
    before = controller.count("errors_total")
    monkeypatch.setattr("monitoring.check.compare", lambda *_: 1 / 0)
    assert look_until_compared().drifted == ("snr_db",)  # as it was
    assert controller.count("errors_total") == before + 1
    assert controller.served == "a4v2"


def test_silence_holds_and_then_serves_the_finest(controller: Controller) -> None:
    for _ in range(30):
        controller.turn(30.0)
    controller.site.now += timedelta(seconds=1.5 * PARAMS.max_age_s)
    assert controller.turn().scale == "a16v5"
    controller.site.now += timedelta(seconds=PARAMS.max_age_s)
    assert "nothing was measured for 1200 s" in controller.turn().reason
    assert controller.served == "a4v2"


def test_an_order_counts_at_once(controller: Controller) -> None:
    for _ in range(30):
        controller.turn(30.0)
    until = controller.site.now + timedelta(hours=1)
    Orders(pin="a4v2", until=until, reason="a visit").write(controller.site.state / "orders.json")
    assert controller.turn().reason.startswith("pinned to a4v2")
    assert controller.served == "a4v2"


def test_what_could_not_be_published_is_published_later(controller: Controller) -> None:
    controller.published.mkdir()  # a folder in its place
    controller.turn(30.0)
    assert controller.count("errors_total") >= 1
    controller.published.rmdir()
    controller.turn(30.0)
    assert controller.served == "a16v5"


def test_a_bundle_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    controller.site.bundle.rename(tmp_path / "later")
    controller.watch.turn(controller.site.now)
    assert not (controller.site.state / "scale.json").exists()
    (tmp_path / "later").rename(controller.site.bundle)
    controller.turn(30.0)
    assert controller.served == "a16v5"


def test_callers_who_wait_are_answered_within_a_look_and_the_page_says_why(tmp_path: Path) -> None:
    controller = Controller(tmp_path)
    params = PARAMS.model_copy(
        update={"window": 60, "max_latency_ms": 1000.0, "spend": "spare", "cooldown_s": 900.0}
    )
    site = controller.site
    controller.watch = Watch(
        params, site.bundle, site.requests, site.state, File(controller.published), controller.metrics, 3600.0
    )
    controller.turn(30.0, 40)
    assert controller.served == "a4v2"  # nobody waits: the finest

    def serve(waited_ms: float) -> None:
        lines = (site.requests / "worker.jsonl").read_text().splitlines()
        site.serve(30.0, 4)
        late = (site.requests / "worker.jsonl").read_text().splitlines()[len(lines) :]
        more = [json.loads(line) | {"waited_ms": waited_ms, "latency_ms": waited_ms + 90.0} for line in late]
        (site.requests / "worker.jsonl").write_text("\n".join([*lines, *map(json.dumps, more)]) + "\n")

    serve(waited_ms=10.0)
    controller.turn()
    assert controller.served == "a4v2"
    serve(waited_ms=600.0)
    found = controller.turn()  # the next look is an hour away
    assert (found.scale, found.cause, controller.served) == ("a16v5", "load", "a16v5")
    assert found.load is not None
    assert found.load.busy
    assert controller.count("busy") == 1
    assert controller.count("switches_total", cause="load") == 1
    assert controller.count("waited_p95_seconds") == pytest.approx(0.6, abs=0.1)
    shown = page(controller.decisions)
    assert "busy, p95 690 ms" in shown
    assert "coarser: 100% in babble" in shown


def test_two_processes_and_a_kill(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.now = datetime.now(UTC) - timedelta(seconds=40)
    site.serve(4.0, 20)
    params = tmp_path / "params.yaml"
    params.write_text(json.dumps({"monitor": PARAMS.model_dump(mode="json")}))
    command = [
        sys.executable,
        "-m",
        "monitoring.watch",
        str(site.bundle),
        str(site.requests),
        str(site.state),
    ]
    command += ["--params", str(params), "--every", "1"]

    def start(port: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, "--port", str(port)], cwd=ROOT, stderr=subprocess.DEVNULL)

    def read(port: int, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.read().decode()

    def leads(port: int, value: float) -> bool:
        try:
            return f"mome_monitor_leads {value}" in read(port, "/metrics")
        except OSError:
            return False

    def wait_for(what: object) -> None:
        deadline = time.monotonic() + 180
        while not what():  # type: ignore[operator]
            assert time.monotonic() < deadline
            time.sleep(0.2)

    ports = free_ports()
    first = start(ports[0])
    try:
        wait_for(lambda: leads(ports[0], 1.0) and site.scale_file.exists())
        second = start(ports[1])
        try:
            wait_for(lambda: leads(ports[1], 0.0))
            refused = subprocess.run(
                [sys.executable, "-m", "monitoring.check", *command[3:6], "--params", str(params)],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            assert "another monitor is at work" in refused.stderr
            os.kill(first.pid, signal.SIGKILL)
            wait_for(lambda: leads(ports[1], 1.0))
            content = json.loads(read(ports[1], "/decisions.json"))
            assert all(ScaleDecision.model_validate(each) for each in content)
            assert "Monitor:" in read(ports[1], "/")
            assert read(ports[1], "/healthz") == "ok\n"
        finally:
            second.terminate()
            assert second.wait(30) == 0
    finally:
        first.kill()
        first.wait()


def free_ports() -> list[int]:
    import socket

    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
