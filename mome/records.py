"""What two folders must agree on: one typed record per artefact that crosses a border.

Every record is frozen and refuses unknown fields. Records are stored as JSON or as one JSON object
per line; the parquet manifest has one ``Utterance`` per row.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from mome.errors import MomeError
from mome.scales import Scale
from mome.storage import write_text

__all__ = [
    "ESTIMATOR",
    "MODALITY_NAMES",
    "CheckedEstimate",
    "ChosenBy",
    "Condition",
    "Decoding",
    "ErrorCurve",
    "Evaluation",
    "ExpectationResult",
    "GateDecision",
    "Latency",
    "Load",
    "MaxNewTokens",
    "Modality",
    "NoiseKind",
    "PlayedRequest",
    "Promise",
    "Record",
    "Rehearsal",
    "RequestCounts",
    "RequestRecord",
    "RetrainRequest",
    "ScaleDecision",
    "ScaleText",
    "SetAside",
    "Spending",
    "Split",
    "Switch",
    "TestedNoise",
    "Utterance",
    "ValidationReport",
    "WerCalibration",
    "WordErrors",
    "condition_key",
    "condition_order",
    "estimate_column",
    "faults",
    "level",
    "snr_key",
]

Split = Literal["train", "validation", "test"]
Modality = Literal["audio", "video", "av"]
NoiseKind = Literal["babble", "steady", "bursts", "none"]  # as the estimator names it
TestedNoise = Literal["babble", "steady", "bursts", "recorded"]  # as evaluation mixes it in
# Of the scales that keep the promise: the one of fewest tokens, or the finest, with tokens that are to spare.
Spending = Literal["cheapest", "finest"]
ChosenBy = Literal["caller", "published", "auto"]  # who chose the scale of a request
# Of `mome.speech.noise_estimate`, to be raised with its weights: measurements of two are not comparable.
# Here, for who only compares records opens no recording.
ESTIMATOR = "network-2"
MODALITY_NAMES: dict[Modality, str] = {  # as people read them, the richest first
    "av": "sound and lips",
    "audio": "sound alone",
    "video": "lips alone",
}
MaxNewTokens = Annotated[int, Field(gt=0)] | Literal["by_duration"]
ScaleText = Annotated[str, AfterValidator(lambda text: str(Scale.parse(text)))]
Moment = Annotated[
    datetime, PlainSerializer(lambda moment: moment.astimezone(UTC).isoformat(timespec="milliseconds"))
]


_LEAST_TOKENS, _TOKENS_PER_S = 16, 16


def snr_key(snr_db: float | None) -> str:
    """Return the table key of a noise level: ``clean``, ``10``, ``-5`` ..."""
    return "clean" if snr_db is None else f"{snr_db:g}"


def condition_key(noise: TestedNoise | None, snr_db: float | None) -> str:
    """Return the table key of an evaluated noise: ``clean``, ``babble_10``, ``steady_-5`` ..."""
    return snr_key(None) if noise is None or snr_db is None else f"{noise}_{snr_key(snr_db)}"


def level(key: str) -> str:
    """Return a noise level or a column of the table in words: ``clean``, ``5 dB``, ``babble 5 dB``."""
    return key if key == snr_key(None) else f"{key.replace('_', ' ')} dB"


def condition_order(key: str) -> tuple[int, float]:
    """Return what columns of the table are sorted by: clean, then noise by noise from faint to loud."""
    if key == snr_key(None):
        return -1, 0.0
    noise, _, snr_db = key.rpartition("_")
    noises: tuple[str, ...] = get_args(TestedNoise)
    return noises.index(noise) if noise in noises else len(noises), -float(snr_db)


def estimate_column(modality: Modality, scale: ScaleText) -> str:
    """Return the column of the drift baseline that has the estimated word error rates of a scale."""
    return f"estimated_wer_{modality}_{scale}"


def faults(error: ValidationError) -> str:
    """Return what of a record is wrong, in one line: it becomes the last one of a log."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())


