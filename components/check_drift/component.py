"""Step ``check_drift``: look at the newest requests and choose the scale to serve."""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["check_drift"]


@dsl.component(base_image=image("monitor"), install_kfp_package=False)
def check_drift(
    look: dsl.Output[dsl.Metrics],
    drift_report: dsl.Output[dsl.HTML],
    bundle: str,
    requests: str,
    state: str,
    params: dict[str, Any],
    train: dict[str, Any],
    publish_to: str = "",
    recordings: str = "",
) -> NamedTuple("Check", [("scale", str), ("switched", bool), ("retrain", bool)]):
    """Compare the request log with the bundle's baseline and publish the scale that the noise asks for.

    Where a controller is at work on the same folder, its newest decision is reported instead.

    Args:
        bundle: Folder of the served bundle, with its word error table and baseline.
        requests: Folder of the service's request log; or `environment`, with the database's URL in secret
            `mome-request-log`.
        state: Folder that the service reads its scale from; decisions and drift reports go there too.
        params: Section `monitor` of params.yaml.
        train: Section `train` of params.yaml; checked here, not first when a new training is asked for.
        publish_to: Where the service reads its scale if it does not see `state`: configmap/NAME, or a file.
        recordings: Folder of the noise that is heard in production, for a wish to name; a training reads it.

    Returns:
        look: The decision as JSON. Requests looked at, measured noise, drifted features and tokens per second
            are its figures.
        drift_report: The served scale over the last day, and why.
        scale: The scale to serve from now on.
        switched: Whether that is another one than before.
        retrain: Whether no scale fits what is observed, and step request_retraining has not dealt with it.
    """
    from pathlib import Path

    from mome.config import MonitorParams, TrainParams, parse_section
    from mome.reporting.metadata import checked
    from monitoring import check
    from monitoring.publish import publish, target
    from monitoring.report import describe
    from monitoring.wish import is_open

    parse_section(TrainParams, train)
    section = parse_section(MonitorParams, params)
    found, publish_to = check.run_or_report(
        section, Path(bundle), requests, Path(state), publish_to, recordings
    )
    found.write(Path(look.path))
    look.metadata.update(checked(describe(Path(state), found, Path(drift_report.path))))
    # After the reports: a look is on record even when the cluster refuses what it came to.
    publish(Path(state) / "scale.json", target(publish_to))
    return found.scale, found.switched, is_open(Path(state))
