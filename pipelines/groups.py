"""The parts of a training as people think of them: data, model, release; each is one box until it is opened.

The last step of each is never taken from the cache. Kubeflow closes a group when the launcher of a step says
that it ended, and a step from the cache has no launcher: a group that ends with one would stay open, and
`notify` would be told of a run that still goes on.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.images import image
from pipelines.cluster import steps

__all__ = ["data", "model", "release", "require", "sharded_data"]

PARALLEL_SHARDS = 8  # steps that decode at the same time

Preparation = Callable[[Any, Any, Any], Any]  # repository, revision and section `prepare` to a dataset


class Data(NamedTuple):
    dataset: dsl.Dataset
    validation: dsl.Metrics
    corpus: str


class Model(NamedTuple):
    foundation: dsl.Model
    checkpoint: dsl.Model
    evaluation: dsl.Metrics
    decision: dsl.Artifact
    passed: bool
    reason: str


def require(stage: str, judging: dsl.PipelineTask, title: str) -> dsl.PipelineTask:
    """End the run unless a step passed; that step itself ends well, so that its report is shown.

    Args:
        stage: The step that judges.
        judging: Its task, or that of the group around it; both have the outputs `passed` and `reason`.
        title: Of the box.
    """
    return (
        steps.require(stage=stage, passed=judging.outputs["passed"], reason=judging.outputs["reason"])
        .set_caching_options(False)
        .set_display_name(title)
    )


def _in_one_step(repo: Any, revision: Any, params: Any) -> Any:
    return steps.prepare(repo=repo, revision=revision, params=params).outputs["dataset"]


def _shard_by_shard(repo: Any, revision: Any, params: Any) -> Any:
    plan_task = steps.plan_shards(repo=repo, revision=revision)
    with dsl.ParallelFor(plan_task.output, name="each shard", parallelism=PARALLEL_SHARDS) as piece:
        prepare_task = steps.prepare_shard(piece=piece, params=params)
    collect_task = steps.collect_shards(
        parts=dsl.Collected(prepare_task.outputs["part"]), repo=repo, revision=revision
    )
    return collect_task.outputs["dataset"]


def _data(prepared: Preparation) -> BaseComponent:
    @dsl.pipeline(name="data", description="A corpus as a dataset that is fit to be trained on.")
    def data(corpus: str, registry: str, prepare: dict[str, Any], validate: dict[str, Any]) -> Data:
        version_task = steps.version_corpus(
            corpus=corpus, registry=registry, params=prepare
        ).set_caching_options(False)
        dataset = prepared(version_task.outputs["repo"], version_task.outputs["revision"], prepare)
        validate_task = steps.validate(dataset=dataset, params=validate)
        require("validate", validate_task, "valid data or stop")
        return Data(
            dataset=dataset,
            validation=validate_task.outputs["validation"],
            corpus=version_task.outputs["name"],
        )

    return data


data = _data(_in_one_step)
sharded_data = _data(_shard_by_shard)


@dsl.pipeline(name="model", description="The frozen models, and what is trained beside them and judged.")
def model(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Metrics],
    corpus: str,
    registry: str,
    foundation: dict[str, Any],
    train: dict[str, Any],
    evaluate: dict[str, Any],
    gate: dict[str, Any],
    files: str,
) -> Model:
    """Train and judge."""
    foundation_task = steps.build_foundation(params=foundation, files=files)
    frozen = foundation_task.outputs["foundation"]
    train_task = steps.train(
        dataset=dataset, validation=validation, foundation=frozen, params=train, files=files
    )
    checkpoint = train_task.outputs["checkpoint"]
    evaluate_task = steps.evaluate(
        dataset=dataset,
        validation=validation,
        foundation=frozen,
        checkpoint=checkpoint,
        params=evaluate,
        files=files,
    )
    evaluation = evaluate_task.outputs["evaluation"]
    gate_task = steps.gate(
        evaluation=evaluation, corpus=corpus, registry=registry, params=gate
    ).set_caching_options(False)
    return Model(
        foundation=frozen,
        checkpoint=checkpoint,
        evaluation=evaluation,
        decision=gate_task.outputs["decision"],
        passed=gate_task.outputs["passed"],
        reason=gate_task.outputs["reason"],
    )


@dsl.pipeline(name="release", description="The model as it is served, tried once, and promoted.")
def release(
    dataset: dsl.Input[dsl.Dataset],
    validation: dsl.Input[dsl.Metrics],
    foundation: dsl.Input[dsl.Model],
    checkpoint: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Metrics],
    decision: dsl.Input[dsl.Artifact],
    corpus: str,
    registry: str,
    package: dict[str, Any],
    rehearse: dict[str, Any],
    monitor: dict[str, Any],
) -> None:
    """Package, rehearse and promote."""
    package_task = steps.package(
        foundation=foundation,
        checkpoint=checkpoint,
        evaluation=evaluation,
        decision=decision,
        params=package,
        monitor=monitor,
    )
    packaged = package_task.outputs["packaged"]
    rehearse_task = steps.rehearse(
        packaged=packaged, dataset=dataset, validation=validation, params=rehearse, monitor=monitor
    )
    (
        steps.promote(
            packaged=packaged,
            corpus=corpus,
            registry=registry,
            run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            trained_in=image("train"),
            serve_with=image("serve"),
            monitor_with=image("monitor"),
        )
        .after(rehearse_task)
        .set_caching_options(False)
    )
