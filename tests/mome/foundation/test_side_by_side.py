"""Models that are taught at the same time learn what each would have learnt alone."""

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from mome.foundation.optimiser import Optimiser
from mome.foundation.side_by_side import Teaching, teach_side_by_side


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)])
        self.head = nn.Linear(6, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x)


def teach(model: Small, steps: int) -> Teaching:
    draw = torch.Generator().manual_seed(5)
    optimiser = Optimiser([model], steps=steps, matrix_rate=1e-2, rate=1e-2)
    loss = torch.zeros(())
    for _ in range(steps):
        x = torch.randn(32, 6, generator=draw)
        loss = ((model(x)[:, 0] - x.prod(dim=1).tanh()) ** 2).mean()
        optimiser.step(loss)
        yield
    return loss.item()


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_each_learns_what_it_would_alone(threads: int) -> None:
    torch.manual_seed(1)
    alone, together, other = Small(), Small(), Small()
    together.load_state_dict(alone.state_dict())
    torch.set_num_threads(max(1, threads // 2))
    expected = teach_side_by_side({"alone": teach(alone, 20)}, steps=20, threads=max(1, threads // 2))
    found = teach_side_by_side(
        {"first": teach(together, 20), "second": teach(other, 30)}, steps=50, threads=threads
    )
    assert found["first"] == expected["alone"]
    for a, b in zip(alone.parameters(), together.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.get_num_threads() == threads


def test_two_are_taught_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=20)

    def waits() -> Teaching:
        meeting.wait()  # broken if the other never comes
        yield
        return 1.0

    assert teach_side_by_side({"a": waits(), "b": waits()}, steps=2, threads=2) == {"a": 1.0, "b": 1.0}


def test_a_failure_ends_the_others_and_is_what_is_raised() -> None:
    steps = []

    def endless() -> Teaching:
        while True:
            steps.append(1)
            yield

    def fails() -> Teaching:
        yield
        raise ValueError("the loss is nan")

    with pytest.raises(ValueError, match="the loss is nan"):
        teach_side_by_side({"endless": endless(), "fails": fails()}, steps=100, threads=2)
    assert steps


def test_matrices_of_layers_are_turned_and_all_else_is_adams() -> None:
    torch.manual_seed(2)
    model = Small()
    before = {name: each.detach().clone() for name, each in model.named_parameters()}
    optimiser = Optimiser([model], steps=10, matrix_rate=1e-2, rate=1e-3)
    optimiser.step((model(torch.randn(8, 6)) ** 2).mean())
    changed = {name: before[name] - each.detach() for name, each in model.named_parameters()}
    # Muon makes all directions of an update about equally large; Adam's first step has rank one here.
    singular = torch.linalg.svdvals(changed["layers.0.weight"])
    assert singular.min() > 0.3 * singular.max()
    # Adam's first step is the learning rate wherever there is a gradient.
    rate = 1e-3 / 25  # where the warm-up starts
    assert torch.allclose(changed["head.weight"].abs(), torch.full((1, 6), rate), rtol=0.1)
