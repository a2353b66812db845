"""Teach the noise estimator: make the sounds, train, write the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mome.machine.processor import use_threads
from mome.noise_estimator.lessons import NO_KIND, Batch, Sounds, make_sounds, mix
from mome.noise_estimator.network import NoiseNetwork, Outputs
from mome.noise_estimator.voices import make_talkers, recorded_talkers
from mome.numpy_weights import load_weights, save_weights
from mome.progress import progress

__all__ = ["run", "train"]

_BATCH_SIZE = 64
_LEARNING_RATE, _WEIGHT_DECAY, _WARM_UP = 3e-3, 1e-2, 0.1
_MAX_SNR_DB = 35.0  # beyond it nobody hears a difference
_TOLERANCE_DB = 3.0  # of the Huber loss: what is that wrong is not hopeless yet
_PEOPLE_PER_PIECE = 3


def run(
    output: Path,
    *,
    pieces: int,
    steps: int,
    seed: int,
    recordings: Sequence[Path] = (),
    start: Path | None = None,
) -> None:
    """Train and write the network.

    Args:
        output: Safetensors file to write.
        pieces: Of speech, 4 s each, and as many of noise and a half more.
        steps: Of training.
        seed: Of everything that is drawn.
        recordings: Folders of people's recordings; each is heard as often as the synthetic voices.
        start: Weights to go on from; none for new ones.

    Raises:
        ConfigError: If a folder holds no speech.
        MediaError: If a recording cannot be decoded.
    """
    use_threads("auto")
    people = [recorded_talkers(folder) for folder in recordings]
    sounds = make_sounds([make_talkers(pieces // _PEOPLE_PER_PIECE, seed), *people], pieces, seed)
    begun = None if start is None else load_weights(NoiseNetwork(), start)
    save_weights(train(sounds, steps, seed, begun), output)


def train(sounds: Sounds, steps: int, seed: int, start: NoiseNetwork | None = None) -> NoiseNetwork:
    """Return a network that was trained on these sounds, mixed anew in every step; new without ``start``."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = (start or NoiseNetwork()).train()
    optimiser = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LEARNING_RATE, total_steps=steps, pct_start=_WARM_UP
    )
    for batch in progress(_batches(sounds, steps, rng), "teach the noise estimator", total=steps):
        optimiser.zero_grad()
        _loss(network(batch.powers_BTM), batch).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def _batches(sounds: Sounds, steps: int, rng: np.random.Generator) -> Iterator[Batch]:
    for _ in range(steps):
        yield mix(sounds, _BATCH_SIZE, rng)


def _loss(outputs: Outputs, batch: Batch) -> Tensor:
    """Return what there is to lose: shares, level, the error that is expected of it, kind."""
    loud_BTM = (batch.powers_BTM / batch.powers_BTM.mean((1, 2), keepdim=True)).clamp(max=4.0) + 0.05
    shares = F.binary_cross_entropy_with_logits(outputs.speech_BTM, batch.speech_BTM, reduction="none")
    level_db_B = batch.snr_db_B.clamp(max=_MAX_SNR_DB)
    level = F.huber_loss(outputs.snr_db_B, level_db_B, delta=_TOLERANCE_DB) / _TOLERANCE_DB
    raw = F.huber_loss(outputs.raw_snr_db_B, level_db_B, delta=_TOLERANCE_DB) / _TOLERANCE_DB
    log_variance_B = outputs.log_variance_B.clamp(-2.0, 6.0)
    # The error is a given here: a network that may choose its own excuses learns the level badly.
    error_B = (outputs.snr_db_B - level_db_B).detach()
    excuse = 0.5 * (error_B**2 * torch.exp(-log_variance_B) + log_variance_B).mean()
    kind = F.cross_entropy(outputs.kinds_BK, batch.kinds_B, ignore_index=NO_KIND)
    return (shares * loud_BTM).mean() + level + 0.3 * raw + 0.1 * excuse + 0.5 * kind
