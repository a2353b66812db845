"""Step ``gate``: is the model good enough to be shipped?"""

from typing import Any

from kfp import dsl

from components.images import image

__all__ = ["gate"]


@dsl.component(base_image=image("train"), install_kfp_package=False)
def gate(
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    corpus: str,
    registry: str,
    params: dict[str, Any],
) -> None:
    """Compare the word errors with the budget and with the promoted model; a rejection fails the run.

    Args:
        evaluation: The word error table.
        corpus: Name of the corpus: there is one promoted model per corpus.
        registry: Folder that holds the promoted models.
        params: Section `gate` of params.yaml.

    Returns:
        decision: Folder with gate.json: passed or not, why, and the budget.
        report: Every check and how it went.
    """
    import shutil
    from pathlib import Path

    from mome.config import GateParams, parse_section
    from mome.evaluation import champion, gate

    gate.run(
        parse_section(GateParams, params),
        Path(evaluation.path),
        champion.find(Path(registry), corpus),
        Path(decision.path),
    )
    shutil.copyfile(Path(decision.path) / "gate.html", report.path)
