"""The parameters of an experiment: one section of ``params.yaml``, one stage, one class, one word.

A parameter has no default here: ``params.yaml`` is the only place where a number of the experiment
stands. Values are frozen and read once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from mome.errors import ConfigError
from mome.records import Modality, ScaleText

__all__ = [
    "EvaluateParams",
    "FoundationParams",
    "GateParams",
    "MonitorParams",
    "PackageParams",
    "Params",
    "Precision",
    "PrepareParams",
    "RehearseParams",
    "TrainParams",
    "ValidateParams",
    "load_params",
    "parse_section",
]


# A noise level in dB. Without noise it is None in Python and `clean` in the file and in a pipeline's
# arguments, which cannot hold a null.
SnrDb = Annotated[
    FiniteFloat | None,
    BeforeValidator(lambda value: None if value == "clean" else value),
    PlainSerializer(lambda value: "clean" if value is None else value, when_used="json"),
]


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Section)
Precision = Literal["float32", "bfloat16"]  # of the products in training; weights stay in float32


class PrepareParams(Section):
    """Corpus in, shards and manifest out."""

    seed: int
    train_utterances: int = Field(gt=0)  # of the embedded corpus and of sentences built from single words
    validation_utterances: int = Field(gt=0)
    test_utterances: int = Field(gt=0)
    utterances_per_shard: int = Field(gt=0)


class ValidateParams(Section):
    """What a usable recording is."""

    min_duration_s: FiniteFloat = Field(gt=0)
    max_duration_s: FiniteFloat = Field(gt=0)
    min_sampling_rate: int = Field(gt=0)  # Hz
    max_sampling_rate: int = Field(gt=0)
    min_fps: FiniteFloat = Field(gt=0)
    max_fps: FiniteFloat = Field(gt=0)
    allow_mixed_rates: bool  # recordings of one corpus may differ in native sampling rate or fps
    min_peak: FiniteFloat = Field(gt=0, lt=1)  # below it a recording counts as silent
    max_clipped_share: FiniteFloat = Field(ge=0, le=1)
    max_audio_video_gap_s: FiniteFloat = Field(ge=0)
    min_mouth_found_share: FiniteFloat = Field(ge=0, le=1)
    min_snr_db: FiniteFloat
    min_utterances: dict[str, int]  # per split


class FoundationParams(Section):
    """The embedded default's own small frozen encoders and language model."""

    seed: int
    threads: int = Field(gt=0)
    precision: Precision
    utterances: int = Field(gt=0)
    audio_steps: int = Field(gt=0)
    video_steps: int = Field(gt=0)
    language_steps: int = Field(gt=0)


class TrainParams(Section):
    """Fine-tuning of MoME and the projectors."""

    seed: int
    device: str
    threads: int = Field(gt=0)
    precision: Precision
    scales: list[ScaleText] = Field(min_length=1)
    num_experts: int = Field(gt=0)
    top_k: int = Field(gt=0)
    num_shared_experts: int = Field(ge=0)
    bottleneck_dim: int = Field(gt=0)
    load_balancing_weight: FiniteFloat = Field(ge=0)
    audio_lora_rank: int = Field(ge=0)  # beside the audio encoder's layers; 0 leaves it as it is
    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)  # sequences: an utterance is one per scale and rate
    learning_rate: FiniteFloat = Field(gt=0)
    weight_decay: FiniteFloat = Field(ge=0)
    max_grad_norm: FiniteFloat = Field(gt=0)
    noise_snrs_db: list[SnrDb] = Field(min_length=1)  # one is drawn whenever a clip is heard
    checkpoint_every: int = Field(gt=0)

    @model_validator(mode="after")
    def _top_k_fits(self) -> TrainParams:
        if self.top_k > self.num_experts:
            raise ValueError(f"top_k is {self.top_k}, but there are only {self.num_experts} routed experts")
        return self


class EvaluateParams(Section):
    """Word error rate for every modality, scale and noise level."""

    seed: int
    device: str
    threads: int = Field(gt=0)
    snrs_db: list[SnrDb] = Field(min_length=1)
    bootstrap_samples: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    max_new_tokens: int = Field(gt=0)


class GateParams(Section):
    """What a model must reach to be shipped."""

    # Clean speech, per what the corpus holds and per scale: the lips make a coarse scale much better.
    max_wer: dict[Modality, dict[ScaleText, FiniteFloat]]


class PackageParams(Section):
    """The bundle and its Bento."""

    name: str
    default_scale: ScaleText


class MonitorParams(Section):
    """When the served scale follows the noise."""

    window: int = Field(gt=0)  # newest requests looked at
    min_requests: int = Field(gt=0)  # below it: hold
    consecutive_windows: int = Field(gt=0)  # how many checks in a row must agree
    cooldown_s: FiniteFloat = Field(ge=0)
    hysteresis_db: FiniteFloat = Field(ge=0)
    tolerance_db: FiniteFloat = Field(ge=0)  # a measurement this close below a condition still counts as it
    max_age_s: FiniteFloat = Field(gt=0)  # older requests say nothing about now
    drift_p_value: FiniteFloat = Field(gt=0, lt=1)  # Kolmogorov-Smirnov


class RehearseParams(Section):
    """Held-out clips played to the packaged service: clean, noisy, clean."""

    seed: int
    snr_db: FiniteFloat
    requests_per_phase: int = Field(gt=0)
    check_every: int = Field(gt=0)  # requests between two looks of the monitor
    startup_timeout_s: FiniteFloat = Field(gt=0)


class Params(Section):
    """All of ``params.yaml``."""

    prepare: PrepareParams
    validate_: ValidateParams = Field(alias="validate")  # pydantic's BaseModel has a method of that name
    foundation: FoundationParams
    train: TrainParams
    evaluate: EvaluateParams
    gate: GateParams
    package: PackageParams
    monitor: MonitorParams
    rehearse: RehearseParams

    def sections(self) -> dict[str, dict[str, Any]]:
        """Return every section as plain JSON values, under the names of ``params.yaml``."""
        return self.model_dump(mode="json", by_alias=True)


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check ``params.yaml``.

    Raises:
        ConfigError: If the file is missing, is not YAML, or holds an unknown key, a missing key or a
            value of the wrong type; the message names each.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    return _validated(Params, content, str(path))


def parse_section(section: type[S], values: dict[str, Any]) -> S:
    """Check the values of one section, as a pipeline step receives them.

    A Kubeflow ``dict`` parameter is a protobuf Struct, in which every number is a float: whole ones
    are turned back before the check, which is as strict as that of `load_params`.

    Raises:
        ConfigError: As `load_params`.
    """
    return _validated(section, _whole_numbers(values), section.__name__)


def _whole_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _validated(section: type[S], content: Any, name: str) -> S:
    try:
        # Strict: text is not a number and true is not 1; a whole number may stand for a float.
        return section.model_validate(content, strict=True)
    except ValidationError as error:
        raise ConfigError(f"{name}: " + "; ".join(_explain(detail) for detail in error.errors())) from error


def _explain(detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "(root)"
    message = f"{key}: {detail['msg'].lower()}, got {detail['input']!r}"
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if detail["type"] == "missing":
        return f"{key}: missing"
    if isinstance(detail["input"], str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", detail["input"]):
        # YAML 1.1 reads 1e-3 as text: only a mantissa with a point is a number to it.
        message += " (write 1.0e-3, not 1e-3: YAML takes the latter for text)"
    return message
