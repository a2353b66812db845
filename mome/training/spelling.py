"""What an encoder is taught on a corpus of one's own: to spell what is said, and to name it in every frame.

Spelling (CTC) needs no times; naming does, and the sound tells them: it tells an encoder what CTC alone would
have to find out.
"""

# Shape letters: B batch, T frames of the encoder, S those that are left, D its width, K classes.

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss
from torch.nn.utils.rnn import pad_sequence

from mome.alignment.path import Classes
from mome.config import TrainParams
from mome.errors import TrainingError
from mome.foundation.optimiser import Optimiser
from mome.foundation.side_by_side import Teaching
from mome.model.audio_encoder import AudioEncoder
from mome.model.precision import mixed_precision
from mome.model.video_encoder import VideoEncoder
from mome.training.batches import batches
from mome.training.clips import TrainingClips
from mome.training.prefetch import one_ahead
from mome.training.spoken import Spoken

__all__ = ["Batch", "Indices", "Spelling", "classes_at", "paced", "teach"]

_FRAMES = 1200  # of 40 ms, in a step
_MATRIX_RATE, _RATE = 1e-2, 2e-3  # highest learning rates, as of the lessons of the foundation
_NO_LABEL = -100

Indices = NDArray[np.int64]
# Of some clips: what the encoder is given of each, and the class of its every frame, empty where not known.
Batch = tuple[list[Tensor], list[Tensor]]


def teach(
    what: Literal["audio", "video"],
    encoder: AudioEncoder | VideoEncoder,
    clips: TrainingClips,
    spoken: Spoken | None,
    params: TrainParams,
    draw: Callable[[Sequence[int]], Batch],
) -> Teaching:
    """Train all of an encoder, step by step; returns its last loss.

    Args:
        what: Which encoder: it names the setting and the steps.
        encoder: To teach; it comes back frozen.
        clips: Of the training split.
        spoken: When their characters are said; None where no sound tells.
        params: Section ``train``.
        draw: Returns what a step is given of some clips.

    Raises:
        TrainingError: If the loss is not finite.
    """
    # Drawn now: others may be drawn before the first step.
    spelling = Spelling(encoder.width, clips.transcripts, spoken, params)
    return _steps(what, encoder, spelling, clips, params, draw)


def _steps(
    what: Literal["audio", "video"],
    encoder: AudioEncoder | VideoEncoder,
    spelling: Spelling,
    clips: TrainingClips,
    params: TrainParams,
    draw: Callable[[Sequence[int]], Batch],
) -> Teaching:
    steps = params.audio_steps if what == "audio" else params.video_steps
    encoder.train().requires_grad_(True)
    optimiser = Optimiser([encoder, spelling], steps=steps, matrix_rate=_MATRIX_RATE, rate=_RATE)
    loss = torch.zeros(())
    chosen = itertools.islice(batches(clips.num_frames.tolist(), 0, _FRAMES, params.seed), steps)
    for indices, (inputs, labels) in one_ahead((indices, draw(indices)) for indices in chosen):
        with mixed_precision(params.device, params.precision):
            features_BTD, lengths = encoder([each.to(params.device) for each in inputs])
            loss = spelling.loss(features_BTD, lengths, indices, labels)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss of the {what} encoder is {loss.item()}; set train.{what}_steps to 0"
            )
        optimiser.step(loss)
        yield
    encoder.eval().requires_grad_(False)
    return loss.item()


def paced(num_frames: int, pace: float) -> Indices:
    """Return which frames of a clip are those of one that is spoken ``pace`` times as fast ``(S,)``."""
    return ((np.arange(num_frames) + 0.5) * pace).astype(np.int64)


def classes_at(known_T: Classes | None, frames_S: Indices) -> Tensor:
    """Return the class of each of these frames ``(S,)``, behind the last one its; none where not known."""
    if known_T is None:
        return torch.empty(0, dtype=torch.long)
    return torch.from_numpy(known_T[np.minimum(frames_S, len(known_T) - 1)])


class Spelling(nn.Module):
    """Two heads on the features of an encoder, thrown away when it has learnt.

    Args:
        width: Of the features, ``D``.
        transcripts: Of all clips that it is taught with.
        spoken: When their characters are said; None where no sound tells.
        params: Section ``train``.
    """

    def __init__(
        self, width: int, transcripts: Sequence[str], spoken: Spoken | None, params: TrainParams
    ) -> None:
        super().__init__()
        characters = "".join(sorted(set("".join(transcripts))))
        self._texts = [torch.tensor([characters.index(c) + 1 for c in text]) for text in transcripts]
        # Drawn apart from all else, so that nothing else changes with it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(params.seed)
            self.speller = nn.Linear(width, len(characters) + 1)
            self.namer = nn.Linear(width, len(spoken.characters) + 1 if spoken else 1)
        self.to(params.device)

    def loss(
        self,
        features_BTD: Tensor,
        lengths: Sequence[int],
        indices: Sequence[int],
        labels: Sequence[Tensor],
    ) -> Tensor:
        """Return how badly features spell and name what is said.

        Args:
            features_BTD: Of clips.
            lengths: How many of the ``T`` frames each has.
            indices: Of the clips among the transcripts.
            labels: Class of every frame of each ``(T,)``; empty where it is not known.
        """
        spelt_BTK, named_BTK = self.speller(features_BTD), self.namer(features_BTD)
        spelt = _spelling(spelt_BTK.float(), lengths, [self._texts[index] for index in indices])
        return spelt + _naming(named_BTK.float(), labels)


def _spelling(spelt_BTK: Tensor, lengths: Sequence[int], texts: Sequence[Tensor]) -> Tensor:
    """Return the loss of writing the texts; a clip that is too short for its text has none."""
    return ctc_loss(
        spelt_BTK.log_softmax(-1).transpose(0, 1),
        torch.cat(list(texts)).to(spelt_BTK.device),
        torch.tensor(lengths),
        torch.tensor([len(text) for text in texts]),
        zero_infinity=True,
    )


def _naming(named_BTK: Tensor, labels: Sequence[Tensor]) -> Tensor:
    """Return the loss of naming what is said in each frame, zero if of no clip it is known."""
    if not any(map(len, labels)):
        return named_BTK.new_zeros(())
    known_BT = pad_sequence(list(labels), batch_first=True, padding_value=_NO_LABEL)
    labels_BT = torch.full(named_BTK.shape[:2], _NO_LABEL)
    labels_BT[:, : known_BT.shape[1]] = known_BT[:, : labels_BT.shape[1]]
    return cross_entropy(
        named_BTK.flatten(0, 1), labels_BT.flatten().to(named_BTK.device), ignore_index=_NO_LABEL
    )
