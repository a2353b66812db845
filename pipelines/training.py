"""The training pipeline: from a corpus to a promoted model that was served and watched once.

It is drawn as people think of it: data, model, release, and between the last two a verdict
(`pipelines.groups`). It comes in two forms: `training` prepares the corpus in one step, `training_sharded` in
one step for each shard, for corpora that take hours to decode. All that follows is the same.
"""

from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from mome.config import PARAMS_FILE
from pipelines.cluster import steps
from pipelines.groups import data, model, release, require, sharded_data

__all__ = ["training", "training_sharded"]


def _pipeline(name: str, description: str, data_group: BaseComponent, *, has_loop: bool) -> BaseComponent:
    @dsl.pipeline(name=name, description=description)
    def training(
        changes: dict[str, Any],
        corpus: str = "embedded",
        profile: str = PARAMS_FILE,
        registry: str = "var/registry",
    ) -> None:
        """Train, judge, package and rehearse MoME on a corpus.

        Args:
            changes: Single values of params.yaml that are others in this run, by their path, as in
                {"train.steps": 200, "gate.max_wer.av.a4v2": 0.05}. All are checked in the first step.
            corpus: The word `embedded`, a folder of recordings that the steps can read, or the address of a
                DVC repository, as address@revision. A branch or tag is resolved to a commit.
            profile: The settings of a paper, in place of those of params.yaml; `params.yaml` for none.
            registry: Place that outlives a run, for corpus repositories and promoted models: a folder on a
                volume, or an s3:// address if the corpus is a DVC repository.
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
                profile=profile,
                defaults={},  # filled in where the pipeline is compiled
            ).set_caching_options(False)
            section = configure_task.outputs
            data_task = data_group(
                corpus=corpus, registry=registry, prepare=section["prepare"], validate=section["validate"]
            )
            recordings = {name: data_task.outputs[name] for name in ("dataset", "validation")}
            model_task = model(
                **recordings,
                corpus=data_task.outputs["corpus"],
                registry=registry,
                foundation=section["foundation"],
                train=section["train"],
                evaluate=section["evaluate"],
                gate=section["gate"],
                files=section["files"],
            ).after(data_task)
            good_task = require("gate", model_task, "good model or stop")
            release(
                **recordings,
                foundation=model_task.outputs["foundation"],
                checkpoint=model_task.outputs["checkpoint"],
                evaluation=model_task.outputs["evaluation"],
                decision=model_task.outputs["decision"],
                corpus=data_task.outputs["corpus"],
                registry=registry,
                package=section["package"],
                rehearse=section["rehearse"],
                monitor=section["monitor"],
            ).after(good_task)

    return training


training = _pipeline(
    "mome-training",
    "Corpus to promoted model: validated, gated, served, monitored.",
    data,
    has_loop=False,
)
training_sharded = _pipeline(
    "mome-training-sharded",
    "Corpus to promoted model, for large corpora: each shard is prepared by a step of its own.",
    sharded_data,
    has_loop=True,
)
