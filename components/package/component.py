"""Step ``package``: the bundle and the Bento that serves it."""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["package"]


@dsl.component(base_image=image("serve"), install_kfp_package=False)
def package(
    foundation: dsl.Input[dsl.Model],
    checkpoint: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    packaged: dsl.Output[dsl.Model],
    package_report: dsl.Output[dsl.HTML],
    params: dict[str, Any],
    monitor: dict[str, Any],
) -> None:
    """Pack all that serving and monitoring need into one folder with checksums, and build its Bento.

    Args:
        foundation: Frozen encoders and language model.
        checkpoint: Trained weights.
        evaluation: The word error table and the drift baseline.
        decision: The gate's decision and budget.
        params: Section `package` of params.yaml.
        monitor: Section `monitor`; its promise to callers goes into the bundle.

    Returns:
        packaged: Folder with bundle/ and bento/; `bentoml serve` starts the latter.
        package_report: What the bundle holds, what it was judged by, and how to serve it.
    """
    from pathlib import Path

    from mome.config import MonitorParams, PackageParams, parse_section
    from serving import package
    from serving.bundle_report import describe

    bundle = package.run(
        parse_section(PackageParams, params),
        Path(foundation.path),
        Path(checkpoint.path),
        Path(evaluation.path),
        Path(decision.path),
        Path(packaged.path),
        parse_section(MonitorParams, monitor).promise,
    )
    packaged.metadata.update(describe(bundle, Path(package_report.path)))
