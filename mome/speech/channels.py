"""Several channels to the one that the model hears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Mono", "to_mono"]

Samples = npt.NDArray[np.float32]

_SILENT = 1e-4  # of the loudest channel's power, 40 dB below it: nobody speaks there
_OPPOSED = -0.25  # correlation; beyond it a channel is the other one turned round, and both would cancel
_SURROUND = (6, 8)  # channels of 5.1 and 7.1
_LOW_EFFECTS = 3  # place of the channel for rumble, in WAV, FLAC and FFmpeg alike


def to_mono(blocks: Sequence[Samples]) -> Samples:
    """Return one channel ``(N,)`` of a whole recording, as `Mono` mixes it.

    Args:
        blocks: Consecutive pieces ``(C, N)`` with the same number of channels.
    """
    return Mono().mix(blocks)


class Mono:
    """Takes the mean of the channels that hold something, each turned the way of the loudest.

    A plain mean makes silence of a recording whose one channel is inverted (a cable, a setting of the
    interface), and a sixth of a film's voice, which is in the centre channel alone. The subwoofer of 5.1
    and 7.1 is left out: no voice is in there. What a channel holds is judged by all that was heard of it.
    """

    def __init__(self) -> None:
        self._products: npt.NDArray[np.float64] | float = 0.0

    def mix(self, blocks: Sequence[Samples]) -> Samples:
        """Return the mean ``(N,)`` of what comes next, ``(C, N)`` each with the same number of channels."""
        if not blocks:
            return np.zeros(0, np.float32)
        if len(blocks[0]) in _SURROUND:
            blocks = [np.delete(block, _LOW_EFFECTS, axis=0) for block in blocks]
        if len(blocks[0]) == 1:
            return np.concatenate([block[0] for block in blocks])
        self._products = self._products + np.sum([_products(block) for block in blocks], axis=0)
        weights = _weights(np.asarray(self._products))
        # Channels without weight are not multiplied by zero: what is no number in there stays out.
        used = np.flatnonzero(weights)
        return np.concatenate([weights[used] @ block[used] for block in blocks])


def _products(block: Samples) -> npt.NDArray[np.float64]:
    """Return the product of each two channels, summed over time ``(C, C)``; what is no number is silence."""
    finite = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(finite @ finite.T, dtype=np.float64)


def _weights(products: npt.NDArray[np.float64]) -> Samples:
    power = np.diag(products)
    loudest = int(power.argmax())
    if power[loudest] <= 0.0:
        return np.full(len(power), 1 / len(power), np.float32)
    active = power > _SILENT * power[loudest]
    correlation = products[loudest] / np.sqrt(np.maximum(power, 1e-30) * power[loudest])
    signs = np.where(correlation < _OPPOSED, -1.0, 1.0)
    return np.asarray(signs * active / active.sum(), dtype=np.float32)
