"""The monitoring pipeline: one look at the served requests, meant to recur every few minutes."""

from kfp import dsl

import components as steps

__all__ = ["monitoring"]


@dsl.pipeline(name="mome-monitoring", description="Look at the newest requests; switch the scale, ask for retraining.")
def monitoring(monitor: dict, train: dict, bundle: str, requests: str, state: str):
    """Check the newest requests for drift, publish the scale to serve, and ask for retraining if no scale fits.

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
    with dsl.If(check_task.outputs["retrain"] == True, name="no-scale-fits"):  # noqa: E712 - kfp compares, not Python
        steps.request_retraining(state=state, params=train).set_caching_options(False)
