"""All components by name."""

from components.build_foundation.component import build_foundation
from components.check_drift.component import check_drift
from components.evaluate.component import evaluate
from components.gate.component import gate
from components.package.component import package
from components.prepare.component import prepare
from components.promote.component import promote
from components.rehearse.component import rehearse
from components.request_retraining.component import request_retraining
from components.train.component import train
from components.validate.component import validate
from components.version_corpus.component import version_corpus

__all__ = [
    "build_foundation",
    "check_drift",
    "evaluate",
    "gate",
    "package",
    "prepare",
    "promote",
    "rehearse",
    "request_retraining",
    "train",
    "validate",
    "version_corpus",
]
