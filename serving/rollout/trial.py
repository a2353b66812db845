"""What is known of a candidate, and what follows: go on, proven, or withdrawn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mome.errors import ConfigError
from mome.storage import write_text
from serving.rollout.comparison import Bounds, Comparison
from serving.rollout.evidence import Evidence, interval

__all__ = ["Criterion", "Decision", "Mode", "Trial", "TrialState", "read_state"]

_log = logging.getLogger(__name__)

Mode = Literal["shadow", "canary"]
Decision = Literal["undecided", "proven", "withdrawn"]
_MEANING = {
    "failures": "failed where the champion answered",
    "empty": "had no words where the champion had some",
    "slow": "came late",
    "disagreement": "words unlike the champion's",
}
_KEEP_EVERY = 10  # comparisons, between which a router that is killed forgets


class Criterion(BaseModel):
    """Values in 0..1 of one kind, at most one a request, and their evidence on both sides of a bound."""

    model_config = ConfigDict(extra="forbid")

    bound: float
    number: int = 0
    total: float = 0.0
    above: list[float] = []
    below: list[float] = []

    @property
    def rate(self) -> float:
        """Mean of the values; 0 without any."""
        return self.total / self.number if self.number else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean."""
        return interval(self.total, self.number)

    def add(self, value: float) -> None:
        """Count one value."""
        self.number += 1
        self.total += value
        above, below = self._sides()
        above.add(value)
        below.add(1 - value)
        self.above, self.below = above.log_wealth, below.log_wealth

    def is_above(self, alpha: float) -> bool:
        """Tell whether the mean is above the bound."""
        return self._sides()[0].reaches(alpha)

    def is_below(self, alpha: float) -> bool:
        """Tell whether the mean is below the bound."""
        return self._sides()[1].reaches(alpha)

    def _sides(self) -> tuple[Evidence, Evidence]:
        return Evidence(self.bound, self.above), Evidence(1 - self.bound, self.below)


class TrialState(BaseModel):
    """A trial as it is shown and kept: counts and evidence, nothing of what was said."""

    model_config = ConfigDict(extra="forbid")

    name: str
    mode: Mode
    share: float
    bounds: Bounds
    began: datetime
    decision: Decision = "undecided"
    why: str = "nothing was compared yet"
    decided: datetime | None = None
    sent: int = 0  # requests that the candidate was given
    compared: int = 0
    champion_s: float = 0.0  # of the requests that both answered
    candidate_s: float = 0.0
    criteria: dict[str, Criterion]
    versions: dict[str, str] = {}  # of champion and candidate, as they say themselves
    estimated: int = 0  # requests of which both estimate the word errors
    champion_wer: float = 0.0  # sum over them
    candidate_wer: float = 0.0

    @property
    def latency_ratio(self) -> float | None:
        """Time of the candidate's replies divided by that of the champion's; None before both answered."""
        return self.candidate_s / self.champion_s if self.champion_s else None

    @property
    def estimated_wer(self) -> dict[str, float]:
        """Estimated word error rate by who wrote the texts, of the same requests; empty without any."""
        sums = {"champion": self.champion_wer, "candidate": self.candidate_wer}
        return {role: total / self.estimated for role, total in sums.items()} if self.estimated else {}


def read_state(path: Path) -> TrialState:
    """Return the state that a router has kept.

    Raises:
        ConfigError: If the file is none.
    """
    try:
        return TrialState.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(f"{path}: is no state of a trial: {error}") from None


