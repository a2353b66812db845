"""What validation looks at: one column per question, so that built-in expectations can ask it.

A value that could not be measured is missing (NaN), and Great Expectations passes over missing values:
an undecodable recording fails one expectation, not fifteen. Numbers are float64 or int64: those alone it
compares by the column; of any other type, also float32, it asks for one value after the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mome.config import ValidateParams
from mome.speech.manifest_table import read_table
from mome.speech.text import composed, outside_alphabet

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

__all__ = ["CorpusFacts", "corpus_facts", "probe_splits", "probe_utterances", "read_frame"]

_MEASURED = ("duration_s", "native_sampling_rate", "peak", "clipped_share")
_MEASURED_ON_VIDEO = ("native_fps", "audio_video_gap_s", "mouth_found_share")
_FPS_DECIMALS = 2  # 29.97 and 29.970030 are the same rate

# What only copies share: figures over thousands of samples, equal to the last bit.
_CONTENT = ["num_samples", "num_frames", "rms_db", "peak", "snr_db"]
_FEW_VALUES = ["split", "speaker", "shard", "problem", "mouth_problem"]


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


def read_frame(dataset: Path) -> pd.DataFrame:
    """Read the manifest of a dataset folder, a row for each utterance; what occurs often is a categorical.

    Raises:
        CorpusError: If it is missing, is not parquet, or its rows are not utterances.
    """
    # self_destruct: each column is given back when pandas has it, so that the manifest is held once.
    frame: pd.DataFrame = read_table(dataset).to_pandas(
        categories=_FEW_VALUES, split_blocks=True, self_destruct=True, use_threads=False
    )
    return frame


def corpus_facts(manifest: pd.DataFrame, speaker_disjoint: bool) -> CorpusFacts:
    """Return what the recordings have in common."""
    rates = manifest["native_sampling_rate"][manifest["decodable"]]
    fps = manifest["native_fps"][manifest["has_video"]].round(_FPS_DECIMALS)
    return CorpusFacts(
        speaker_disjoint, bool(manifest["has_video"].any()), int(_commonest(rates)), float(_commonest(fps))
    )


def probe_utterances(manifest: pd.DataFrame, params: ValidateParams) -> pd.DataFrame:
    """Return one row per utterance, in order."""
    import numpy as np
    import pandas as pd

    decodable, has_video = manifest["decodable"], manifest["has_video"]
    problem = manifest["problem"].astype(object)
    known = frozenset(composed(params.alphabet))
    split = manifest["split"].cat.codes
    take = manifest.groupby(_CONTENT, sort=False).ngroup()
    # What cannot be decoded has no content, so it is nobody's copy.
    taken, split_taken = take[decodable], split[decodable]
    columns: dict[str, Any] = {
        "utterance_id": manifest["utterance_id"],
        "transcript": manifest["transcript"],
        "outside_alphabet": [
            "" if known.issuperset(text) else outside_alphabet(text, params.alphabet)
            for text in manifest["transcript"]
        ],
        "not_decodable": problem.where(~decodable, ""),
        "not_complete": problem.where(manifest["truncated"], ""),
        "not_finite": problem.where(~manifest["finite"], ""),
        "without_video": np.where(decodable & ~has_video, "has no video", "").astype(object),
        "splits_of_speaker": _splits_of(manifest["speaker"].cat.codes, split),
        "splits_of_recording": _splits_of(taken, split_taken).reindex(manifest.index),
        "copies_of_recording": taken.map(taken.value_counts()).reindex(manifest.index),
        "without_speech": np.where(
            decodable & (manifest["snr_db"] == 0), "no speech stands out of the background", ""
        ).astype(object),
        "snr_db": manifest["snr_db"].where(manifest["snr_db"] != 0),  # zero: could not be measured
    }
    columns |= {name: manifest[name].where(decodable) for name in _MEASURED}
    columns |= {name: manifest[name].where(has_video) for name in _MEASURED_ON_VIDEO}
    confidence = manifest["sync_confidence"].astype(float)
    columns["sync_confidence"] = confidence
    sure = confidence >= params.min_offset_confidence
    columns["sure_offset_frames"] = manifest["sync_offset_frames"].astype(float).where(sure)
    columns["native_fps"] = columns["native_fps"].round(_FPS_DECIMALS)
    sure = manifest["sync_confidence"] >= params.min_offset_confidence
    columns["sync_confidence"] = manifest["sync_confidence"]
    columns["sure_offset_frames"] = manifest["sync_offset_frames"].where(sure)
    return pd.DataFrame(columns)


def probe_splits(
    manifest: pd.DataFrame, unusable: npt.NDArray[np.bool_], params: ValidateParams, corpus: str
) -> pd.DataFrame:
    """Return one row with the number of usable utterances of every split, and the share of the others.

    Args:
        manifest: A row for each utterance.
        unusable: Whether it cannot be used, ``(N,)``.
        params: The splits that must be there.
        corpus: Its name.
    """
    import pandas as pd

    usable = manifest["split"][~unusable].value_counts()
    counts = {f"{split}_utterances": int(usable.get(split, 0)) for split in params.min_utterances}
    return pd.DataFrame([{"corpus": corpus, "unusable_share": float(unusable.mean()), **counts}])


def _splits_of(key: pd.Series[Any], split: pd.Series[Any]) -> pd.Series[Any]:
    """Return for each row in how many splits its key occurs."""
    import pandas as pd

    pairs = pd.DataFrame({"key": key, "split": split}).drop_duplicates()
    return key.map(pairs["key"].value_counts())


def _commonest(values: pd.Series[Any]) -> Any:
    """Return what occurs most often, of equals the first; 0 if there is nothing."""
    return values.value_counts(sort=False).idxmax() if len(values) else 0
