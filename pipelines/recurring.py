"""The monitor as a recurring run on a Kubeflow server: ``python -m pipelines.recurring apply|disable|...``.

One look at a time, and none is caught up: after a pause only the newest requests matter. The server
cannot change a recurring run, so `apply` replaces one that differs; the old one is silent before the new
one speaks, and speaks again if the new one cannot be made.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kfp_server_api import (  # type: ignore[import-untyped]
    RecurringRunMode,
    V2beta1CronSchedule,
    V2beta1PipelineVersionReference,
    V2beta1RecurringRun,
    V2beta1RuntimeConfig,
    V2beta1Trigger,
)

from mome.cli import main
from mome.config import MonitorParams, parse_section
from mome.errors import ConfigError
from pipelines.calls import NotThere, Patience, ServerError, create, read
from pipelines.client import Connection, add_options, connect
from pipelines.submit.arguments import arguments, parse_changes
from pipelines.submit.package import load_package, version_name
from pipelines.submit.publish import Publisher

__all__ = ["Recurring", "Wish", "check_cron"]

NAME = "mome-monitoring"
ROOT = Path(__file__).parents[1]
TRAFFIC = ROOT / "manifests" / "components" / "monitor" / "monitor.yaml"  # the controller's, too
EVERY_15_MINUTES = "0 */15 * * * *"
_FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
_RANGES = (
    (0, 59),
    (0, 59),
    (0, 23),
    (1, 31),
    (1, 12),
    (0, 6),
)  # of the library that the server reads them with
_NAMES = {
    "month": ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    "day of week": ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}
_OWN_ACCOUNTS = ("", "default-editor", "pipeline-runner")  # of a server, by the way it is installed
_PAGE = 100


@dataclass(frozen=True)
class Wish:
    """What shall recur.

    Args:
        name: Of the recurring run.
        cron: Six fields, seconds first.
        pipeline_id: On the server.
        version_id: On the server.
        parameters: Of every run.
        service_account: That the steps run as; the server's own if empty.
    """

    name: str
    cron: str
    pipeline_id: str
    version_id: str
    parameters: dict[str, Any]
    service_account: str = ""

    def body(self, experiment_id: str) -> Any:
        """Return the request that creates it."""
        return V2beta1RecurringRun(
            display_name=self.name,
            description="One look of the monitor; made by python -m pipelines.recurring",
            experiment_id=experiment_id,
            mode=RecurringRunMode.ENABLE,
            no_catchup=True,
            max_concurrency="1",
            trigger=V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=self.cron)),
            pipeline_version_reference=V2beta1PipelineVersionReference(
                pipeline_id=self.pipeline_id, pipeline_version_id=self.version_id
            ),
            runtime_config=V2beta1RuntimeConfig(parameters=self.parameters),
            service_account=self.service_account or None,
        )

    def is_met_by(self, found: Any) -> bool:
        """Tell whether a recurring run of the server is what is wished for."""
        reference, cron = found.pipeline_version_reference, found.trigger and found.trigger.cron_schedule
        parameters = found.runtime_config.parameters if found.runtime_config else None
        return (
            reference is not None
            and reference.pipeline_version_id == self.version_id
            and cron is not None
            and cron.cron == self.cron
            and (parameters or {}) == self.parameters
            and bool(found.no_catchup)
            and str(found.max_concurrency) == "1"
            and self._runs_as(found.service_account or "")
        )

    def _runs_as(self, account: str) -> bool:
        # A server fills in its own where none is wished for.
        return account == self.service_account if self.service_account else account in _OWN_ACCOUNTS


@dataclass(frozen=True)
class Recurring:
    """The recurring runs of one experiment.

    Args:
        api: kfp's ``RecurringRunServiceApi``.
        experiment_id: Of the experiment.
        patience: With calls that fail.
    """

    api: Any
    experiment_id: str
    patience: Patience

    def find(self, name: str) -> list[Any]:
        """Return the recurring runs of this name, newest first."""
        found: list[Any] = []
        token = ""
        while True:
            answer = read(
                "list the recurring runs",
                self.api.recurring_run_service_list_recurring_runs,
                patience=self.patience,
                experiment_id=self.experiment_id,
                page_size=_PAGE,
                page_token=token,
                sort_by="created_at desc",
            )
            found += [run for run in answer.recurring_runs or [] if run.display_name == name]
            token = answer.next_page_token or ""
            if not token:
                return found

    def apply(self, wish: Wish) -> str:
        """Make the wish true and return what was done, as a word.

        Raises:
            ServerError: If the server cannot be reached or refuses; what recurred before still does.
        """
        before = self.find(wish.name)
        if len(before) == 1 and wish.is_met_by(before[0]):
            if before[0].mode == RecurringRunMode.ENABLE:
                return "unchanged"
            self._set(before[0], enabled=True)
            return "enabled"
        active = [run for run in before if run.mode == RecurringRunMode.ENABLE]
        known = {run.recurring_run_id for run in before}
        try:
            for run in active:
                self._set(run, enabled=False)
            create(
                f"create the recurring run {wish.name!r}",
                self.api.recurring_run_service_create_recurring_run,
                wish.body(self.experiment_id),
                find=lambda: next(
                    (run for run in self.find(wish.name) if run.recurring_run_id not in known), None
                ),
                patience=self.patience,
            )
        except BaseException as error:
            self._restore(active, error)
            raise
        for run in before:
            self._delete(run)
        return "replaced" if before else "created"

    def _restore(self, active: Sequence[Any], cause: BaseException) -> None:
        """Let what recurred before recur again; whoever reads the error must know if that failed."""
        for run in active:
            try:
                self._set(run, enabled=True)
            except ServerError as error:
                raise ServerError(
                    f"{cause}; and the monitor may rest now: {error}; let it go on with `python -m "
                    f"pipelines.recurring enable --name {run.display_name}`"
                ) from cause

    def switch(self, name: str, *, enabled: bool) -> int:
        """Enable or disable the recurring runs of this name; returns how many there are."""
        found = self.find(name)
        for run in found:
            self._set(run, enabled=enabled)
        return len(found)

    def delete(self, name: str) -> int:
        """Delete the recurring runs of this name; returns how many there were."""
        found = self.find(name)
        for run in found:
            self._delete(run)
        return len(found)

    def _set(self, run: Any, *, enabled: bool) -> None:
        call = (
            self.api.recurring_run_service_enable_recurring_run
            if enabled
            else self.api.recurring_run_service_disable_recurring_run
        )
        word = "enable" if enabled else "disable"
        read(f"{word} {run.display_name!r}", call, run.recurring_run_id, patience=self.patience)

    def _delete(self, run: Any) -> None:
        try:
            read(
                f"delete {run.display_name!r}",
                self.api.recurring_run_service_delete_recurring_run,
                run.recurring_run_id,
                patience=self.patience,
            )
        except NotThere:  # a lost answer, or somebody else was faster
            return


def check_cron(cron: str) -> str:
    """Return the schedule if it has the six fields that Kubeflow reads, seconds first.

    Raises:
        ConfigError: If it has not; five fields, as crontab has them, would be read as something else.
    """
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        raise ConfigError(
            f"--cron {cron!r}: {len(fields)} fields, expected six: {', '.join(_FIELDS)}; every 15 minutes is "
            f"{EVERY_15_MINUTES!r}"
        )
    for field, name, (low, high) in zip(fields, _FIELDS, _RANGES, strict=True):
        if not all(_is_part(part, _NAMES.get(name, ()), low, high) for part in field.split(",")):
            named = f" or {_NAMES[name][0]} to {_NAMES[name][-1]}" if name in _NAMES else ""
            raise ConfigError(
                f"--cron {cron!r}: {name} is {field!r}, expected {low} to {high}{named}, *, */n or a-b"
            )
    return " ".join(fields)


def _is_part(part: str, names: Sequence[str], low: int, high: int) -> bool:
    """Tell whether a part of a field is ``*``, ``n`` or ``a-b``, each also as every ``/n``-th."""
    found = re.fullmatch(r"(?:[*?]|(\w+)(?:-(\w+))?)(?:/0*([1-9]\d*))?", part)
    if found is None:
        return False
    first, last = (
        _number(end, names, low) for end in (found[1] or str(low), found[2] or found[1] or str(high))
    )
    return first is not None and last is not None and low <= first <= last <= high


def _number(text: str, names: Sequence[str], low: int) -> int | None:
    if text.lower() in names:
        return low + names.index(text.lower())
    return int(text) if re.fullmatch(r"[0-9]+", text) else None


def _command(given: Sequence[str] | None = None) -> None:
    options = _options(given)
    if options.command == "apply":
        # All that a person can get wrong comes before the server is asked.
        package = load_package("monitoring")
        sections = {} if options.params else {"monitor": _for_traffic()}
        params = options.params or ROOT / "params.yaml"
        values = arguments(package, params, None, parse_changes(options.set), sections)
        cron = check_cron(options.cron)
    connection = Connection.find(options.host, options.namespace, options.token_file, options.ca_cert)
    patience = Patience()
    client = connect(connection, patience)
    publisher = Publisher(client, connection.namespace, patience)
    recurring = Recurring(client._recurring_run_api, publisher.experiment(options.experiment), patience)
    if options.command == "apply":
        version = options.version or version_name(package, None)
        pipeline_id, version_id = publisher.version(package, version, "for the recurring run")
        wish = Wish(options.name, cron, pipeline_id, version_id, values, options.service_account)
        print(f"{options.name}: {recurring.apply(wish)} ({cron}, {package.name} {version})")
    elif options.command == "show":
        for run in recurring.find(options.name):
            schedule = run.trigger.cron_schedule if run.trigger else None
            print(
                f"{run.display_name}  {run.mode}  {schedule.cron if schedule else ''}  {run.recurring_run_id}"
            )
    else:
        count = (
            recurring.delete(options.name)
            if options.command == "delete"
            else recurring.switch(options.name, enabled=options.command == "enable")
        )
        if not count:
            raise ConfigError(
                f"no recurring run {options.name!r} in experiment {options.experiment!r}; make it with apply"
            )
        print(f"{options.name}: {options.command}d", file=sys.stdout)


def _for_traffic() -> dict[str, Any]:
    """Return section ``monitor`` for traffic; that of ``params.yaml`` is for a rehearsal of a minute."""
    try:
        section = yaml.safe_load(TRAFFIC.read_text())["monitor"]
    except OSError as error:
        raise ConfigError(f"{TRAFFIC}: cannot be read: {error.strerror}; give --params") from None
    return parse_section(MonitorParams, section).model_dump(mode="json")


def _options(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.recurring", description="Let the monitor look every few minutes."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("apply", "create the recurring run, or change it to what is given here"),
        ("disable", "let it rest"),
        ("enable", "let it go on"),
        ("delete", "remove it"),
        ("show", "list it with its state and schedule"),
    ):
        command = commands.add_parser(name, help=words, description=words)
        command.add_argument("--name", default=NAME, help=f"of the recurring run; default: {NAME}")
        command.add_argument("--experiment", default="mome", help="default: mome")
        if name == "apply":
            command.add_argument(
                "--cron",
                default=EVERY_15_MINUTES,
                help=f"six fields, seconds first; default: {EVERY_15_MINUTES!r}",
            )
            command.add_argument(
                "--set",
                action="append",
                default=[],
                metavar="NAME=VALUE",
                help="bundle=..., requests=..., state=..., monitor.window=50",
            )
            command.add_argument(
                "--params",
                type=Path,
                help="sections of every look; default: params.yaml, but section "
                f"monitor, which is for a rehearsal there, from {TRAFFIC.relative_to(ROOT)}",
            )
            command.add_argument("--version", help="of the pipeline; default: <version>+g<commit>")
            command.add_argument("--service-account", default="", help="that the steps run as")
        add_options(command)
    return parser.parse_args(given)


if __name__ == "__main__":
    raise SystemExit(main(_command))