class Trial:
    """Counts comparisons and decides; promotes nothing.

    A candidate is withdrawn when one of four means lies above its bound. Each may raise a false alarm in a
    quarter of ``bounds.false_alarm`` of all trials, however long they last. It is proven after
    ``bounds.proven_after`` comparisons or more, when all of them lie below; and can be withdrawn afterwards.

    Args:
        name: Of the trial; a state that was kept under another name is not taken up.
        mode: Whose replies callers get.
        share: Of the transcriptions that the candidate is given.
        bounds: What is too much.
        file: Where the state is kept; None forgets with the process.
        now: The clock.

    Raises:
        ConfigError: If the file can be neither read nor written.
    """

    def __init__(
        self,
        name: str,
        mode: Mode,
        share: float,
        bounds: Bounds,
        file: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file = file
        self._now = now
        self._failed_to_keep = False
        limits = {name: getattr(bounds, name) for name in _MEANING}
        fresh = TrialState(
            name=name,
            mode=mode,
            share=share,
            bounds=bounds,
            began=now(),
            criteria={each: Criterion(bound=bound) for each, bound in limits.items()},
        )
        self.state = self._kept(fresh) or fresh
        if file is not None:
            try:
                write_text(file, self.state.model_dump_json())
            except OSError as error:
                raise ConfigError(f"--state {file}: cannot be written: {error}") from None

    @property
    def runs(self) -> bool:
        """Whether the candidate is given requests."""
        return self.state.decision != "withdrawn"

    def sent(self) -> None:
        """Count a request that the candidate is given."""
        self.state.sent += 1

    def answered_by(self, role: str, version: str) -> None:
        """Remember which version a reply came from."""
        self.state.versions[role] = version

    def add(self, comparison: Comparison) -> None:
        """Count what came of one request, and decide."""
        state = self.state
        state.compared += 1
        for name in _MEANING:
            value = getattr(comparison, name)
            if value is not None:
                state.criteria[name].add(float(value))
        if comparison.champion_s is not None and comparison.candidate_s is not None:
            state.champion_s += comparison.champion_s
            state.candidate_s += comparison.candidate_s
        if comparison.champion_wer is not None and comparison.candidate_wer is not None:
            state.estimated += 1
            state.champion_wer += comparison.champion_wer
            state.candidate_wer += comparison.candidate_wer
        if self.runs:
            self._decide()
        if state.compared % _KEEP_EVERY == 0:
            self.keep()

    def keep(self) -> None:
        """Write the state, if there is a place for it; a full volume ends no request."""
        if self._file is None:
            return
        try:
            write_text(self._file, self.state.model_dump_json())
            self._failed_to_keep = False
        except OSError as error:
            if not self._failed_to_keep:
                _log.warning("the trial's state cannot be kept: %s", error)
            self._failed_to_keep = True

    def _decide(self) -> None:
        state, bounds = self.state, self.state.bounds
        each = bounds.false_alarm / len(state.criteria)
        for name, criterion in state.criteria.items():
            if criterion.is_above(each):
                self._say(
                    "withdrawn",
                    f"{_MEANING[name]}: {criterion.rate:.1%} of {criterion.number} requests, "
                    f"more than {criterion.bound:.0%} is certain enough",
                )
                return
        low = [name for name, found in state.criteria.items() if not found.is_below(bounds.false_alarm)]
        if state.decision == "proven":
            return
        if state.compared >= bounds.proven_after and not low:
            self._say("proven", f"all four rates are below their bounds after {state.compared} requests")
        elif state.compared < bounds.proven_after:
            state.why = f"{state.compared} of {bounds.proven_after} requests were compared"
        else:
            state.why = f"not below its bound yet: {', '.join(low)}"

    def _say(self, decision: Decision, why: str) -> None:
        self.state.decision, self.state.why, self.state.decided = decision, why, self._now()
        say = _log.warning if decision == "withdrawn" else _log.info
        say("trial %s: the candidate is %s; %s", self.state.name, decision, why)
        self.keep()

    def _kept(self, fresh: TrialState) -> TrialState | None:
        """Return the state of before a restart, if it was of this trial with these bounds."""
        if self._file is None or not self._file.is_file():
            return None
        try:
            kept = read_state(self._file)
        except ConfigError as error:
            raise ConfigError(f"--state {error}") from None
        same = ("name", "mode", "bounds")
        if any(getattr(kept, field) != getattr(fresh, field) for field in same):
            return None
        return kept.model_copy(update={"share": fresh.share})