class Record(BaseModel):
    """Base of every record: a frozen value that is read and written whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the record from a JSON file.

        Raises:
            MomeError: If the file is missing or does not hold such a record.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise MomeError(f"{path}: no such file; expected a {cls.__name__} record") from None
        except ValidationError as error:
            raise MomeError(
                f"{path}: not a {cls.__name__} record: {faults(error)}; make it again with the stage that "
                "writes it"
            ) from error

    def write(self, path: Path) -> None:
        """Write the record to a JSON file, whole or not at all."""
        write_text(path, self.model_dump_json(indent=2) + "\n")


class Utterance(Record):
    """One recording of the manifest, with what was measured on it before any model saw it.

    A recording that cannot be used keeps its row: ``decodable`` is false and ``problem`` says why,
    so that validation can name it. Numbers that could not be measured are zero.
    """

    utterance_id: str
    split: Split
    speaker: str
    transcript: str  # lower case, single spaces
    shard: str  # file name of the tar under shards/; empty when not decodable
    decodable: bool
    problem: str  # empty when all is well, else one sentence
    has_video: bool
    duration_s: float  # of the audio after resampling
    num_samples: int  # at 16 kHz
    num_frames: int  # mouth frames at 25 fps; 0 without video
    native_sampling_rate: int  # Hz, as recorded
    native_fps: float  # frames per second as recorded; 0 without video
    audio_video_gap_s: float  # |audio length - video length|; 0 without video
    truncated: bool  # the file promises more than it holds
    finite: bool  # no NaN, no infinity
    peak: float  # largest absolute sample, full scale = 1
    rms_db: float  # dB full scale
    clipped_share: float  # of samples at full scale
    speech_share: float  # of frames that hold speech
    snr_db: float  # estimated, mome.speech.noise_estimate
    mouth_found_share: float  # of frames where the mouth was found; 1 for ready mouth video, 0 without video
    mouth_confidence: float = 0.0  # of the model in the faces that it found, 0 to 1; the cascade's share
    faces: int = 0  # seen for a quarter of the time or more; 1 for ready mouth video
    mouth_problem: str = ""  # what one should know of the mouth, in one sentence
    sync_offset_frames: int | None = None  # of 40 ms that sound comes after the lips; None: not measured
    sync_confidence: float | None = None  # that the sound is of this mouth, 0 to 1; None likewise


class ExpectationResult(Record):
    """One Great Expectations expectation and how it went."""

    name: str
    severity: Literal["critical", "warning", "info"]
    description: str
    passed: bool
    observed: str
    failing_utterances: list[str]


class SetAside(Record):
    """A recording that cannot be used, and why: no later step reads it."""

    utterance_id: str
    split: Split
    reasons: list[str]


class ValidationReport(Record):
    """What validation found; ``passed`` looks at critical expectations alone."""

    passed: bool
    corpus: str
    revision: str
    utterances: dict[str, int]  # per split
    hours: dict[str, FiniteFloat]  # per split
    set_aside: dict[str, int]  # per split, of the utterances: they cannot be used, and stop nothing
    results: list[ExpectationResult]

    def figures(self) -> dict[str, float]:
        """Return what a run comparison shows, flat: utterances and hours per split, what is wrong."""
        failed = sum(not result.passed for result in self.results)
        counts = {f"utterances_{split}": float(count) for split, count in self.utterances.items()}
        return (
            counts
            | {f"hours_{split}": hours for split, hours in self.hours.items()}
            | {"set_aside": float(sum(self.set_aside.values())), "failed": float(failed)}
        )


class WordErrors(Record):
    """Word errors of one condition with a bootstrap interval over utterances (95 %)."""

    errors: int = Field(ge=0)
    words: int = Field(gt=0)
    low: FiniteFloat  # word error rate, 0.03 = 3 %
    high: FiniteFloat

    @property
    def rate(self) -> float:
        """Word error rate: edits divided by reference words."""
        return self.errors / self.words


class Condition(Record):
    """One evaluated noise, and how its clips look to the noise estimator."""

    noise: TestedNoise | None  # what was mixed in, None = clean
    snr_db: float | None  # true level, None = clean
    estimated_snr_db: FiniteFloat  # median
    low: FiniteFloat  # 10th percentile
    high: FiniteFloat  # 90th percentile
    kinds: dict[NoiseKind, FiniteFloat]  # share of the clips by what the estimator calls their noise

    @property
    def key(self) -> str:
        """Its column in the word error table."""
        return condition_key(self.noise, self.snr_db)


class Decoding(Record):
    """How texts are written: the service does it as the evaluation did."""

    num_beams: int = Field(gt=0)  # 1 is greedy
    max_new_tokens: MaxNewTokens  # most of a text

    def budget(self, duration_s: float) -> int:
        """Return the most tokens of the text of a clip.

        By duration, they are more than anybody says: nobody speaks more than seven words a second, and
        no tokenizer of ours takes more than two or three tokens for a word. A text that needs more than
        this repeats itself.
        """
        if self.max_new_tokens == "by_duration":
            return _LEAST_TOKENS + math.ceil(_TOKENS_PER_S * duration_s)
        return self.max_new_tokens


class ErrorCurve(Record):
    """How the word error rate of one modality follows from the doubt of a text: `mome.estimated_wer`.

    Its log odds are ``offset + slope * log odds of the doubt``, and what the scale and the noise add.
    """

    offset: FiniteFloat
    slope: FiniteFloat = Field(ge=0)  # never falls: more doubt is never fewer errors
    scales: dict[ScaleText, FiniteFloat]
    noise: dict[str, FiniteFloat]  # by column of the table, for the share of it that a measurement has


class CheckedEstimate(Record):
    """An estimated word error rate beside the true one, of the test clips of one condition."""

    estimated: FiniteFloat
    true: FiniteFloat
    windows: int = Field(gt=0)  # of 100 clips, or one of all where there are fewer
    largest: FiniteFloat  # difference in one of them
    chance: FiniteFloat  # standard deviation that the errors of a window have whatever the estimate


class WerCalibration(Record):
    """How word errors are estimated without transcripts, and how well that went on the test split."""

    curves: dict[Modality, ErrorCurve]
    clips: int  # of validation, that the curves were fitted on
    checked: dict[Modality, dict[ScaleText, dict[str, CheckedEstimate]]]  # as the table

    def error(self, modality: Modality) -> float:
        """Return by how much an estimate of many requests errs: root mean square over the conditions."""
        found = [each for row in self.checked.get(modality, {}).values() for each in row.values()]
        squares = [(each.estimated - each.true) ** 2 for each in found]
        return math.sqrt(sum(squares) / len(squares)) if squares else 0.0


class Evaluation(Record):
    """The word error table and all that gate, service and monitoring derive from it.

    ``wer[modality][scale][condition_key]``; a modality that the corpus does not have is absent.
    ``conditions`` says how each evaluated noise looks to the noise estimator, so that a production
    measurement can be placed in the table. A table from before there were kinds is read as what it
    was: one of babble, measured by another estimator.
    """

    corpus: str
    revision: str
    modality: Modality  # the richest one that the corpus has: what gate and policy look at
    wer: dict[Modality, dict[ScaleText, dict[str, WordErrors]]]
    conditions: list[Condition]
    utterances: int
    hypotheses: str  # file name beside this record
    noise: dict[TestedNoise, str]  # where it came from: corpus, made, or the SHA-256 of what was mixed in
    estimator: str  # of the noise; measurements of two are not comparable
    decoding: Decoding | None = None  # None in a table from before it was kept
    # Nineteen of twenty utterances are not longer: what the model is known to read well, and about as long
    # as a long recording is cut. None in a table from before that was written down.
    utterance_s: FiniteFloat | None = None
    calibration: WerCalibration | None = None  # None without validation clips, or in an older table
    # Of the scales above, those that the model was never trained for: read by what was trained around them.
    untrained: tuple[ScaleText, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_babble_alone(cls, content: Any) -> Any:
        if not isinstance(content, dict) or "estimator" in content:
            return content
        return _with_kinds(content)

    def figures(self) -> dict[str, float]:
        """Return what a run comparison shows, flat: ``wer_a4v2_clean`` ... of the richest modality."""
        table = self.wer[self.modality]
        return {f"wer_{scale}_{snr}": cell.rate for scale, row in table.items() for snr, cell in row.items()}


def _with_kinds(content: dict[str, Any]) -> dict[str, Any]:
    """Return a table from before there were kinds, with babble named as what its noise was."""
    try:
        conditions = [
            condition | {"noise": None if condition["snr_db"] is None else "babble", "kinds": {}}
            for condition in content["conditions"]
        ]
        wer = {
            modality: {
                scale: {key if key == snr_key(None) else f"babble_{key}": cell for key, cell in row.items()}
                for scale, row in rows.items()
            }
            for modality, rows in content["wer"].items()
        }
    except (AttributeError, KeyError, TypeError):  # no such table either: the fields say what is wrong
        return content
    noise = {"babble": content.get("noise", "corpus")}
    return content | {"conditions": conditions, "wer": wer, "noise": noise, "estimator": "wada"}


class GateDecision(Record):
    """Pass or fail, with one line per check."""

    passed: bool
    reason: str
    checks: list[str]
    max_wer: dict[ScaleText, FiniteFloat]  # the budget, clean; travels into the bundle


class Promise(Record):
    """What callers are promised: word errors, whatever the noise."""

    max_wer: dict[Modality, FiniteFloat]  # 0.03 = 3 %
    confidence: FiniteFloat = Field(gt=0, lt=1)  # with which it is kept


class Load(Record):
    """How busy the service was in the last seconds before a decision; recordings read at once count."""

    requests: int  # answered
    refused: int  # with status 429
    p95_ms: FiniteFloat | None  # from the body in memory to the last word; None without requests
    waited_p95_ms: FiniteFloat | None  # of that, before the model began
    speech_s_per_s: FiniteFloat  # seconds of recordings that were answered in a second
    arriving_s_per_s: FiniteFloat | None = None  # that came in a second; None if too few have come to tell
    busy: bool  # too much for the promise on latency, at the finest scale that keeps that on words
    since: Moment | None = None  # when that last became true or false; None if it never was
    carried: FiniteFloat | None = None  # the lesser of both when it became too much


class RequestRecord(Record):
    """One served request, as features: no audio, no transcript."""

    request_id: str
    at: Moment
    scale: ScaleText
    modality: Modality
    duration_s: FiniteFloat
    latency_ms: FiniteFloat
    snr_db: FiniteFloat | None  # estimated on the raw signal; None without speech
    snr_confident: bool
    noise_kind: NoiseKind | None  # None without speech
    noise_confidence: FiniteFloat  # probability of that kind
    level_db: FiniteFloat
    speech_share: FiniteFloat
    mouth_sharpness: FiniteFloat | None  # None without video
    status: int  # HTTP
    # Word error rate, from the decoder's own probabilities; None without words or a calibration.
    estimated_wer: FiniteFloat | None = None
    chosen_by: ChosenBy = "published"  # who chose its scale
    waited_ms: FiniteFloat | None = None  # before the model began; None for long recordings and live ones
    refused: int = 0  # requests that its worker refused (429) since its last line


class ScaleDecision(Record):
    """Which scale to serve from ``at`` on; written by monitoring, read by serving."""

    at: Moment
    scale: ScaleText
    previous: ScaleText | None
    switched: bool
    snr_db: FiniteFloat | None  # median of the window
    requests: int
    reason: str
    proposed: ScaleText | None = None  # what this look alone would serve; None = it saw too little to say
    drifted: tuple[str, ...] = ()  # features that differ from the baseline: evidence, never the cause
    noise: dict[str, FiniteFloat] = Field(default_factory=dict)  # share of each column of the table
    expected_wer: dict[ScaleText, FiniteFloat] = Field(default_factory=dict)  # in that noise
    max_wer: FiniteFloat | None = None  # promised
    keeps_promise: bool | None = None  # whether any scale is expected to; None = it saw too little to say
    changed_at: Moment | None = None  # first request after the last change of the noise
    rule: str = ""  # version of the rules
    estimated_wer: dict[ScaleText, FiniteFloat] = Field(default_factory=dict)  # of the window's requests
    as_expected: bool | None = None  # whether the table describes them; None = they are too few to say
    taken_back: ScaleText | None = None  # a coarser scale, as more words went wrong than were promised
    # What a service needs that chooses for each request by itself (`mome.scale_choice`).
    promise: Promise | None = None
    spending: Spending = "cheapest"
    allowed: tuple[ScaleText, ...] = ()  # scales that may be chosen; all of the table if none is named
    load: Load | None = None  # None where no latency is promised
    cause: Literal["noise", "load"] | None = None  # what asks for another scale than the one served before


class RetrainRequest(Record):
    """A wish for a new run, with the noise that it should learn."""

    at: Moment
    snr_low_db: FiniteFloat
    snr_high_db: FiniteFloat
    noise: str  # the kind that most of it is
    reason: str
    recordings: str = ""  # folder of such noise, where the operator names one


class Switch(Record):
    """One change of the served scale."""

    # "from" is what people read in a summary; Python keeps that word for itself.
    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    at: Moment
    from_scale: ScaleText = Field(alias="from")
    to_scale: ScaleText = Field(alias="to")
    snr_db: FiniteFloat | None  # median of the window that led to it
    reason: str


class PlayedRequest(Record):
    """One clip that the rehearsal sent; ``latency_ms`` is what the client waited."""

    number: int = Field(ge=1)  # in the order of sending
    phase: str
    utterance_id: str
    answered: bool
    scale: ScaleText | None  # that the service says it used; None when lost
    latency_ms: FiniteFloat
    snr_db: FiniteFloat | None  # as the service estimated it
    problem: str  # empty when answered, else what went wrong


class RequestCounts(Record):
    """How many clips were sent, answered and lost."""

    sent: int
    answered: int
    lost: int


class Latency(Record):
    """Client-side latency of the answered requests at one scale."""

    p50: FiniteFloat  # milliseconds
    p95: FiniteFloat
    requests: int


class Rehearsal(Record):
    """Held-out clips played to the packaged service: clean, noisy, clean again."""

    corpus: str
    revision: str
    snr_db: FiniteFloat  # true level of the noisy phase
    requests: RequestCounts
    switches: list[Switch]
    latency_ms: dict[ScaleText, Latency]
    wer: dict[str, WordErrors]  # per phase, of the answers; a phase without an answer is absent
    played: list[PlayedRequest]
    decisions: list[ScaleDecision]  # one per look of the monitor

    def figures(self) -> dict[str, float]:
        """Return what a run comparison shows, flat: requests, switches, median latency per scale."""
        counts = {f"requests_{name}": float(count) for name, count in self.requests.model_dump().items()}
        latency = {f"latency_ms_{scale}": latency.p50 for scale, latency in self.latency_ms.items()}
        return counts | {"switches": float(len(self.switches))} | latency
