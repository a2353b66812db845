"""What people order the monitor to do: ``python -m monitoring.orders STATE pin a4v2 --hours 2``.

The orders lie in ``state/orders.json``; every look reads them, so one counts from the next look on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mome.cli import main
from mome.errors import MomeError, MonitorError
from mome.records import Evaluation, Moment, Record, ScaleDecision, ScaleText
from mome.scales import Scale

__all__ = ["Orders", "read_orders"]

_FILE = "orders.json"


class Orders(Record):
    """What holds whatever is measured; without any, the monitor is free."""

    pin: ScaleText | None = None  # to be served until ``until``
    until: Moment | None = None
    scales: tuple[ScaleText, ...] = ()  # that may be served; all of the table if none is named
    dry_run: bool = False  # decide and record, and change nothing
    stopped: bool = False  # the scale stays, whatever happens
    reason: str = ""

    def within(self, evaluation: Evaluation) -> Evaluation:
        """Return the table with the scales that may be served.

        Raises:
            MonitorError: If the table has none of them.
        """
        if not self.scales:
            return evaluation
        wer = {
            modality: {scale: row for scale, row in rows.items() if scale in self.scales}
            for modality, rows in evaluation.wer.items()
        }
        if not all(wer.values()):
            raise MonitorError(
                f"{_FILE} allows {', '.join(self.scales)}; the bundle's table has "
                f"{', '.join(evaluation.wer[evaluation.modality])}"
            )
        return evaluation.model_copy(update={"wer": wer})

    def apply(self, decision: ScaleDecision, now: datetime, allowed: Sequence[Scale]) -> ScaleDecision:
        """Return a decision as it becomes under these orders.

        Args:
            decision: What the policy decided.
            now: The moment of this look.
            allowed: Scales that may be served, finest first.

        Raises:
            MonitorError: If the pinned scale may not be served.
        """
        said = f": {self.reason}" if self.reason else ""
        if self.stopped:
            held = _held(decision, f"stopped by hand{said}; otherwise {decision.reason}")
            return held.model_copy(update={"allowed": (held.scale,)})
        if self.pin is not None and self.until is not None and now < self.until:
            if Scale.parse(self.pin) not in allowed:
                raise MonitorError(f"{_FILE} pins {self.pin}; expected one of {', '.join(map(str, allowed))}")
            reason = f"pinned to {self.pin} until {self.until:%Y-%m-%d %H:%M} UTC{said}"
            decision = _to(decision, self.pin, f"{reason}; otherwise {decision.reason}")
            decision = decision.model_copy(update={"allowed": (self.pin,)})
        elif not decision.switched and Scale.parse(decision.scale) not in allowed:
            finest = str(allowed[0])
            decision = _to(decision, finest, f"{decision.scale} may not be served{said}; {finest} is safest")
        if self.dry_run:
            # Requests whose scale is chosen one by one go on by what they went by.
            decision = decision.model_copy(update={"promise": None})
            if decision.switched:
                return _held(decision, f"dry run{said}; would serve {decision.scale}: {decision.reason}")
        return decision


def read_orders(state: Path) -> Orders:
    """Return what was ordered; nothing if there is no file.

    Raises:
        MonitorError: If the file holds something else.
    """
    path = state / _FILE
    if not path.exists():
        return Orders()
    try:
        return Orders.read(path)
    except MomeError as error:
        raise MonitorError(f"the orders cannot be read: {error}; delete the file to have none") from error


def _held(decision: ScaleDecision, reason: str) -> ScaleDecision:
    return decision.model_copy(
        update={"scale": decision.previous or decision.scale, "switched": False, "reason": reason}
    )


def _to(decision: ScaleDecision, scale: str, reason: str) -> ScaleDecision:
    served = decision.previous or decision.scale
    return decision.model_copy(update={"scale": scale, "switched": scale != served, "reason": reason})


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m monitoring.orders", description="Order the monitor what to do, from its next look on."
    )
    parser.add_argument("state", type=Path, help="folder of the monitor")
    what = parser.add_subparsers(dest="what", required=True)
    pin = what.add_parser("pin", help="serve one scale for a time")
    pin.add_argument("scale")
    pin.add_argument("--hours", type=float, required=True)
    allow = what.add_parser("allow", help="serve these scales only; all, if none is named")
    allow.add_argument("scales", nargs="*")
    for name, said in (
        ("stop", "leave the scale as it is, whatever happens"),
        ("dry-run", "decide and record, and change nothing"),
        ("free", "take all orders back"),
        ("show", "say what is ordered"),
    ):
        what.add_parser(name, help=said)
    for each in what.choices.values():
        each.add_argument("--reason", default="", help="for whoever reads the decisions")
    given = parser.parse_args()
    orders = Orders() if given.what == "free" else read_orders(given.state)
    changed: dict[str, object] = {"reason": given.reason} if given.what not in ("show", "free") else {}
    if given.what == "pin":
        if not given.hours > 0:
            raise MonitorError(f"--hours {given.hours:g}: expected a number above 0")
        until = datetime.now(UTC) + timedelta(hours=given.hours)
        changed |= {"pin": str(Scale.parse(given.scale)), "until": until}
    elif given.what == "allow":
        changed["scales"] = tuple(str(Scale.parse(scale)) for scale in given.scales)
    elif given.what in ("stop", "dry-run"):
        changed["stopped" if given.what == "stop" else "dry_run"] = True
    orders = orders.model_copy(update=changed)
    if given.what != "show":
        orders.write(given.state / _FILE)
    print(orders.model_dump_json(indent=2))


if __name__ == "__main__":
    raise SystemExit(main(_command))
