"""What validation looks at: one column per question, so that built-in expectations can ask it.

A value that could not be measured is missing (None), and Great Expectations passes over missing values:
an undecodable recording fails one expectation, not fifteen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mome.config import ValidateParams
from mome.records import Utterance
from mome.speech.text import outside_alphabet

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CorpusFacts", "corpus_facts", "probe_splits", "probe_utterances"]

_MEASURED = ("duration_s", "native_sampling_rate", "peak", "clipped_share")
_MEASURED_ON_VIDEO = ("native_fps", "audio_video_gap_s", "mouth_found_share")
_FPS_DECIMALS = 2  # 29.97 and 29.970030 are the same rate

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class CorpusFacts:
    """What holds for a corpus as a whole.

    Args:
        speaker_disjoint: It promises that no speaker occurs in two splits.
        has_video: Some recording has video, so all should.
        sampling_rate: The commonest one, Hz; 0 if nothing could be decoded.
        fps: The commonest one; 0 without video.
    """

    speaker_disjoint: bool
    has_video: bool
    sampling_rate: int
    fps: float


def corpus_facts(utterances: list[Utterance], speaker_disjoint: bool) -> CorpusFacts:
    """Return what the recordings have in common."""
    return CorpusFacts(
        speaker_disjoint,
        any(u.has_video for u in utterances),
        _commonest(u.native_sampling_rate for u in utterances if u.decodable) or 0,
        _commonest(round(u.native_fps, _FPS_DECIMALS) for u in utterances if u.has_video) or 0.0,
    )


def probe_utterances(utterances: list[Utterance], params: ValidateParams) -> pd.DataFrame:
    """Return one row per utterance, in order."""
    import pandas as pd

    splits_of_speaker = _splits(
        {u.speaker: set() for u in utterances}, [(u.speaker, u.split) for u in utterances]
    )
    takes = [(_content(u), u.split) for u in utterances if u.decodable]
    splits_of_content = _splits({content: set() for content, _ in takes}, takes)
    copies = Counter(content for content, _ in takes)

    rows = []
    for u in utterances:
        row: dict[str, object] = {
            "utterance_id": u.utterance_id,
            "transcript": u.transcript,
            "outside_alphabet": outside_alphabet(u.transcript, params.alphabet),
            "not_decodable": "" if u.decodable else u.problem,
            "not_complete": u.problem if u.truncated else "",
            "not_finite": "" if u.finite else u.problem,
            "without_video": "has no video" if u.decodable and not u.has_video else "",
            "splits_of_speaker": len(splits_of_speaker[u.speaker]),
            "splits_of_recording": len(splits_of_content[_content(u)]) if u.decodable else None,
            "copies_of_recording": copies[_content(u)] if u.decodable else None,
            "without_speech": "no speech stands out of the background"
            if u.decodable and not u.snr_db
            else "",
            "snr_db": u.snr_db or None,  # zero: could not be measured
        }
        row |= {name: getattr(u, name) if u.decodable else None for name in _MEASURED}
        row |= {name: getattr(u, name) if u.has_video else None for name in _MEASURED_ON_VIDEO}
        if u.has_video:
            row["native_fps"] = round(u.native_fps, _FPS_DECIMALS)
        row["sync_confidence"] = u.sync_confidence
        sure = u.sync_confidence is not None and u.sync_confidence >= params.min_offset_confidence
        row["sure_offset_frames"] = u.sync_offset_frames if sure else None
        rows.append(row)
    return pd.DataFrame(rows)


def probe_splits(
    utterances: list[Utterance], unusable: Container[str], params: ValidateParams, corpus: str
) -> pd.DataFrame:
    """Return one row with the number of usable utterances of every split, and the share of the others.

    Args:
        utterances: All of them.
        unusable: Ids of those that cannot be used.
        params: The splits that must be there.
        corpus: Its name.
    """
    import pandas as pd

    usable = Counter(str(u.split) for u in utterances if u.utterance_id not in unusable)
    counts = {f"{split}_utterances": usable[split] for split in params.min_utterances}
    share = (len(utterances) - usable.total()) / len(utterances)
    return pd.DataFrame([{"corpus": corpus, "unusable_share": share, **counts}])


def _content(utterance: Utterance) -> Hashable:
    """Return what only copies share: figures over thousands of samples, equal to the last bit."""
    return (utterance.num_samples, utterance.num_frames, utterance.rms_db, utterance.peak, utterance.snr_db)


def _splits(found: dict[K, set[str]], pairs: Iterable[tuple[K, str]]) -> dict[K, set[str]]:
    for key, split in pairs:
        found[key].add(split)
    return found


def _commonest(values: Iterable[K]) -> K | None:
    counted = Counter(values).most_common(1)
    return counted[0][0] if counted else None
