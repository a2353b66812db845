"""Step ``rehearse``: serve the package for real, and watch the scale follow the noise."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["rehearse"]


@dsl.component(base_image=image("serve"), install_kfp_package=False)
def rehearse(
    packaged: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Metrics],
    rehearsal: dsl.Output[dsl.Metrics],
    rehearsal_report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
    monitor: dict[str, Any],
) -> None:
    """Send held-out clips to the started service over HTTP: clean, in babble, clean again.

    Args:
        packaged: Bundle and Bento.
        dataset: Shards and manifest; clips of the test split are played.
        validation: Names the recordings of it that are not to be played.
        params: Section `rehearse` of params.yaml.
        monitor: Section `monitor` of params.yaml.

    Returns:
        rehearsal: Folder with rehearsal.json, the request log and the decisions of the monitor.
        rehearsal_report: Served scale and measured noise over time.
    """
    import shutil
    from pathlib import Path

    from components.rehearse import rehearsal as rehearsing
    from mome.config import MonitorParams, RehearseParams, parse_section
    from mome.reporting.metadata import checked
    from mome.speech.usable import usable

    found = rehearsing.run(
        parse_section(RehearseParams, params),
        parse_section(MonitorParams, monitor),
        Path(packaged.path),
        usable(Path(dataset.path), Path(validation.path)),
        Path(rehearsal.path),
    )
    shutil.copyfile(Path(rehearsal.path) / "rehearsal.html", rehearsal_report.path)
    rehearsal.metadata.update(checked(found.figures()))
