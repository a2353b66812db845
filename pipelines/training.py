"""The training pipeline: from a corpus to a promoted model that was served and watched once.

It comes in two forms. `training` prepares the corpus in one step; `training_sharded` in one step for each
shard, for corpora that take hours to decode. All that follows is the same.
"""

from collections.abc import Callable
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from components.images import image
from pipelines.cluster import steps

__all__ = ["training", "training_sharded"]

PARALLEL_SHARDS = 8  # steps that decode at the same time

Preparation = Callable[[Any, Any, Any], Any]  # repository, revision and section `prepare` to a dataset


def _in_one_step(repo: Any, revision: Any, params: Any) -> Any:
    return steps.prepare(repo=repo, revision=revision, params=params).outputs["dataset"]


def _shard_by_shard(repo: Any, revision: Any, _params: Any) -> Any:
    plan_task = steps.plan_shards(repo=repo, revision=revision)
    with dsl.ParallelFor(plan_task.output, parallelism=PARALLEL_SHARDS) as piece:
        prepare_task = steps.prepare_shard(piece=piece)
    collect_task = steps.collect_shards(
        parts=dsl.Collected(prepare_task.outputs["part"]), repo=repo, revision=revision
    )
    return collect_task.outputs["dataset"]


def _pipeline(name: str, description: str, prepared: Preparation, *, has_loop: bool) -> BaseComponent:
    @dsl.pipeline(name=name, description=description)
    def training(
        changes: dict[str, Any],
        evaluate: dict[str, Any],
        foundation: dict[str, Any],
        gate: dict[str, Any],
        monitor: dict[str, Any],
        package: dict[str, Any],
        prepare: dict[str, Any],
        rehearse: dict[str, Any],
        train: dict[str, Any],
        validate: dict[str, Any],
        corpus: str = "embedded",
        registry: str = "var/registry",
    ) -> None:
        """Train, judge, package and rehearse MoME on a corpus.

        Args:
            changes: START HERE. Single values that differ from the sections below, by their path, as in
                {"train.steps": 200, "gate.max_wer.av.a4v2": 0.05}. All are checked in the first step.
            corpus: START HERE. The word `embedded`, a folder of recordings that the steps can read, or the
                address of a DVC repository, as address@revision. A branch or tag is resolved to a commit.
            registry: START HERE. Place that outlives a run, for corpus repositories and promoted models: a
                folder on a volume, or an s3:// address if the corpus is a DVC repository.
            evaluate: SECTION of params.yaml, seldom changed here. Noise levels that words are counted at.
            foundation: SECTION of params.yaml, seldom changed here. The frozen encoders and LLM.
            gate: SECTION of params.yaml, seldom changed here. The word error budget.
            monitor: SECTION of params.yaml, seldom changed here. When the served scale follows the noise.
            package: SECTION of params.yaml, seldom changed here. Name of the model and its default scale.
            prepare: SECTION of params.yaml, seldom changed here. Size of the embedded corpus, shards.
            rehearse: SECTION of params.yaml, seldom changed here. Clips that are played to the service.
            train: SECTION of params.yaml, seldom changed here. Method, scales, steps, learning rate, noise.
            validate: SECTION of params.yaml, seldom changed here. What a usable recording is.
        """
        # Never reused: what they read may change behind the same arguments (a folder, the promoted
        # model), or they are there for what they do and not for what they return.
        notify_task = steps.notify(
            pipeline=name,
            run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            only_failures=False,
            has_loop=has_loop,
        ).set_caching_options(False)
        with dsl.ExitHandler(notify_task, name="run"):
            configure_task = steps.configure(
                changes=changes,
                defaults={},  # filled in where the pipeline is compiled
                prepare=prepare,
                validate=validate,
                foundation=foundation,
                train=train,
                evaluate=evaluate,
                gate=gate,
                package=package,
                monitor=monitor,
                rehearse=rehearse,
            ).set_caching_options(False)
            section = configure_task.outputs
            version_task = steps.version_corpus(
                corpus=corpus, registry=registry, params=section["prepare"]
            ).set_caching_options(False)
            dataset = prepared(
                version_task.outputs["repo"], version_task.outputs["revision"], section["prepare"]
            )
            validate_task = steps.validate(dataset=dataset, params=section["validate"])
            valid_task = _require("validate", validate_task, "valid data or stop")

            # After validation: a broken corpus stops the run before minutes of training.
            foundation_task = steps.build_foundation(
                params=section["foundation"], files=section["files"]
            ).after(valid_task)
            frozen = foundation_task.outputs["foundation"]
            train_task = steps.train(
                dataset=dataset, foundation=frozen, params=section["train"], files=section["files"]
            ).after(valid_task)
            checkpoint = train_task.outputs["checkpoint"]
            evaluate_task = steps.evaluate(
                dataset=dataset,
                foundation=frozen,
                checkpoint=checkpoint,
                params=section["evaluate"],
                files=section["files"],
            )
            gate_task = steps.gate(
                evaluation=evaluate_task.outputs["evaluation"],
                corpus=version_task.outputs["name"],
                registry=registry,
                params=section["gate"],
            ).set_caching_options(False)
            good_task = _require("gate", gate_task, "good model or stop")

            package_task = steps.package(
                foundation=frozen,
                checkpoint=checkpoint,
                evaluation=evaluate_task.outputs["evaluation"],
                decision=gate_task.outputs["decision"],
                params=section["package"],
            ).after(good_task)
            packaged = package_task.outputs["packaged"]
            rehearse_task = steps.rehearse(
                packaged=packaged, dataset=dataset, params=section["rehearse"], monitor=section["monitor"]
            )
            (
                steps.promote(
                    packaged=packaged,
                    corpus=version_task.outputs["name"],
                    registry=registry,
                    run=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                    trained_in=image("train"),
                    serve_with=image("serve"),
                    monitor_with=image("monitor"),
                )
                .after(rehearse_task)
                .set_caching_options(False)
            )

    return training


def _require(stage: str, judging: dsl.PipelineTask, title: str) -> dsl.PipelineTask:
    """End the run unless a step passed; that step itself ends well, so that its report is shown."""
    return (
        steps.require(stage=stage, passed=judging.outputs["passed"], reason=judging.outputs["reason"])
        .set_caching_options(False)
        .set_display_name(title)
    )


training = _pipeline(
    "mome-training",
    "Corpus to promoted model: validated, gated, served, monitored.",
    _in_one_step,
    has_loop=False,
)
training_sharded = _pipeline(
    "mome-training-sharded",
    "Corpus to promoted model, for large corpora: each shard is prepared by a step of its own.",
    _shard_by_shard,
    has_loop=True,
)
