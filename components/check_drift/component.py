"""Step ``check_drift``: look at the newest requests and choose the scale to serve."""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["check_drift"]


@dsl.component(base_image=image("monitoring"), install_kfp_package=False)
def check_drift(bundle: str, requests: str, state: str, params: dict[str, Any]) -> NamedTuple(
    "Check", [("scale", str), ("switched", bool), ("retrain", bool)]
):
    """Compare the request log with the bundle's baseline and publish the scale that the noise asks for.

    Args:
        bundle: Folder of the served bundle, with its word error table and baseline.
        requests: Folder of the service's request log.
        state: Folder that the service reads its scale from; decisions and drift reports go there too.
        params: Section `monitor` of params.yaml.

    Returns:
        scale: The scale to serve from now on.
        switched: Whether that is another one than before.
        retrain: Whether no scale fits what is observed, so that a new training is due.
    """
    from pathlib import Path

    from components.check_drift.retraining import asks_for_retraining
    from mome.config import MonitorParams, parse_section
    from monitoring import check

    found = check.run(parse_section(MonitorParams, params), Path(bundle), Path(requests), Path(state))
    return found.scale, found.switched, asks_for_retraining(Path(state), found)
