"""Everything that can go wrong in a way a person can mend, as one tree.

MomeError
├── ConfigError (ValueError)          a parameter is unknown, missing or of the wrong type
├── UnknownScaleError (ValueError)    a compression scale that does not exist or was not trained
├── CorpusError (ValueError)          a corpus folder or manifest cannot be read as one
├── MediaError (ValueError)           one recording cannot be decoded or used
│   └── TooLongError                  it is longer than may be read at once
├── ValidationFailed (RuntimeError)   a critical expectation does not hold; the report is written
├── RevisionError (RuntimeError)      a data revision is unknown or its content is damaged
├── CheckpointError (ValueError)      saved weights do not fit, or are not safetensors
├── TrainingError (RuntimeError)      training cannot go on
├── EvaluationError (ValueError)      a word error rate cannot be computed from what was given
├── GateRejected (RuntimeError)       the model is not good enough; the report is written
├── BundleError (ValueError)          a shipped folder is incomplete or was changed
├── Stopped (RuntimeError)            a step was told to stop before it was done
├── ServiceError (RuntimeError)       an endpoint, a storage or a registry did not start or did not answer
└── MonitorError (ValueError)         the request log or the scale file cannot be used
    └── Occupied                      another monitor is at work on the same folder
"""

__all__ = [
    "BundleError",
    "CheckpointError",
    "ConfigError",
    "CorpusError",
    "EvaluationError",
    "GateRejected",
    "MediaError",
    "MomeError",
    "MonitorError",
    "NotFiniteError",
    "Occupied",
    "RevisionError",
    "ServiceError",
    "Stopped",
    "TooLongError",
    "TrainingError",
    "UnknownScaleError",
    "ValidationFailed",
]


class MomeError(Exception):
    """Root of the tree; its message names the thing and what was expected of it."""


class ConfigError(MomeError, ValueError):
    """A parameter is unknown, missing or of the wrong type."""


class UnknownScaleError(MomeError, ValueError):
    """A compression scale does not exist, or the model was not trained for it."""


class CorpusError(MomeError, ValueError):
    """A corpus folder or its manifest cannot be read as one."""


class MediaError(MomeError, ValueError):
    """One recording cannot be decoded or used."""


class TooLongError(MediaError):
    """A recording is longer, or larger, than may be read at once."""


class NotFiniteError(MediaError):
    """A recording holds NaN or infinity."""


class ValidationFailed(MomeError, RuntimeError):
    """A critical expectation does not hold; the report names the utterances."""


class RevisionError(MomeError, RuntimeError):
    """A data revision is unknown, or its content is damaged."""


class CheckpointError(MomeError, ValueError):
    """Saved weights do not fit the model, or are not safetensors."""


class TrainingError(MomeError, RuntimeError):
    """Training diverged."""


class EvaluationError(MomeError, ValueError):
    """A word error rate cannot be computed from what was given."""


class GateRejected(MomeError, RuntimeError):
    """The model is not good enough; the report says why."""


class BundleError(MomeError, ValueError):
    """A shipped folder is incomplete or was changed."""


class ServiceError(MomeError, RuntimeError):
    """A service did not start, did not answer, or refused: the endpoint, a storage, a registry."""


class Stopped(MomeError, RuntimeError):
    """A step was told to stop before it was done: pre-empted, out of time or cancelled."""


class MonitorError(MomeError, ValueError):
    """The request log or the scale file cannot be used."""


class Occupied(MonitorError):
    """Another monitor is at work on the same folder."""
