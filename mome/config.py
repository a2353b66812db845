"""The parameters of an experiment: one section of ``params.yaml``, one stage, one class, one word.

A parameter has no default here: ``params.yaml`` is the only place where a number of the experiment
stands. Values are frozen and read once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
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
from mome.methods import METHODS, MethodName
from mome.records import Decoding, MaxNewTokens, Modality, Promise, ScaleText, TestedNoise
from mome.scales import Scale

__all__ = [
    "CORPUS",
    "EMBEDDED",
    "MADE",
    "NO_MODEL",
    "NO_RECORDINGS",
    "AudioPadding",
    "Augmentation",
    "Compression",
    "EvaluateParams",
    "FoundationParams",
    "GateParams",
    "MonitorParams",
    "PackageParams",
    "Params",
    "Precision",
    "PrepareParams",
    "RehearseParams",
    "Sharding",
    "TextForm",
    "Threads",
    "TrainParams",
    "ValidateParams",
    "load_params",
    "load_profile",
    "noise_sources",
    "parse_section",
    "profiles",
    "with_profile",
]


CORPUS = "corpus"  # noise is babble of the corpus itself
MADE = ("bursts", "steady")  # noise is made, by mome.speech.noises
NO_RECORDINGS = "none"  # no folder of noise
NO_MODEL = "none"  # of faces
EMBEDDED = "embedded"  # a model that is taught here
PARAMS_FILE = "params.yaml"  # and no profile
_PROFILES = Path(__file__).parent / "profiles"

# A noise level in dB. Without noise it is None in Python and `clean` in the file and in a pipeline's
# arguments, which cannot hold a null.
SnrDb = Annotated[
    FiniteFloat | None,
    BeforeValidator(lambda value: None if value == "clean" else value),
    PlainSerializer(lambda value: "clean" if value is None else value, when_used="json"),
]


AudioPadding = Literal["none", "30s"]
Augmentation = Literal["llama-avsr", "cached-lips", "varied-lips"]
Compression = Literal["average", "stack"]
Device = Annotated[str, Field(pattern=r"^(cpu|cuda(:\d+)?)$")]
PositiveFloat = Annotated[FiniteFloat, Field(gt=0)]
# How a corpus writes its texts: as they are, or in the words in which they are read aloud.
TextForm = Literal["as-is", "spoken"]
Share = Annotated[FiniteFloat, Field(gt=0, le=1)]


def noise_sources(setting: str) -> tuple[str, ...]:
    """Return what a setting ``noise`` names: one source, or several with `` + `` between them.

    Each utterance is heard in one of them, drawn anew whenever it is heard.

    Raises:
        ValueError: If one of several has no name, or is named twice.
    """
    sources = tuple(source.strip() for source in setting.split(" + "))
    if not all(sources) or len(set(sources)) < len(sources):
        raise ValueError(f"noise is {setting!r}; expected different sources with ' + ' between them")
    return sources


def _checked_sources(setting: str) -> str:
    return " + ".join(noise_sources(setting))


NoiseSources = Annotated[str, Field(min_length=1), AfterValidator(_checked_sources)]


class Section(BaseModel):
    """Base of every section: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Section)
# Of the products in training; weights stay in float32. What `auto` becomes mome.machine.processor says.
Precision = Literal["auto", "float32", "bfloat16"]
Sharding = Literal["none", "full"]
Threads = Annotated[int, Field(gt=0)] | Literal["auto"]


class PrepareParams(Section):
    """Corpus in, shards and manifest out."""

    seed: int
    train_utterances: int = Field(gt=0)  # of the embedded corpus and of sentences built from single words
    validation_utterances: int = Field(gt=0)
    test_utterances: int = Field(gt=0)
    utterances_per_shard: int = Field(gt=0)
    text: TextForm
    # Models that find the mouth, by path; without any, OpenCV's cascade does.
    face_detector: str = NO_MODEL
    face_landmarks: str = NO_MODEL


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
    max_offset_frames: int = Field(ge=0)  # of 40 ms, by which sound may come before or after the lips
    min_offset_confidence: FiniteFloat = Field(ge=0, le=1)  # less sure, an offset is not judged
    min_speaker_confidence: FiniteFloat = Field(ge=0, le=1)  # less sure, the sound may be of another mouth
    max_unusable_share: FiniteFloat = Field(ge=0, lt=1)  # more of them stop the run
    min_snr_db: FiniteFloat
    alphabet: str = Field(min_length=1)  # of transcripts: lower case, a space between words
    min_utterances: dict[str, int]  # per split


