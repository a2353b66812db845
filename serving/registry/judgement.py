"""May this version be the champion now? The gate is asked again, against the champion it would replace."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mome.config import GateParams
from mome.errors import GateRejected
from mome.evaluation import gate
from mome.records import GateDecision
from mome.registry.contents import Contents
from mome.registry.history import Version
from mome.storage import write_bytes

__all__ = ["ask_again", "judge"]


def judge(contents: Contents, candidate: Version, champion: Version | None) -> None:
    """Return if a version may be promoted.

    Raises:
        GateRejected: If its gate did not pass, or does not pass now.
        BundleError: If files of one of the two are missing or were changed.
    """
    with tempfile.TemporaryDirectory(prefix="mome-gate-") as temporary:
        again = ask_again(contents, candidate, champion, Path(temporary))
    if not again.passed:
        against = f"against the champion {champion.version}" if champion else "again"
        raise GateRejected(
            f"{candidate.version} cannot be promoted: asked {against}, the gate says: {again.reason}"
        )


def ask_again(
    contents: Contents, candidate: Version, champion: Version | None, folder: Path, beside: str = ""
) -> GateDecision:
    """Ask the gate again, and return what it says; its page is ``decision/gate.html`` in the folder.

    Its gate was asked when it was trained, and the champion may be another one by now. So the tables of
    both are compared here, with the budget that the version brings along.

    Args:
        contents: Of the registry.
        candidate: Whose gate.
        champion: Of this moment; None if there is none.
        folder: For the tables of both and the decision.
        beside: HTML that the page shows as well.

    Raises:
        GateRejected: If its gate did not pass when it was trained.
        BundleError: As `judge`.
    """
    contents.check_complete(candidate)
    write_bytes(folder / "gate.json", contents.read(candidate, "gate.json"))
    decision = GateDecision.read(folder / "gate.json")
    if not decision.passed:
        raise GateRejected(
            f"{candidate.version} cannot be promoted: its gate did not pass: {decision.reason}"
        )
    return gate.judge(
        GateParams(max_wer={candidate.modality: decision.max_wer}),
        contents.evaluation(candidate, folder / "candidate"),
        None if champion is None else contents.evaluation(champion, folder / "champion"),
        folder / "decision",
        beside,
    )
