"""Step ``require``: the run goes on only after a yes."""

from kfp import dsl

from components.images import image

__all__ = ["require"]


@dsl.component(base_image=image("data"), install_kfp_package=False)
def require(stage: str, passed: bool, reason: str) -> None:
    """End the run here unless the stage before passed.

    Kubeflow shows the reports of a step only if the step ends well. So validation and gate write their
    report and end well, and this step is the red one (docs/adr/0008-verdicts-are-steps.md).

    Args:
        stage: The step that judged, `validate` or `gate`.
        passed: What it found.
        reason: Why.
    """
    from mome.verdict import require as go_on

    go_on(stage, passed, reason)
