"""Step ``notify``: tell people how the run went, whatever way it went."""

from kfp import dsl

from components.images import image

__all__ = ["notify"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def notify(
    status: dsl.PipelineTaskFinalStatus,
    pipeline: str,
    run: str,
    run_id: str,
    only_failures: bool,
    has_loop: bool = False,
) -> None:
    """Post how the run ended to a webhook, as JSON {"text": ...}, which Slack and its kin take.

    The address comes from a secret, as the environment variable MOME_NOTIFY_URL; without it this step
    says so and does nothing. A webhook that does not answer is a line in the log, not a failed run.
    MOME_NOTIFY_UI, the address of Kubeflow's pages, adds a link to the run.

    Args:
        status: How the steps before ended; Kubeflow fills it in.
        pipeline: Name of the pipeline.
        run: Name of the run; empty where it is one of a recurring run.
        run_id: Id of the run.
        only_failures: Keep silent about a success.
        has_loop: Whether the pipeline has a loop whose pieces may come from the cache.
    """
    from mome.webhook import tell

    # The pages call a run of a recurring one as its workflow is called.
    name = run or status.pipeline_job_resource_name
    tell(pipeline, name, run_id, status.state, status.error_message, only_failures, has_loop)
