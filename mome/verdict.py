"""The end of a run that must not go on: the verdict of a stage, as an error that says where to read why."""

from __future__ import annotations

from mome.errors import ConfigError, GateRejected, MomeError, ValidationFailed

__all__ = ["require"]

_VERDICTS: dict[str, tuple[type[MomeError], str]] = {
    "validate": (ValidationFailed, "mend or leave out these recordings and start the run again"),
    "gate": (GateRejected, "train longer or on more data; the budget is gate.max_wer in params.yaml"),
}


def require(stage: str, passed: bool, reason: str) -> None:
    """Return if the stage passed.

    Args:
        stage: ``validate`` or ``gate``.
        passed: Its verdict.
        reason: Its words.

    Raises:
        ValidationFailed: If the data set is not good enough.
        GateRejected: If the model is not good enough.
        ConfigError: If no such stage judges.
    """
    if stage not in _VERDICTS:
        raise ConfigError(f"stage {stage!r} judges nothing; expected one of {', '.join(_VERDICTS)}")
    error, advice = _VERDICTS[stage]
    if not passed:
        raise error(f"{reason}; {advice}; the whole report is shown by step {stage}")
