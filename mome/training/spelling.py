"""What an encoder is taught on a corpus of one's own: to spell what is said, and to name it in every frame.

Spelling (CTC) needs no times; naming does, and the sound tells them: it tells an encoder what CTC alone would
have to find out.
"""

# Shape letters: B batch, T frames of the encoder, D its width, K classes.

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, ctc_loss
from torch.nn.utils.rnn import pad_sequence

from mome.config import TrainParams
from mome.training.spoken import Spoken

__all__ = ["FRAMES", "MATRIX_RATE", "NO_LABEL", "RATE", "Spelling"]

FRAMES = 1200  # of 40 ms, in a step
MATRIX_RATE, RATE = 1e-2, 2e-3  # highest learning rates, as of the lessons of the foundation
NO_LABEL = -100


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
    known_BT = pad_sequence(list(labels), batch_first=True, padding_value=NO_LABEL)
    labels_BT = torch.full(named_BTK.shape[:2], NO_LABEL)
    labels_BT[:, : known_BT.shape[1]] = known_BT[:, : labels_BT.shape[1]]
    return cross_entropy(
        named_BTK.flatten(0, 1), labels_BT.flatten().to(named_BTK.device), ignore_index=NO_LABEL
    )