class FoundationParams(Section):
    """The frozen encoders and LLM: each either embedded, taught here in minutes, or taken from elsewhere."""

    audio: str  # embedded, a folder, or name@revision of a Whisper on a hub
    video: str  # embedded, or an AV-HuBERT: a converted folder or the published checkpoint file
    llm: str  # embedded, a folder, or name@revision of a causal LLM on a hub
    seed: int
    threads: Threads  # what follows is for those that are taught
    precision: Precision
    utterances: int = Field(gt=0)
    audio_steps: int = Field(gt=0)
    video_steps: int = Field(gt=0)
    language_steps: int = Field(gt=0)


class TrainParams(Section):
    """Fine-tuning of one of the methods of `mome.methods`."""

    seed: int
    device: Device
    threads: Threads
    precision: Precision
    method: MethodName
    scales: list[ScaleText] = Field(min_length=1)
    task_weights: dict[Modality, PositiveFloat] = Field(min_length=1)  # what is trained, factor on its loss
    compression: Compression
    projector_dim: int = Field(gt=0)  # width inside a projector
    adapter_init: Literal["normal", "zero_up"]  # as published; or starting at the LLM itself
    # Standard deviation of the adapters' start: the LLM's own initializer_range, as published; one that grows
    # as the LLM gets narrower (mome.model.adaptation.width_std); or a number. Checkpoints from before it was
    # a setting started with the first.
    init_std: Literal["llm", "width"] | PositiveFloat = "llm"
    num_experts: int = Field(gt=0)  # MoME: routed experts
    top_k: int | dict[ScaleText, int]  # MoME: kept per token, for all scales or for each
    num_shared_experts: int = Field(ge=0)  # MoME
    bottleneck_dim: int = Field(gt=0)  # MoME: width inside an expert
    load_balancing_weight: FiniteFloat = Field(ge=0)  # MoME and SMoP
    lora_rank: int = Field(gt=0)  # the other methods
    lora_scaling: FiniteFloat = Field(gt=0)  # factor on LoRA's output, not alpha
    num_projectors: int = Field(gt=0)  # SMoP: in each mixture
    projector_top_k: int = Field(gt=0)  # SMoP
    z_loss_weight: FiniteFloat = Field(ge=0)  # SMoP
    audio_lora_rank: int = Field(ge=0)  # beside the audio encoder's layers; 0 leaves it as it is
    video_lora_rank: int = Field(ge=0)  # likewise; more than 0 encodes the lips anew in every step
    # That teach the encoders themselves the corpus's voices and lips, before all else; 0 leaves them as they
    # are, as do checkpoints from before it was a setting. Of audio encoders only the embedded one is taught.
    audio_steps: int = Field(default=0, ge=0)
    video_steps: int = Field(default=0, ge=0)
    audio_padding: AudioPadding  # silence up to 30 s behind every clip, as published; or none, much faster
    # As published; with lips that are encoded once; or with lips that look different in every step, for a
    # video encoder that was taught these very clips.
    augmentation: Augmentation
    # Share of the words before which, in a step, another recording of the same speaker goes on, where sound
    # tells when words are said: few texts are learnt by heart otherwise. 0, as before it was a setting: none.
    splicing: FiniteFloat = Field(default=0.0, ge=0, le=1)
    # Share of the utterances in whose place, where sound is read alone, a synthetic voice says words of the
    # corpus, in English: few talkers are learnt by heart otherwise. 0, as before it was a setting: none.
    synthetic_voices: FiniteFloat = Field(default=0.0, ge=0, le=1)
    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)  # sequences of a step: an utterance is one per scale and rate
    batch_frames: int = Field(ge=0)  # video frames (40 ms) of a step instead, over all processes; 0 for none
    pass_tokens: int = Field(gt=0)  # most that the LLM reads at once: with them grows the memory of a step
    loading_processes: int = Field(ge=0)  # beside each, that prepare coming steps' clips; 0: in the step
    learning_rate: FiniteFloat = Field(gt=0)
    warm_up: FiniteFloat = Field(ge=0, lt=1)  # share of the steps
    weight_decay: FiniteFloat = Field(ge=0)
    max_grad_norm: FiniteFloat = Field(gt=0)
    noise: (
        NoiseSources  # corpus: babble of other utterances; steady, bursts; or noise at 16 kHz, file or folder
    )
    noise_snrs_db: list[SnrDb] = Field(min_length=1)  # one is drawn whenever a clip is heard
    gradient_checkpointing: bool  # less memory, a third more time
    sharding: Sharding  # the frozen LLM's layers whole in each process, or a part of them in each
    checkpoint_every: int = Field(gt=0)  # steps; each time validation is read too
    keep: Literal["best", "last"]  # checkpoint by validation; or of the last step, as the papers do
    average_last: int = Field(gt=0)  # checkpoints that are averaged if the last is kept; 1 for that alone

    @model_validator(mode="after")
    def _fits(self) -> TrainParams:
        for top_k in [self.top_k] if isinstance(self.top_k, int) else self.top_k.values():
            if not 1 <= top_k <= self.num_experts:
                raise ValueError(f"top_k is {top_k}, but there are {self.num_experts} routed experts")
        if isinstance(self.top_k, dict) and set(self.top_k) != set(self.scales):
            raise ValueError(
                f"top_k is given for {', '.join(sorted(self.top_k))}, but scales are {', '.join(self.scales)}"
            )
        if self.projector_top_k > self.num_projectors:
            raise ValueError(
                f"projector_top_k is {self.projector_top_k}, but there are {self.num_projectors} projectors"
            )
        if METHODS[self.method].one_scale and len(self.scales) != 1:
            raise ValueError(
                f"{self.method} is trained for one scale, but scales are {', '.join(self.scales)}"
            )
        if self.keep == "best" and self.average_last != 1:
            raise ValueError(f"average_last is {self.average_last}, but keep: best takes one checkpoint")
        if self.video_steps and self.video_lora_rank:
            raise ValueError(
                f"video_steps is {self.video_steps} and video_lora_rank {self.video_lora_rank}; expected one "
                "of them: all of the video encoder is taught, or LoRA beside it"
            )
        if METHODS[self.method].sampled and (missing := self._missing_pairs()):
            raise ValueError(
                f"{self.method} draws an audio rate and a video rate, but of their pairs the scales lack "
                f"{', '.join(missing)}"
            )
        return self

    def _missing_pairs(self) -> list[str]:
        scales = [Scale.parse(text) for text in self.scales]
        pairs = {(audio.audio_rate, video.video_rate) for audio in scales for video in scales}
        return [str(Scale(*pair)) for pair in sorted(pairs) if Scale(*pair) not in scales]


