"""Our Muon is torch's, in float32."""

import pytest
import torch
from torch import nn

from mome.foundation.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 12, 12), (2, 24, 8), (2, 8, 24)])
def test_singular_values_come_near_one_and_directions_stay(shape: tuple[int, ...]) -> None:
    torch.manual_seed(3)
    matrices = torch.randn(shape, dtype=torch.float64)
    turned = orthogonal(matrices)
    assert turned.shape == matrices.shape
    values = torch.linalg.svdvals(turned)
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    # Between the directions of the matrix itself the turned one is diagonal.
    inside = left.mT @ turned @ right.mT
    assert torch.allclose(inside, torch.diag_embed(inside.diagonal(dim1=1, dim2=2)), atol=1e-6)


def test_steps_are_those_of_torch_up_to_its_bfloat16() -> None:
    torch.manual_seed(4)
    ours = [nn.Parameter(torch.randn(shape)) for shape in ((16, 16), (16, 16), (48, 16), (16, 48))]
    theirs = [nn.Parameter(each.detach().clone()) for each in ours]
    mine = Muon(ours, lr=0.02, weight_decay=0.1)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    before = [each.detach().clone() for each in ours]
    for _ in range(5):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        mine.step()
        reference.step()
    for a, b, start in zip(ours, theirs, before, strict=True):
        moved = (b - start).norm()
        assert (a - b).norm() < 0.03 * moved


def test_what_has_no_gradient_stays() -> None:
    matrix = nn.Parameter(torch.ones(4, 4))
    Muon([matrix], lr=0.1, weight_decay=0.1).step()
    assert torch.equal(matrix, torch.ones(4, 4))
