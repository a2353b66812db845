"""Teaches the video encoder itself to read the lips of the corpus, before anything reads its features.

The papers' AV-HuBERT had seen thousands of people (model facts 1.3) and may stay as it is; one that was
taught with drawn faces knows too little of real ones. It learns to spell what is said (CTC) and, where there
is sound, which character is said in every frame: the sound tells what CTC alone would have to find out.
"""

# Shape letters: B batch, T frames (25 Hz), S those that are left, H height, W width of a picture, K classes.

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss

from mome.config import TrainParams
from mome.errors import TrainingError
from mome.foundation.optimiser import Optimiser
from mome.model.precision import mixed_precision
from mome.model.video_encoder import VideoEncoder
from mome.progress import progress
from mome.scales import AUDIO_FRAMES_PER_SECOND, VIDEO_FRAMES_PER_SECOND
from mome.training.batches import batches
from mome.training.clips import PACE, TrainingClips
from mome.training.recordings import vary_lips
from mome.training.spoken import Spoken

__all__ = ["teach_lips"]

_FRAMES = 1200  # of a step
_MATRIX_RATE, _RATE = 1e-2, 2e-3  # highest learning rates, as of the lessons with drawn faces
_NO_LABEL = -100
_DRAWS = 3  # tells these draws from all others of the same seed

Frames = NDArray[np.uint8]
Indices = NDArray[np.int64]


def teach_lips(
    encoder: VideoEncoder, clips: TrainingClips, spoken: Spoken | None, params: TrainParams
) -> None:
    """Train all of the video encoder for ``params.video_steps``; what spells on its features is thrown away.

    Args:
        encoder: To teach; it comes back frozen.
        clips: Of the training split, with ``mouths``.
        spoken: When its characters are said, where the sound told; None without.
        params: Section ``train``.

    Raises:
        TrainingError: If the loss is not finite.
    """
    characters = "".join(sorted(set("".join(clips.transcripts))))
    texts = [torch.tensor([characters.index(c) + 1 for c in text]) for text in clips.transcripts]
    labels = {} if spoken is None else _labels(spoken)
    device = torch.device(params.device)
    # Drawn apart from all else, so that nothing else changes with it.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(params.seed)
        speller = nn.Linear(encoder.width, len(characters) + 1).to(device)
        namer = nn.Linear(encoder.width, len(spoken.characters) + 1 if spoken else 1).to(device)
    encoder.train().requires_grad_(True)
    optimiser = Optimiser(
        [encoder, speller, namer], steps=params.video_steps, matrix_rate=_MATRIX_RATE, rate=_RATE
    )
    drawn = batches(clips.num_frames.tolist(), 0, _FRAMES, params.seed)
    rng = np.random.default_rng([params.seed, _DRAWS])
    steps = range(params.video_steps)
    for _, indices in zip(progress(steps, "teach the video encoder"), drawn, strict=False):
        kept = [_paced(int(clips.num_frames[index]), rng) for index in indices]
        frames = [
            torch.from_numpy(vary_lips(_frames(clips, index)[kept_S], encoder.picture_side, rng)).to(device)
            for index, kept_S in zip(indices, kept, strict=True)
        ]
        with mixed_precision(params.device, params.precision):
            features_BTD, lengths = encoder(frames)
            spelt_BTK, named_BTK = speller(features_BTD).float(), namer(features_BTD).float()
        loss = _spelling(spelt_BTK, lengths, [texts[index] for index in indices])
        loss = loss + _naming(named_BTK, indices, kept, labels)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss of the video encoder is {loss.item()}; set train.video_steps to 0")
        optimiser.step(loss)
    encoder.eval().requires_grad_(False)


def _paced(num_frames: int, rng: np.random.Generator) -> Indices:
    """Return which frames show a clip spoken somewhat faster or slower ``(S,)``."""
    pace = rng.uniform(*PACE)
    kept_S = ((np.arange(max(1, int(num_frames / pace))) + 0.5) * pace).astype(np.int64)
    return np.minimum(kept_S, num_frames - 1)


def _frames(clips: TrainingClips, index: int) -> Frames:
    frames_THW = None if clips.mouths is None else clips.mouths.mouth(index)
    assert frames_THW is not None  # whoever teaches lips has them
    return frames_THW


def _labels(spoken: Spoken) -> dict[int, Tensor]:
    """Return the class of every video frame of the clips whose times are known: the one in its middle."""
    per_frame = AUDIO_FRAMES_PER_SECOND // VIDEO_FRAMES_PER_SECOND
    return {
        index: torch.from_numpy(classes_T[per_frame // 2 :: per_frame])
        for index, classes_T in zip(spoken.indices, spoken.classes, strict=True)
    }


def _spelling(spelt_BTK: Tensor, lengths: Sequence[int], texts: Sequence[Tensor]) -> Tensor:
    """Return the loss of writing the texts; a clip that is too short for its text has none."""
    return ctc_loss(
        spelt_BTK.log_softmax(-1).transpose(0, 1),
        torch.cat(list(texts)).to(spelt_BTK.device),
        torch.tensor(lengths),
        torch.tensor([len(text) for text in texts]),
        zero_infinity=True,
    )


def _naming(
    named_BTK: Tensor, indices: Sequence[int], kept: Sequence[Indices], labels: Mapping[int, Tensor]
) -> Tensor:
    """Return the loss of naming what is said in each frame, zero if of no clip it is known."""
    labels_BT = torch.full(named_BTK.shape[:2], _NO_LABEL)
    for place, (index, kept_S) in enumerate(zip(indices, kept, strict=True)):
        if (known_T := labels.get(index)) is not None:
            labels_BT[place, : len(kept_S)] = known_T[np.minimum(kept_S, len(known_T) - 1)]
    if (labels_BT == _NO_LABEL).all():
        return named_BTK.new_zeros(())
    return cross_entropy(
        named_BTK.flatten(0, 1), labels_BT.flatten().to(named_BTK.device), ignore_index=_NO_LABEL
    )