class EvaluateParams(Section):
    """Word error rate for every modality, scale and noise level."""

    seed: int
    device: Device
    threads: Threads
    noise: NoiseSources  # babble: corpus, or a file or folder of it
    noises: dict[TestedNoise, Share]  # what is mixed in, and to which share of the clips
    recordings: str = Field(min_length=1)  # for "recorded": a folder of noise at 16 kHz; or none
    snrs_db: list[SnrDb] = Field(min_length=1)  # clean is heard once, and by all
    more_scales: list[ScaleText]  # judged besides train.scales, and served then, though never trained
    bootstrap_samples: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    max_new_tokens: MaxNewTokens  # most of a text; the service keeps to this and the next, too
    num_beams: int = Field(gt=0)  # 1 is greedy; nothing is ever sampled
    compile_decoding: bool  # see mome.model.captured_decoding

    @property
    def decoding(self) -> Decoding:
        """How texts are written, for the record."""
        return Decoding(num_beams=self.num_beams, max_new_tokens=self.max_new_tokens)

    @model_validator(mode="after")
    def _hears_babble(self) -> EvaluateParams:
        sources = noise_sources(self.noise)
        if len(sources) > 1 or sources[0] in MADE:
            raise ValueError(
                f"noise is {self.noise!r}, expected one source of babble; other noises stand in noises"
            )
        return self

    @model_validator(mode="after")
    def _has_recordings(self) -> EvaluateParams:
        if ("recorded" in self.noises) != (self.recordings != NO_RECORDINGS):
            raise ValueError(
                f"noises has {', '.join(self.noises)} and recordings is {self.recordings!r}; expected "
                "recorded among the noises and a folder of them, or neither"
            )
        return self

    @model_validator(mode="after")
    def _can_compile(self) -> EvaluateParams:
        if self.compile_decoding and self.device == "cpu":
            raise ValueError("compile_decoding needs device: cuda, and it is cpu")
        if self.compile_decoding and self.num_beams > 1:
            raise ValueError(f"compile_decoding decodes greedily, but num_beams is {self.num_beams}")
        return self


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
    max_wer: dict[Modality, Share] = Field(min_length=1)  # promised to callers, whatever the noise
    confidence: Share = Field(lt=1)  # with which the promise is to be kept
    cooldown_s: FiniteFloat = Field(ge=0)
    hysteresis_db: FiniteFloat = Field(ge=0)
    tolerance_db: FiniteFloat = Field(ge=0)  # noisier than all evaluated is what lies further below its clips
    max_age_s: FiniteFloat = Field(gt=0)  # older requests say nothing about now
    drift_p_value: FiniteFloat = Field(gt=0, lt=1)  # Kolmogorov-Smirnov
    run_length: int = Field(ge=100)  # requests between two false alarms of the test for a change
    max_latency_ms: FiniteFloat = Field(ge=0)  # promised to 95 of 100 callers; 0: load is not looked at
    spend: Literal["least", "spare"]  # tokens: never more than the promise asks for, or while there is room

    @property
    def promise(self) -> Promise:
        """What callers are promised."""
        return Promise(max_wer=self.max_wer, confidence=self.confidence)

    @model_validator(mode="after")
    def _sees_load(self) -> MonitorParams:
        if self.spend == "spare" and not self.max_latency_ms:
            raise ValueError(
                "spend is spare and max_latency_ms 0: without a promise on latency nothing is ever saved"
            )
        return self


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


