"""The training pipeline: from a corpus to a promoted model that was served and watched once."""

from typing import Any

from kfp import dsl

from components import catalogue as steps

__all__ = ["training"]


@dsl.pipeline(
    name="mome-training", description="Corpus to promoted model: validated, gated, served, monitored."
)
def training(
    prepare: dict[str, Any],
    validate: dict[str, Any],
    foundation: dict[str, Any],
    train: dict[str, Any],
    evaluate: dict[str, Any],
    gate: dict[str, Any],
    package: dict[str, Any],
    monitor: dict[str, Any],
    rehearse: dict[str, Any],
    corpus: str = "embedded",
    registry: str = "var/registry",
) -> None:
    """Train, judge, package and rehearse MoME on a corpus.

    Args:
        prepare: Section of params.yaml: size of the embedded corpus, shards.
        validate: Section of params.yaml: what a usable recording is.
        foundation: Section of params.yaml: the frozen models of the embedded default.
        train: Section of params.yaml: MoME, its scales and its training.
        evaluate: Section of params.yaml: conditions under which words are counted.
        gate: Section of params.yaml: the word error budget.
        package: Section of params.yaml: the bundle and its default scale.
        monitor: Section of params.yaml: when the served scale follows the noise.
        rehearse: Section of params.yaml: the clips that are played to the service.
        corpus: The word `embedded`, a folder of recordings, or the address of a DVC repository.
        registry: Folder that outlives a run: corpus repositories, their DVC remotes, promoted models.
    """
    # Not cached: what it reads may change behind the same arguments (a folder, the promoted model).
    version_task = steps.version_corpus(corpus=corpus, registry=registry, params=prepare).set_caching_options(
        False
    )
    prepare_task = steps.prepare(
        repo=version_task.outputs["repo"], revision=version_task.outputs["revision"], params=prepare
    )
    dataset = prepare_task.outputs["dataset"]
    validate_task = steps.validate(dataset=dataset, params=validate)

    # After validation: a broken corpus stops the run before minutes of training.
    foundation_task = steps.build_foundation(params=foundation).after(validate_task)
    frozen = foundation_task.outputs["foundation"]
    train_task = steps.train(dataset=dataset, foundation=frozen, params=train).after(validate_task)
    checkpoint = train_task.outputs["checkpoint"]
    evaluate_task = steps.evaluate(dataset=dataset, foundation=frozen, checkpoint=checkpoint, params=evaluate)

    gate_task = steps.gate(
        evaluation=evaluate_task.outputs["evaluation"],
        corpus=version_task.outputs["name"],
        registry=registry,
        params=gate,
    ).set_caching_options(False)
    package_task = steps.package(
        foundation=frozen,
        checkpoint=checkpoint,
        evaluation=evaluate_task.outputs["evaluation"],
        decision=gate_task.outputs["decision"],
        params=package,
    )
    packaged = package_task.outputs["packaged"]
    rehearse_task = steps.rehearse(packaged=packaged, dataset=dataset, params=rehearse, monitor=monitor)
    (
        steps.promote(packaged=packaged, corpus=version_task.outputs["name"], registry=registry)
        .after(rehearse_task)
        .set_caching_options(False)
    )
