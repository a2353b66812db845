"""Teach synchrony: take clips, train, see what it says of clips held back, write the weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mome.errors import CorpusError
from mome.machine.processor import use_threads
from mome.numpy_weights import save_weights
from mome.progress import progress
from mome.speech.shards import read_split
from mome.speech.synchrony_network import MOST_LAG
from mome.synchrony.lessons import SHORTEST, Lesson, Piece, draw, lesson
from mome.synchrony.network import SynchronyNetwork, evidence
from mome.synthesis.corpus import plan_corpus, render_all

__all__ = ["calibrate", "read", "run", "synthetic", "train"]

_BATCH_SIZE = 12
_LEARNING_RATE, _WEIGHT_DECAY, _WARM_UP = 3e-3, 2e-2, 0.1
_FIRST_SHARPNESS = 2.5  # logarithm of what a correlation counts in the softmax
_BESIDE = 0.1  # of the answer is a frame too early, as much a frame too late
_HELD_BACK = 6  # every sixth clip says what a correlation is worth
_CALIBRATION_STEPS = 40


def run(output: Path, datasets: Sequence[Path], *, drawn: int, steps: int, seed: int) -> None:
    """Train and write the network.

    Args:
        output: Safetensors file to write.
        datasets: Folders that `data.prepare` wrote; their training clips with sound and lips are learnt from.
        drawn: Number of clips of drawn faces beside them.
        steps: Of training.
        seed: Of everything that is drawn.

    Raises:
        CorpusError: If there are fewer clips than a step and its trial need.
    """
    use_threads("auto")
    lessons = [each for dataset in datasets for each in read(dataset)] + synthetic(drawn, seed)
    needed = _BATCH_SIZE * _HELD_BACK
    if len(lessons) < needed:
        raise CorpusError(f"{len(lessons)} clips with sound and lips, expected at least {needed}")
    held = lessons[::_HELD_BACK]
    network = train([each for index, each in enumerate(lessons) if index % _HELD_BACK], steps, seed)
    calibrate(network, held, seed)
    save_weights(network, output)


def read(dataset: Path) -> list[Lesson]:
    """Return the training clips of a dataset that have sound and lips, and are long enough."""
    pairs = progress(read_split(dataset, "train"), f"read {dataset.name}")
    clips = (clip for _, clip in pairs if clip.modality == "av")  # one after the other: a lesson is smaller
    return [each for each in map(lesson, clips) if len(each) >= SHORTEST]


def synthetic(count: int, seed: int) -> list[Lesson]:
    """Return clips of drawn faces of the embedded corpus."""
    rendered = render_all(plan_corpus(count, 0, 0, seed))
    made = [lesson(each.clip) for each in progress(rendered, "draw faces", total=count)]
    return [each for each in made if len(each) >= SHORTEST]


def train(lessons: Sequence[Lesson], steps: int, seed: int) -> SynchronyNetwork:
    """Return a network that tells own sound at the right moment from other moments and other sound."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = SynchronyNetwork().train()
    sharpness = nn.Parameter(torch.tensor(_FIRST_SHARPNESS))
    weights = [*network.lips.parameters(), *network.sound.parameters(), sharpness]
    optimiser = torch.optim.AdamW(weights, _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LEARNING_RATE, total_steps=steps, pct_start=_WARM_UP
    )
    for piece in progress(_pieces(lessons, steps, rng), "teach synchrony", total=steps):
        optimiser.zero_grad()
        _loss(network(piece.flow_BTF, piece.sound_BTM) * sharpness.exp(), piece.late_B).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        schedule.step()
    return network.eval()


def calibrate(network: SynchronyNetwork, lessons: Sequence[Lesson], seed: int) -> None:
    """Fit how probable own sound is, by how far a profile stands out (Platt 1999), on clips held back."""
    rng = np.random.default_rng(seed)
    own, other = [], []
    with torch.no_grad():
        for piece in _pieces(lessons, _CALIBRATION_STEPS, rng):
            found = evidence(network(piece.flow_BTF, piece.sound_BTM), piece.flow_BTF.shape[1])
            same = torch.eye(len(found), dtype=torch.bool)
            own.append(found[same])
            other.append(found[~same])
    seen = torch.cat([torch.cat(own), torch.cat(other)])[:, None]
    truth = torch.cat([torch.ones(sum(map(len, own))), torch.zeros(sum(map(len, other)))])
    # As many of each count: how often recordings are wrong is not for these to say.
    weight = torch.where(truth > 0, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    optimiser = torch.optim.LBFGS(network.evidence.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        lost = F.binary_cross_entropy_with_logits(network.evidence(seen)[:, 0], truth, weight)
        lost.backward()
        return lost

    optimiser.step(loss)


def _pieces(lessons: Sequence[Lesson], count: int, rng: np.random.Generator) -> Iterator[Piece]:
    for _ in range(count):
        yield draw(lessons, min(_BATCH_SIZE, len(lessons)), rng)


def _loss(logits_BBL: Tensor, late_B: Tensor) -> Tensor:
    """Return what is lost in choosing sound and moment for each mouth, and a mouth for each sound."""
    own = torch.arange(len(logits_BBL))
    right = torch.zeros_like(logits_BBL)
    moment_B = MOST_LAG + late_B
    right[own, own, moment_B] = 1 - 2 * _BESIDE
    right[own, own, moment_B - 1] = right[own, own, moment_B + 1] = _BESIDE
    by_mouth = F.cross_entropy(logits_BBL.flatten(1), right.flatten(1))
    by_sound = F.cross_entropy(logits_BBL.transpose(0, 1).flatten(1), right.transpose(0, 1).flatten(1))
    return by_mouth + by_sound
