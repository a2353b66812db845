"""What a token is, and which experts it chose: counted by modality, rate, phoneme and noise."""

# Shape letters: T frames, then tokens; N positions of a batch, V values of a factor, L layers, E experts.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mome.evaluation.routing.phonemes import MANNERS
from mome.model.avsr import AVSRModel, Features, Task
from mome.progress import progress
from mome.scales import Scale

__all__ = ["TOKEN_KINDS", "Counts", "HeardClip", "count_by_factor"]

TOKEN_KINDS = ("mark", "sound", "lips", "prompt", "text")
_MARK, _SOUND, _LIPS, _PROMPT, _TEXT = range(len(TOKEN_KINDS))
_UNKNOWN = -1

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class HeardClip:
    """A clip at one noise level, and what is known of its frames.

    Args:
        features: Of the encoders.
        text: What is said, in tokens of the LLM.
        noise: Column of the word error table.
        audio_manners_T, video_manners_T: Index into `MANNERS` of each frame of sound and lips; None where
            nobody knows when what is said.
    """

    features: Features
    text: Sequence[int]
    noise: str
    audio_manners_T: Labels | None
    video_manners_T: Labels | None


@dataclass(frozen=True)
class Counts:
    """How often tokens of each value of a factor chose each expert.

    Args:
        factor: What tokens differ in.
        tokens: Which of them were looked at.
        values: Of the factor.
        tokens_V: How many tokens have each value.
        chosen_VLE: How many selections of each layer went to each expert.
    """

    factor: str
    tokens: str
    values: tuple[str, ...]
    tokens_V: NDArray[np.int64]
    chosen_VLE: NDArray[np.float64]


@torch.inference_mode()
def count_by_factor(
    model: AVSRModel, clips: Sequence[HeardClip], scales: Sequence[Scale], batch_size: int
) -> list[Counts]:
    """Read every clip with its text at every scale, and count experts by what the tokens are.

    Every value of a factor meets the same values of the others: the clips of one noise level are those of
    another. Factors with a single value are left out.

    Args:
        model: With routed experts.
        clips: At least one.
        scales: To read them at.
        batch_size: Clips per pass.
    """
    noises = tuple(dict.fromkeys(clip.noise for clip in clips))
    audio_rates = tuple(sorted({scale.audio_rate for scale in scales}))
    video_rates = tuple(sorted({scale.video_rate for scale in scales}))
    factors = (
        ("modality", "all", TOKEN_KINDS),
        ("audio rate", "sound", tuple(f"a{rate}" for rate in audio_rates)),
        ("video rate", "lips", tuple(f"v{rate}" for rate in video_rates)),
        ("phoneme heard", "sound", MANNERS),
        ("phoneme seen", "lips", MANNERS),
        ("noise", "sound", noises),
    )
    tokens = [np.zeros(len(values), np.int64) for *_, values in factors]
    chosen: list[NDArray[np.float64] | None] = [None] * len(factors)
    work = [
        (scale, clips[start : start + batch_size])
        for scale in scales
        for start in range(0, len(clips), batch_size)
    ]
    for scale, batch in progress(work, "count experts by what tokens are"):
        labels = [_labels(model, clip, scale, noises, audio_rates, video_rates) for clip in batch]
        chosen_LNE = _chosen(model, [Task(clip.features, scale, clip.text) for clip in batch])
        for number, (*_, values) in enumerate(factors):
            rows_BL = _padded([each[number] for each in labels], chosen_LNE.shape[1] // len(batch))
            is_VN = rows_BL.reshape(-1) == np.arange(len(values))[:, None]
            counted_VLE = np.einsum("vn,lne->vle", is_VN.astype(np.float64), chosen_LNE)
            tokens[number] += is_VN.sum(axis=1)
            before = chosen[number]
            chosen[number] = counted_VLE if before is None else before + counted_VLE
    found = []
    for (factor, which, values), tokens_V, chosen_VLE in zip(factors, tokens, chosen, strict=True):
        seen_V = tokens_V > 0
        if seen_V.sum() > 1 and chosen_VLE is not None:
            names = tuple(value for value, seen in zip(values, seen_V, strict=True) if seen)
            found.append(Counts(factor, which, names, tokens_V[seen_V], chosen_VLE[seen_V]))
    return found


def _chosen(model: AVSRModel, tasks: Sequence[Task]) -> NDArray[np.float64]:
    """Return which experts each position chose ``(L, N, E)``; each clip is one row, in the order given."""
    # Rows of tasks that share nothing come as they are given: `AVSRModel.rows`.
    model(tasks)
    routings = model.llm.base_model.routings()
    chosen: NDArray[np.float64] = torch.stack([each.chosen_NE.double() for each in routings]).cpu().numpy()
    return chosen


def _labels(
    model: AVSRModel,
    clip: HeardClip,
    scale: Scale,
    noises: Sequence[str],
    audio_rates: Sequence[int],
    video_rates: Sequence[int],
) -> list[Labels]:
    """Return the value of every factor at each position of a clip, in the order of the factors."""
    sound = _manners(clip.features.audio_TC, clip.audio_manners_T, scale.audio_rate)
    lips = _manners(clip.features.video_TC, clip.video_manners_T, scale.video_rate)
    kinds = [] if model.tokens.bos_id is None else [_MARK]
    for there, kind in ((sound, _SOUND), (lips, _LIPS)):
        if there is not None:
            kinds += [_MARK, *[kind] * len(there), _MARK]
    kinds += [_PROMPT] * len(model.tokens.prompt(clip.features.modality)) + [_TEXT] * len(clip.text)
    kinds_N = np.array(kinds)
    is_sound_N, is_lips_N = kinds_N == _SOUND, kinds_N == _LIPS

    def only(chosen_N: NDArray[np.bool_], value: int | Labels | None) -> Labels:
        labels_N = np.full(len(kinds_N), _UNKNOWN)
        if value is not None:
            labels_N[chosen_N] = value
        return labels_N

    return [
        kinds_N,
        only(is_sound_N, audio_rates.index(scale.audio_rate)),
        only(is_lips_N, video_rates.index(scale.video_rate)),
        only(is_sound_N, sound),
        only(is_lips_N, lips),
        only(is_sound_N, noises.index(clip.noise)),
    ]


def _manners(frames_TC: torch.Tensor | None, manners_T: Labels | None, rate: int) -> Labels | None:
    """Return what most frames of each token hold, unknown where nobody knows; None without such frames."""
    if frames_TC is None:
        return None
    count = len(frames_TC) // rate
    if manners_T is None:
        return np.full(count, _UNKNOWN)
    pooled = manners_T[: count * rate].reshape(count, rate)
    votes = (pooled[:, :, None] == np.arange(len(MANNERS))).sum(axis=1)
    most: Labels = votes.argmax(axis=1)
    return most


def _padded(rows: Sequence[Labels], length: int) -> Labels:
    return np.stack([np.pad(row, (0, length - len(row)), constant_values=_UNKNOWN) for row in rows])
