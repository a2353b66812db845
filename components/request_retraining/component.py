"""Step ``request_retraining``: what the next training has to learn."""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["request_retraining"]


@dsl.component(base_image=image("monitor"), install_kfp_package=False)
def request_retraining(
    retraining_report: dsl.Output[dsl.HTML],
    state: str,
    params: dict[str, Any],
    asked: bool = True,
) -> NamedTuple("NextTraining", [("train", dict[str, Any])]):
    """Turn the monitor's wish for a new training into the parameters of that training; start nothing.

    Args:
        state: Folder where the monitor left retrain.json.
        params: Section `train` of params.yaml.
        asked: Whether there is such a wish. The step runs at every look: a condition before it would leave
            the server's book-keeping open where it does not hold.

    Returns:
        retraining_report: What was observed, noise levels before and after, how to start it.
        train: Section `train` for the next run: its noise covers what was observed.
    """
    from pathlib import Path

    from components.request_retraining.answer import answer
    from mome.config import TrainParams, parse_section

    before = parse_section(TrainParams, params)
    after = answer(asked, Path(state), before, Path(retraining_report.path))
    return (after.model_dump(mode="json"),)
