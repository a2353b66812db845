"""The expectations, in code: what must hold before anyone trains, what one should know, what is good to know.

``critical`` stops the run; where it is about single recordings, a few that break it are set aside, and more
of them stop it (``mostly``, in Great Expectations). ``warning`` and ``info`` are reported and stop nothing.
The ``sentence`` in the meta data of an expectation says what is wrong with one recording; the value found
goes into its ``{}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from data.probe import CorpusFacts
from mome.config import ValidateParams
from mome.speech.audio import SAMPLING_RATE

if TYPE_CHECKING:
    from great_expectations.expectations.expectation import ColumnMapExpectation, Expectation

__all__ = ["split_expectations", "utterance_expectations"]

Severity = Literal["critical", "warning", "info"]


def utterance_expectations(params: ValidateParams, facts: CorpusFacts) -> list[Expectation]:
    """Return the expectations on the columns of `probe_utterances`."""
    checks = [*_text(params), *_sound(params)]
    if facts.has_video:
        checks += _picture(params)
    if not params.allow_mixed_rates:
        checks += _one_rate(facts)
    for check in checks:
        if check.severity == "critical":
            check.mostly = 1.0 - params.max_unusable_share
            check.meta = {**(check.meta or {}), "sets_aside": True}
    return [*_splits(facts), *checks]


def split_expectations(params: ValidateParams) -> list[Expectation]:
    """Return the expectations on the columns of `probe_splits`."""
    most = params.max_unusable_share
    few = _between(
        "critical",
        "few_unusable",
        f"At most {most:.2%} of the recordings cannot be used",
        "unusable_share",
        f"a share of {{}} of the recordings cannot be used, expected at most {most:g}",
        maximum=most,
    )
    enough = [
        _between(
            "critical",
            f"enough_{split}",
            f"At least {minimum} usable recordings for {split}",
            f"{split}_utterances",
            f"usable recordings for {split}: {{}}, expected at least {minimum}",
            minimum=minimum,
        )
        for split, minimum in params.min_utterances.items()
    ]
    return [few, *enough]


def _text(params: ValidateParams) -> list[ColumnMapExpectation]:
    from great_expectations.expectations.core.expect_column_value_lengths_to_be_between import (
        ExpectColumnValueLengthsToBeBetween,
    )
    from great_expectations.expectations.metadata_types import FailureSeverity

    letters = params.alphabet.replace(" ", "")
    return [
        ExpectColumnValueLengthsToBeBetween(
            column="transcript",
            min_value=1,
            severity=FailureSeverity.CRITICAL,
            description="Every recording has a transcript",
            meta={
                "name": "transcript_present",
                "sentence": "the transcript is empty, expected at least one word",
            },
        ),
        _equal(
            "critical",
            "transcript_in_alphabet",
            f"Transcripts are written with {letters} and spaces",
            "outside_alphabet",
            f"the transcript has {{}}, expected only {letters} and spaces",
            "",
        ),
    ]


def _splits(facts: CorpusFacts) -> list[ColumnMapExpectation]:
    """Return what is wrong with a corpus as a whole: nothing that a recording less would mend."""
    from great_expectations.expectations.core.expect_column_values_to_be_unique import (
        ExpectColumnValuesToBeUnique,
    )
    from great_expectations.expectations.metadata_types import FailureSeverity

    checks: list[ColumnMapExpectation] = [
        ExpectColumnValuesToBeUnique(
            column="utterance_id",
            severity=FailureSeverity.CRITICAL,
            description="No two recordings have the same id",
            meta={"name": "ids_unique", "sentence": "the id {} occurs more than once"},
        ),
        _between(
            "critical",
            "recording_in_one_split",
            "No recording occurs in two splits",
            "splits_of_recording",
            "the same recording is in {} splits, expected 1",
            maximum=1,
        ),
        _between(
            "warning",
            "recording_once",
            "No recording occurs twice",
            "copies_of_recording",
            "the same recording occurs {} times, expected once",
            maximum=1,
        ),
    ]
    if facts.speaker_disjoint:
        checks.append(
            _between(
                "critical",
                "speaker_in_one_split",
                "No speaker occurs in two splits, as the corpus promises",
                "splits_of_speaker",
                "the speaker occurs in {} splits, but the corpus says that its splits share no speaker",
                maximum=1,
            )
        )
    return checks


def _sound(params: ValidateParams) -> list[ColumnMapExpectation]:
    shortest, longest = params.min_duration_s, params.max_duration_s
    slowest, fastest = params.min_sampling_rate, params.max_sampling_rate
    return [
        _equal("critical", "decodable", "Every recording can be decoded", "not_decodable", "{}", ""),
        _equal("critical", "complete", "No file promises more than it holds", "not_complete", "{}", ""),
        _equal("critical", "finite", "Samples are numbers: no NaN, no infinity", "not_finite", "{}", ""),
        _between(
            "critical",
            "not_silent",
            f"Something is heard: a peak of at least {params.min_peak:g} of full scale",
            "peak",
            f"silent: its peak is {{}} of full scale, expected at least {params.min_peak:g}",
            minimum=params.min_peak,
        ),
        _between(
            "critical",
            "duration",
            f"Recordings last {shortest:g} to {longest:g} s",
            "duration_s",
            f"lasts {{}} s, expected {shortest:g} to {longest:g} s",
            minimum=shortest,
            maximum=longest,
        ),
        _between(
            "critical",
            "sampling_rate",
            f"Recordings are sampled at {slowest} to {fastest} Hz",
            "native_sampling_rate",
            f"sampled at {{}} Hz, expected {slowest} to {fastest} Hz",
            minimum=slowest,
            maximum=fastest,
        ),
        _between(
            "info",
            "wide_band",
            f"Recordings hold the whole band that the model hears: sampled at {SAMPLING_RATE} Hz or more",
            "native_sampling_rate",
            f"sampled at {{}} Hz, so nothing above half of that is heard; expected {SAMPLING_RATE} Hz",
            minimum=SAMPLING_RATE,
        ),
        _between(
            "warning",
            "clipping",
            f"At most {params.max_clipped_share:.0%} of the samples are at full scale",
            "clipped_share",
            f"a share of {{}} of its samples is clipped, expected at most {params.max_clipped_share:g}",
            maximum=params.max_clipped_share,
        ),
        _equal("warning", "speech_found", "Speech stands out of the background", "without_speech", "{}", ""),
        _between(
            "warning",
            "snr",
            f"Recordings are clean, {params.min_snr_db:g} dB or better; noise is added in training",
            "snr_db",
            f"estimated at {{}} dB, expected at least {params.min_snr_db:g} dB",
            minimum=params.min_snr_db,
        ),
    ]


def _picture(params: ValidateParams) -> list[ColumnMapExpectation]:
    slowest, fastest = params.min_fps, params.max_fps
    gap_s, found = params.max_audio_video_gap_s, params.min_mouth_found_share
    apart, sure = params.max_offset_frames, params.min_offset_confidence
    speaker = params.min_speaker_confidence
    return [
        _equal(
            "critical",
            "video_present",
            "Every recording has video, since some have",
            "without_video",
            "{}, but other recordings of the corpus do",
            "",
        ),
        _between(
            "critical",
            "fps",
            f"Video has {slowest:g} to {fastest:g} frames per second",
            "native_fps",
            f"{{}} frames per second, expected {slowest:g} to {fastest:g}",
            minimum=slowest,
            maximum=fastest,
        ),
        _between(
            "critical",
            "audio_matches_video",
            f"Sound and video are equally long, within {gap_s:g} s",
            "audio_video_gap_s",
            f"sound and video differ by {{}} s, expected at most {gap_s:g} s",
            maximum=gap_s,
        ),
        _between(
            "critical",
            "mouth_found",
            f"The mouth is found in at least {found:.0%} of the frames",
            "mouth_found_share",
            f"the mouth was found in a share of {{}} of the frames, expected at least {found:g}",
            minimum=found,
        ),
        _between(
            "critical",
            "synchronous",
            f"Sound comes with the lips, {apart} frames of 40 ms off at most, if surely theirs ({sure:g})",
            "sure_offset_frames",
            f"the sound comes {{}} frames after the lips (below 0: before), expected {apart} at most",
            minimum=-apart,
            maximum=apart,
        ),
        _between(
            "warning",
            "one_speaker",
            f"The sound is of this mouth, with a confidence of at least {speaker:g}",
            "sync_confidence",
            f"that the sound is of this mouth has a confidence of {{}}, expected at least {speaker:g}",
            minimum=speaker,
        ),
    ]


def _one_rate(facts: CorpusFacts) -> list[ColumnMapExpectation]:
    """Return that all are recorded alike: one that is not was often converted, or is no original."""
    checks = [
        _equal(
            "critical",
            "one_sampling_rate",
            "All recordings have the same sampling rate",
            "native_sampling_rate",
            f"sampled at {{}} Hz, but most of the corpus at {facts.sampling_rate} Hz",
            facts.sampling_rate,
        )
    ]
    if facts.has_video:
        checks.append(
            _equal(
                "critical",
                "one_fps",
                "All recordings have the same frame rate",
                "native_fps",
                f"{{}} frames per second, but most of the corpus has {facts.fps:g}",
                facts.fps,
            )
        )
    return checks


def _equal(
    severity: Severity, name: str, description: str, column: str, sentence: str, value: object
) -> ColumnMapExpectation:
    from great_expectations.expectations.core.expect_column_values_to_be_in_set import (
        ExpectColumnValuesToBeInSet,
    )
    from great_expectations.expectations.metadata_types import FailureSeverity

    return ExpectColumnValuesToBeInSet(
        column=column,
        value_set=[value],
        severity=FailureSeverity(severity),
        description=description,
        meta={"name": name, "sentence": sentence},
    )


def _between(
    severity: Severity,
    name: str,
    description: str,
    column: str,
    sentence: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
) -> ColumnMapExpectation:
    from great_expectations.expectations.core.expect_column_values_to_be_between import (
        ExpectColumnValuesToBeBetween,
    )
    from great_expectations.expectations.metadata_types import FailureSeverity

    return ExpectColumnValuesToBeBetween(
        column=column,
        min_value=minimum,
        max_value=maximum,
        severity=FailureSeverity(severity),
        description=description,
        meta={"name": name, "sentence": sentence},
    )
