"""The monitoring pipeline: one look at the served requests, meant to recur every few minutes."""

from typing import Any

from kfp import dsl

from pipelines.cluster import steps

__all__ = ["monitoring"]

NAME = "mome-monitoring"


@dsl.pipeline(name=NAME, description="Look at the newest requests; switch the scale, ask for retraining.")
def monitoring(
    monitor: dict[str, Any],
    train: dict[str, Any],
    bundle: str,
    requests: str,
    state: str,
    publish_to: str = "",
    recordings: str = "",
) -> None:
    """Check the newest requests, publish the scale to serve, and ask for retraining if no scale fits.

    Args:
        bundle: START HERE. Folder of the served bundle.
        requests: START HERE. Folder of the service's request log, or `environment`: the database of a secret.
        state: START HERE. Folder that the service reads its scale from.
        publish_to: START HERE. Where the service reads its scale if not in that folder: configmap/NAME.
        recordings: Folder of the noise that is heard in production, for a wish to name; a training reads it.
        monitor: SECTION of params.yaml, seldom changed here. When the served scale follows the noise.
        train: SECTION of params.yaml, seldom changed here. The last training, whose noise a new one extends.
    """
    # Nothing is cached: the log grows and time passes behind the same arguments.
    notify_task = steps.notify(
        pipeline=NAME,
        run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        only_failures=True,  # a look every few minutes that went well is no news
    ).set_caching_options(False)
    with dsl.ExitHandler(notify_task, name="look"):
        check_task = steps.check_drift(
            bundle=bundle,
            requests=requests,
            state=state,
            params=monitor,
            train=train,
            publish_to=publish_to,
            recordings=recordings,
        ).set_caching_options(False)
        # At every look, and not behind a condition: one that does not hold leaves the server's book-keeping
        # open, and `notify` could not tell a look that went well from one that was killed.
        steps.request_retraining(
            state=state, params=train, asked=check_task.outputs["retrain"]
        ).set_caching_options(False)