def load_params(path: Path = Path("params.yaml"), profile: str | None = None) -> Params:
    """Read and check ``params.yaml``.

    Args:
        path: Of the file.
        profile: Name of one of ``mome/profiles``: its sections stand in for those of the file.

    Raises:
        ConfigError: If the file or profile is missing, is not YAML, or holds an unknown key, a missing
            key or a value of the wrong type; the message names each.
    """
    content = _read(path)
    if profile is None:
        return _validated(Params, content, str(path))
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected sections, got {type(content).__name__}")
    return _validated(Params, with_profile(content, profile), f"{path} with profile {profile}")


def profiles() -> list[str]:
    """Return the names of all profiles."""
    return sorted(path.stem for path in _PROFILES.glob("*.yaml"))


def with_profile(sections: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """Return sections, unchecked, with those of a profile in place of their own.

    Args:
        sections: Of ``params.yaml``.
        profile: Its name; `PARAMS_FILE` for none.

    Raises:
        ConfigError: If there is no such profile.
    """
    return dict(sections) | ({} if profile == PARAMS_FILE else load_profile(profile))


def load_profile(name: str) -> dict[str, Any]:
    """Return the sections of a profile, unchecked.

    Raises:
        ConfigError: If there is no such profile.
    """
    if name not in profiles():
        raise ConfigError(f"profile {name!r}: unknown; there are {', '.join(profiles())}")
    sections: dict[str, Any] = _read(_PROFILES / f"{name}.yaml")
    return sections


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error


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
