"""What the lessons of both encoders are tested with: texts, how much is learnt, and that it is repeatable."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

# In planted clips a character is told by its class alone; silence first.
CHARACTERS = " abc"

Said = tuple[np.ndarray, np.ndarray]  # what an encoder is given of a clip, and the class of its every frame


def texts(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("abc"), 4)) for _ in range(count)]


def named(encoder: nn.Module, say: Callable[[str], Said]) -> float:
    """Return the share of unseen frames whose character a least-squares fit on others' features names."""
    values, classes = [], []
    for text in texts(40, seed=9):
        content, said = say(text)
        with torch.inference_mode():
            values.append(encoder([torch.from_numpy(content)])[0][0].numpy())
        classes.append(said)
    known, asked = slice(0, 20), slice(20, 40)

    def joined(part: slice) -> tuple[np.ndarray, np.ndarray]:
        features = np.concatenate(values[part])
        return np.column_stack([features, np.ones(len(features))]), np.concatenate(classes[part])

    features, said = joined(known)
    weights, *_ = np.linalg.lstsq(features, np.eye(len(CHARACTERS))[said], rcond=None)
    features, said = joined(asked)
    return float(((features @ weights).argmax(1) == said).mean())


def check_repeatable(new: Callable[[], nn.Module], teach: Callable[[nn.Module], Iterable[None]]) -> None:
    """Teach two equal encoders: their weights are the same, and nothing else is drawn otherwise for it."""
    ended: list[tuple[dict[str, Tensor], Tensor]] = []
    for _ in range(2):
        encoder = new()
        torch.manual_seed(3)
        list(teach(encoder))
        ended.append((encoder.state_dict(), torch.rand(1)))
    for name, expected in ended[0][0].items():
        torch.testing.assert_close(ended[1][0][name], expected, atol=0, rtol=0)
    torch.manual_seed(3)
    assert torch.equal(ended[0][1], torch.rand(1))
