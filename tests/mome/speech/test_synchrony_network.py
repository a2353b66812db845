"""The network in numpy is its torch twin, and a profile is what a plain loop gives."""

import numpy as np
import torch

from mome.numpy_weights import load_weights
from mome.speech.lip_flow import NUM_FLOWS
from mome.speech.synchrony_network import (
    MOST_LAG,
    NUM_SOUNDS,
    SILENCE,
    WEIGHTS,
    confidence,
    lip_vectors,
    profile,
    sound_vectors,
    sounds,
)
from mome.synchrony.network import SynchronyNetwork, evidence, profiles


def test_numpy_and_torch_say_the_same() -> None:
    rng = np.random.default_rng(1)
    flow = rng.standard_normal((3, 60, NUM_FLOWS)).astype(np.float32)
    heard = rng.standard_normal((3, 60, NUM_SOUNDS)).astype(np.float32)
    network = load_weights(SynchronyNetwork(), WEIGHTS)
    with torch.no_grad():
        twin = network(torch.from_numpy(flow), torch.from_numpy(heard))
        sure = torch.sigmoid(network.evidence(evidence(twin, 60)[..., None]))
    for lips in range(3):
        for sound in range(3):
            found = profile(lip_vectors(flow[lips]), sound_vectors(heard[sound]))
            assert found is not None
            np.testing.assert_allclose(found, twin[lips, sound].numpy(), atol=1e-5)
            np.testing.assert_allclose(confidence(found, 60), sure[lips, sound].item(), atol=1e-4)


def test_a_profile_is_the_correlation_at_each_lag() -> None:
    rng = np.random.default_rng(2)
    lips = rng.standard_normal((22, 4)).astype(np.float32)
    sound = rng.standard_normal((22, 4)).astype(np.float32)
    first, second = lips - lips.mean(axis=0), sound - sound.mean(axis=0)
    plain = [
        sum(float(first[t] @ second[t + lag]) for t in range(22) if 0 <= t + lag < 22)
        / float(np.linalg.norm(first) * np.linalg.norm(second))
        for lag in range(-MOST_LAG, MOST_LAG + 1)
    ]
    np.testing.assert_allclose(profile(lips, sound), plain, atol=1e-6)
    twin = profiles(torch.from_numpy(lips)[None], torch.from_numpy(sound)[None])[0, 0]
    np.testing.assert_allclose(twin.numpy(), plain, atol=1e-5)
    assert profile(lips, np.ones_like(sound)) is None


def test_sound_is_heard_in_its_frame() -> None:
    samples = np.zeros(20 * 640, np.float32)
    samples[7 * 640 : 8 * 640] = np.sin(np.arange(640))
    heard = sounds(samples, 25)
    assert heard.shape == (25, NUM_SOUNDS)
    assert heard.mean(axis=1).argmax() == 7
    np.testing.assert_allclose(heard[[0, 5, 9, 24]], SILENCE, atol=1e-3)
    np.testing.assert_allclose(sounds(0.01 * samples, 25), heard, atol=1e-3)
