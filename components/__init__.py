"""Kubeflow components, one folder per step: artifacts in, artifacts out; each converts and calls."""

from components.build_foundation import build_foundation
from components.check_drift import check_drift
from components.evaluate import evaluate
from components.gate import gate
from components.package import package
from components.prepare import prepare
from components.promote import promote
from components.rehearse import rehearse
from components.request_retraining import request_retraining
from components.train import train
from components.validate import validate
from components.version_corpus import version_corpus

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
