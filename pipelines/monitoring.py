"""The monitoring pipeline: one look at the served requests, meant to recur every few minutes."""

from typing import Any

from kfp import dsl

from components import catalogue as steps

__all__ = ["monitoring"]


@dsl.pipeline(
    name="mome-monitoring", description="Look at the newest requests; switch the scale, ask for retraining."
)
def monitoring(
    monitor: dict[str, Any], train: dict[str, Any], bundle: str, requests: str, state: str
) -> None:
    """Check the newest requests, publish the scale to serve, and ask for retraining if no scale fits.

    Args:
        monitor: Section of params.yaml: when the served scale follows the noise.
        train: Section of params.yaml: the last training, whose noise a new one extends.
        bundle: Folder of the served bundle.
        requests: Folder of the service's request log.
        state: Folder that the service reads its scale from.
    """
    # Not cached: the log grows and time passes behind the same arguments.
    check_task = steps.check_drift(
        bundle=bundle, requests=requests, state=state, params=monitor
    ).set_caching_options(False)
    asked = check_task.outputs["retrain"] == True  # noqa: E712 - kfp compares, not Python
    with dsl.If(asked, name="no-scale-fits"):
        steps.request_retraining(state=state, params=train).set_caching_options(False)
