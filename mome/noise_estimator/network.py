"""The network of the noise estimator as torch trains it; `mome.speech.noise_network` is the same in numpy."""

# Shape letters: B sounds, T frames, M bands, C channels, K taps, H hidden.

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mome.speech.noise_bands import NUM_BANDS, contrast
from mome.speech.noise_network import DILATIONS, MAX_RAW_SNR_DB, NETWORK_KINDS

__all__ = ["NoiseNetwork", "Outputs"]

_CHANNELS, _TAPS, _HIDDEN = 48, 5, 48


class Outputs(NamedTuple):
    """What the network says of a batch.

    Args:
        speech_BTM: Logit of the share of speech.
        raw_snr_db_B: Ratio of the sums that these shares split.
        snr_db_B: The same, corrected.
        log_variance_B: Of its error, in square decibels.
        kinds_BK: Logits.
    """

    speech_BTM: Tensor
    raw_snr_db_B: Tensor
    snr_db_B: Tensor
    log_variance_B: Tensor
    kinds_BK: Tensor


class NoiseNetwork(nn.Module):
    """Dilated convolutions over time, a share of speech per frame and band, and some numbers of the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv1d(
                NUM_BANDS if layer == 0 else _CHANNELS,
                _CHANNELS,
                _TAPS,
                padding=_TAPS // 2 * dilation,
                dilation=dilation,
            )
            for layer, dilation in enumerate(DILATIONS)
        )
        self.mask = nn.Linear(_CHANNELS, NUM_BANDS)
        self.inner = nn.Linear(2 * _CHANNELS + 3, _HIDDEN)
        self.outer = nn.Linear(_HIDDEN, 2 + len(NETWORK_KINDS))

    def forward(self, powers_BTM: Tensor) -> Outputs:
        """Listen to powers as `mome.speech.noise_bands` gives them."""
        seen_BTM = torch.from_numpy(contrast(powers_BTM.numpy()))
        hidden_BCT = F.relu(self.layers[0](seen_BTM.transpose(1, 2)))
        for layer in self.layers[1:]:
            hidden_BCT = hidden_BCT + F.relu(layer(hidden_BCT))
        hidden_BTC = hidden_BCT.transpose(1, 2)
        logit_BTM = self.mask(hidden_BTC)
        share_BTM = torch.sigmoid(logit_BTM)
        speech_B = (share_BTM * powers_BTM).sum((1, 2))
        noise_B = ((1 - share_BTM) * powers_BTM).sum((1, 2))
        raw_db_B = (10 * torch.log10((speech_B + 1e-30) / (noise_B + 1e-30))).clamp(
            -MAX_RAW_SNR_DB, MAX_RAW_SNR_DB
        )
        summary_BC = torch.cat(
            [
                hidden_BTC.mean(1),
                (hidden_BTC.var(1, unbiased=False) + 1e-4).sqrt(),
                seen_BTM.amin(1).mean(1, keepdim=True),
                seen_BTM.std(1, unbiased=False).mean(1, keepdim=True),
                raw_db_B[:, None] / 20,
            ],
            dim=1,
        )
        out_BK = self.outer(F.relu(self.inner(summary_BC)))
        return Outputs(logit_BTM, raw_db_B, raw_db_B + 10 * out_BK[:, 0], out_BK[:, 1], out_BK[:, 2:])
