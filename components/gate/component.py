"""Step ``gate``: is the model good enough to be shipped?"""

from typing import Any, NamedTuple

from kfp import dsl

from components.images import image

__all__ = ["gate"]


@dsl.component(base_image=image("serve"), install_kfp_package=False)
def gate(
    evaluation: dsl.Input[dsl.Artifact],
    decision: dsl.Output[dsl.Artifact],
    gate_report: dsl.Output[dsl.HTML],
    corpus: str,
    registry: str,
    params: dict[str, Any],
) -> NamedTuple("Verdict", [("passed", bool), ("reason", str)]):
    """Compare word errors with the budget and the promoted model; step `require` ends the run on a no.

    Args:
        evaluation: The word error table.
        corpus: Name of the corpus: there is one promoted model per corpus.
        registry: Folder or s3:// address of the registry, which knows the promoted model.
        params: Section `gate` of params.yaml.

    Returns:
        decision: Folder with gate.json: passed or not, why, and the budget.
        gate_report: The decision, the table with the champion's beside it, and every check.
        passed: Whether every check holds.
        reason: The first check that failed.
    """
    import shutil
    from pathlib import Path

    from mome.config import GateParams, parse_section
    from mome.evaluation import gate
    from serving.registry.address import open_registry

    made = gate.judge(
        parse_section(GateParams, params),
        Path(evaluation.path),
        open_registry(registry).fetch_evaluation(corpus, Path(decision.path) / "champion"),
        Path(decision.path),
    )
    shutil.copyfile(Path(decision.path) / "gate.html", gate_report.path)
    decision.metadata.update({"passed": made.passed, "reason": made.reason})
    print(gate.log_lines(Path(evaluation.path), made))
    return made.passed, made.reason
