"""All components by name."""

from components.build_foundation.component import build_foundation
from components.check_drift.component import check_drift
from components.collect_shards.component import collect_shards
from components.configure.component import configure
from components.evaluate.component import evaluate
from components.gate.component import gate
from components.notify.component import notify
from components.package.component import package
from components.plan_shards.component import plan_shards
from components.prepare.component import prepare
from components.prepare_shard.component import prepare_shard
from components.promote.component import promote
from components.rehearse.component import rehearse
from components.request_retraining.component import request_retraining
from components.require.component import require
from components.train.component import train
from components.train_distributed.component import train_distributed
from components.validate.component import validate
from components.version_corpus.component import version_corpus

__all__ = [
    "build_foundation",
    "check_drift",
    "collect_shards",
    "configure",
    "evaluate",
    "gate",
    "notify",
    "package",
    "plan_shards",
    "prepare",
    "prepare_shard",
    "promote",
    "rehearse",
    "request_retraining",
    "require",
    "train",
    "train_distributed",
    "validate",
    "version_corpus",
]
