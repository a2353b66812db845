"""The monitor recurs once, whatever is asked how often, and never with two schedules at a time."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kfp_server_api as api
import pytest
import yaml

from mome.errors import ConfigError
from pipelines import recurring
from pipelines.calls import Patience, ServerError
from pipelines.recurring import EVERY_15_MINUTES, check_cron
from tests.pipelines.planted_server import JSON, Fault, Handler, Server, serving

ROOT = Path(__file__).parents[2]
PLACES = ["--set", "bundle=/mnt/bundle", "--set", "requests=/mnt/requests", "--set", "state=/mnt/state"]


@dataclass
class Recurring(Server):
    """The planted server, with recurring runs; it notes what is active after each change."""

    recurring: list[dict[str, Any]] = field(default_factory=list)
    active: list[int] = field(default_factory=list)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes, kind: str) -> Any:
        route = path.removeprefix("/apis/v2beta1")
        if not route.startswith("/recurringruns"):
            return super().answer(method, path, query, body, kind)
        if (method, route) == ("GET", "/recurringruns"):
            assert query["experiment_id"] == ["e1"]
            return {"recurringRuns": self.recurring[::-1]}
        if (method, route) == ("POST", "/recurringruns"):
            made = json.loads(body) | {"recurring_run_id": f"rr{len(self.asked)}"}
            made["created_at"] = datetime(2026, 11, 20, tzinfo=UTC).isoformat()
            self.recurring.append(made)
            return self.noted(made)
        found = re.fullmatch(r"/recurringruns/(\w+)(?::(enable|disable))?", route)
        run = next((each for each in self.recurring if found and each["recurring_run_id"] == found[1]), None)
        if found is None or run is None:
            return None
        if method == "DELETE":
            self.recurring.remove(run)
        else:
            run["mode"] = f"{found[2].upper()}"
        return self.noted({})

    def noted(self, answer: Any) -> Any:
        self.active.append(sum(run["mode"] == "ENABLE" for run in self.recurring))
        return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recurring]:
    for name in ("KF_PIPELINES_NAMESPACE", "KF_PIPELINES_CA_CERT", "KF_PIPELINES_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(recurring, "Patience", lambda: Patience(attempts=3, first_wait_s=0.01))
    monkeypatch.setattr(Handler, "do_DELETE", Handler.handle_request, raising=False)
    with serving(Recurring()) as server:
        monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.address)
        monkeypatch.setenv("KF_PIPELINES_TOKEN", server.token)
        yield server


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        recurring._command(arguments)
        return capsys.readouterr().out.strip()

    return run


def apply(command: Callable[..., str], *more: str) -> str:
    return command("apply", "--version", "0.1.0+gabc", *PLACES, *more)


def test_it_is_created_one_at_a_time_and_without_catching_up(
    server: Recurring, command: Callable[..., str]
) -> None:
    assert apply(command).startswith("mome-monitoring: created (0 */15 * * * *")
    (made,) = server.recurring
    assert made["no_catchup"] is True
    assert made["max_concurrency"] == "1"
    assert made["mode"] == "ENABLE"
    assert made["trigger"] == {"cron_schedule": {"cron": "0 */15 * * * *"}}
    assert made["pipeline_version_reference"] == {"pipeline_id": "p1", "pipeline_version_id": "v1"}
    parameters = made["runtime_config"]["parameters"]
    assert (parameters["bundle"], parameters["state"]) == ("/mnt/bundle", "/mnt/state")
    # What was sent is what kfp's own model of it holds, no more.
    assert set(made) - {"recurring_run_id", "created_at"} <= set(api.V2beta1RecurringRun.openapi_types)
    assert JSON(api.V2beta1RecurringRun(display_name="x")) == {"display_name": "x"}


def test_asking_again_changes_nothing(server: Recurring, command: Callable[..., str]) -> None:
    apply(command)
    assert ": unchanged (" in apply(command)
    assert len(server.recurring) == 1
    assert server.posts("/recurringruns") == 1


def test_another_schedule_replaces_the_old_one_and_the_two_never_speak_together(
    server: Recurring, command: Callable[..., str]
) -> None:
    apply(command)
    assert ": replaced (" in apply(command, "--cron", "0 0 * * * *")
    (made,) = server.recurring
    assert made["trigger"]["cron_schedule"]["cron"] == "0 0 * * * *"
    assert max(server.active) == 1


def test_without_more_words_it_has_the_values_for_traffic_and_not_those_of_a_rehearsal(
    server: Recurring, command: Callable[..., str]
) -> None:
    apply(command)
    (made,) = server.recurring
    found = made["runtime_config"]["parameters"]
    traffic = yaml.safe_load((ROOT / "manifests" / "components" / "monitor" / "monitor.yaml").read_text())
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert found["monitor"] == traffic["monitor"]
    assert found["monitor"].keys() == params["monitor"].keys()
    # Nobody speaks two hundred times in a rehearsal, and nobody waits two seconds in production.
    assert found["monitor"]["cooldown_s"] >= 600 > params["monitor"]["cooldown_s"]
    assert found["train"]["noise_snrs_db"] == params["train"]["noise_snrs_db"]
    assert ": unchanged (" in apply(command)


def test_a_file_of_ones_own_is_taken_as_it_is(server: Recurring, command: Callable[..., str]) -> None:
    apply(command, "--params", str(ROOT / "params.yaml"))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert server.recurring[0]["runtime_config"]["parameters"]["monitor"] == params["monitor"]


def test_where_the_values_come_from_is_said_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        recurring._command(["apply", "--help"])
    said = "".join(capsys.readouterr().out.split())
    assert "manifests/components/monitor/monitor.yaml" in said


def test_other_parameters_replace_it_too(server: Recurring, command: Callable[..., str]) -> None:
    apply(command)
    assert ": replaced (" in apply(command, "--set", "monitor.window=50")
    assert server.recurring[0]["runtime_config"]["parameters"]["monitor"]["window"] == 50


def test_if_the_new_one_cannot_be_made_the_old_one_goes_on(
    server: Recurring, command: Callable[..., str]
) -> None:
    apply(command)
    server.faults = [Fault("POST", r"/recurringruns$", status=400)]
    with pytest.raises(Exception, match="create the recurring run 'mome-monitoring': the server refused"):
        apply(command, "--cron", "0 0 * * * *")
    (kept,) = server.recurring
    assert kept["mode"] == "ENABLE"
    assert kept["trigger"]["cron_schedule"]["cron"] == EVERY_15_MINUTES


def test_a_lost_answer_makes_no_second_one(server: Recurring, command: Callable[..., str]) -> None:
    server.faults = [Fault("POST", r"/recurringruns$", lost=True)]
    assert ": created (" in apply(command)
    assert len(server.recurring) == 1


def test_a_server_that_stumbles_is_asked_again(server: Recurring, command: Callable[..., str]) -> None:
    server.faults = [Fault("GET", r"/recurringruns$", status=503)]
    assert ": created (" in apply(command)


def test_it_rests_goes_on_and_is_removed(server: Recurring, command: Callable[..., str]) -> None:
    apply(command)
    assert command("disable") == "mome-monitoring: disabled"
    assert server.recurring[0]["mode"] == "DISABLE"
    assert "DISABLE  0 */15 * * * *" in command("show")
    assert command("enable") == "mome-monitoring: enabled"
    assert server.recurring[0]["mode"] == "ENABLE"
    command("disable")
    assert ": enabled (" in apply(command)
    assert command("delete") == "mome-monitoring: deleted"
    assert server.recurring == []
    with pytest.raises(ConfigError, match=r"no recurring run 'mome-monitoring' .* make it with apply"):
        command("disable")


def test_what_is_missing_is_said_before_the_server_is_asked(
    server: Recurring, command: Callable[..., str]
) -> None:
    with pytest.raises(ConfigError, match="mome-monitoring needs bundle: give --set bundle="):
        command("apply")
    assert server.asked == []


def test_a_wrong_token_is_said_with_what_to_do(
    server: Recurring, command: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("wrong")
    with pytest.raises(Exception, match=r"401.*give a new one with --token-file"):
        apply(command, "--token-file", str(tmp_path / "token"))
    assert server.recurring == []


def test_the_account_that_the_server_fills_in_is_no_account_that_was_asked_for(
    server: Recurring, command: Callable[..., str]
) -> None:
    apply(command)
    for own in ("default-editor", "pipeline-runner"):
        server.recurring[0]["service_account"] = own
        assert ": unchanged (" in apply(command)
    assert ": replaced (" in apply(command, "--service-account", "mome-monitor")
    assert server.recurring[0]["service_account"] == "mome-monitor"
    assert ": unchanged (" in apply(command, "--service-account", "mome-monitor")
    assert ": replaced (" in apply(command)
    assert "service_account" not in server.recurring[0]


def test_the_monitor_is_not_left_at_rest_by_an_answer_that_was_lost(
    server: Recurring, command: Callable[..., str]
) -> None:
    apply(command)
    server.faults = [Fault("POST", ":disable", lost=True, times=9)]
    with pytest.raises(ServerError, match="disable 'mome-monitoring': the server cannot be reached"):
        apply(command, "--cron", "0 0 * * * *")
    (kept,) = server.recurring
    assert kept["mode"] == "ENABLE"


def test_a_monitor_that_is_left_at_rest_all_the_same_is_told_of(
    server: Recurring, command: Callable[..., str]
) -> None:
    apply(command)
    server.faults = [Fault("POST", r"/recurringruns$", 400), Fault("POST", ":enable", 503, times=9)]
    with pytest.raises(ServerError, match=r"refused \(400\).*may rest now.*recurring enable --name mome-mon"):
        apply(command, "--cron", "0 0 * * * *")


@pytest.mark.parametrize(
    "cron",
    [
        *("0 */15 * * * *", "0 0 9 ? * 2-6", "0  0 9 * * MON-FRI", "0 5,35 * * * *", "0 0 0 1 jan-Mar sun"),
        *("0 10-50/20 * * * *", "0 5/15 * * * *", "59 59 23 31 12 6"),
    ],
)
def test_six_fields_are_a_schedule(cron: str) -> None:
    assert check_cron(cron) == " ".join(cron.split())


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("*/15 * * * *", "5 fields, expected six: second, minute"),
        ("0 61 * * * *", "minute is '61', expected 0 to 59"),
        ("0 0 25 * * *", "hour is '25'"),
        ("0 0 0 0 * *", "day of month is '0', expected 1 to 31"),
        ("0 x * * * *", "minute is 'x'"),
        ("0 */0 * * * *", "minute is '*/0'"),
        ("0 50-10 * * * *", "minute is '50-10'"),
        ("0 0 0 * * 7", "day of week is '7', expected 0 to 6 or sun to sat"),
        ("0 0 0 * * fri-mon", "day of week is 'fri-mon'"),
        ("jan * * * * *", "second is 'jan'"),
        ("0 1,, * * * *", "minute is '1,,'"),
        ("0 -5 * * * *", "minute is '-5'"),
        ("0 1-2-3 * * * *", "minute is '1-2-3'"),
        ("", "0 fields"),
    ],
)
def test_anything_else_is_refused(cron: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        check_cron(cron)
