"""Gathered experts against a plain loop: outputs and gradients, any shape, and where they are not for use."""

import importlib
import itertools
import logging
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from mome.tuners import mome as mome_package
from mome.tuners.mome import MomeConfig, gathered
from mome.tuners.mome import experts as experts_module
from mome.tuners.mome.experts import Experts
from tests.mome.tuners.test_mome import loop_over_experts


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However narrow the tokens, and few: what many wide ones do, in several parts for each thread."""
    monkeypatch.setattr(gathered, "_LEAST_WIDTH", 1)
    monkeypatch.setattr(gathered, "_MANY", 1)
    monkeypatch.setattr(gathered, "_MOST", 16)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """However narrow the tokens."""
    monkeypatch.setattr(gathered, "_LEAST_WIDTH", 1)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def new_experts(width: int, bottleneck: int, num_experts: int, top_k: int, shared: int) -> Experts:
    torch.manual_seed(1)
    experts = Experts(
        width,
        MomeConfig(
            num_experts=num_experts,
            top_k=top_k,
            num_shared_experts=shared,
            bottleneck_dim=bottleneck,
            init_std=0.3,
        ),
    )
    torch.nn.init.normal_(experts.down_bias_MW, std=0.3)
    torch.nn.init.normal_(experts.up_bias_MD, std=0.3)
    return experts


def outcome(experts: Experts, x_ND: Tensor, loop: bool) -> dict[str, Tensor]:
    """Output and gradients of a sum that weighs every number otherwise."""
    experts.zero_grad()
    x_ND = x_ND.detach().requires_grad_()
    out_ND = loop_over_experts(experts, x_ND, experts.router.top_k) if loop else experts(x_ND[None])[0]
    (out_ND * torch.linspace(-1, 1, out_ND.numel()).view_as(out_ND)).sum().backward()
    gradients = {
        name: each.grad.clone() for name, each in experts.named_parameters() if each.grad is not None
    }
    assert x_ND.grad is not None
    return {"output": out_ND.detach(), "tokens": x_ND.grad, **gradients}


SHAPES = [
    # width, bottleneck, experts, kept, shared, tokens: whole fours and eights, and none
    (64, 8, 23, 4, 1, 70),
    (1100, 12, 5, 2, 0, 33),
    (48, 16, 4, 2, 2, 130),
    (37, 3, 6, 3, 1, 19),
    (20, 1, 2, 2, 0, 3),
]


@pytest.mark.usefixtures("always", "threads")
@pytest.mark.parametrize(("shape", "count"), list(itertools.product(SHAPES, [1, 3])))
def test_outputs_and_gradients_are_those_of_a_loop(
    shape: tuple[int, ...], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(count)
    *sizes, tokens = shape
    experts = new_experts(*sizes)
    x_ND = torch.randn(tokens, sizes[0])
    used: list[int] = []
    real = experts_module.add_gathered
    monkeypatch.setattr(
        experts_module, "add_gathered", lambda *given: (used.append(len(given[1])), real(*given))[1]
    )
    found, expected = outcome(experts, x_ND, loop=False), outcome(experts, x_ND, loop=True)
    assert used == [tokens]
    assert found.keys() == expected.keys()
    for name in expected:
        size = expected[name].abs().max().item()
        torch.testing.assert_close(found[name], expected[name], atol=2e-5 * size, rtol=1e-4, msg=name)


@pytest.mark.usefixtures("always")
def test_where_only_some_tokens_are_wanted_the_others_are_left_out() -> None:
    experts = new_experts(64, 8, 6, 2, 1)
    x_BTD, wanted_P = torch.randn(2, 9, 64), torch.tensor([3, 17, 4])
    with torch.inference_mode():
        found = experts(x_BTD, wanted_P=wanted_P)
        expected = loop_over_experts(experts, x_BTD.flatten(0, 1), 2)[wanted_P]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("always")
def test_a_scale_that_keeps_fewer_experts_meets_fewer() -> None:
    torch.manual_seed(2)
    experts = Experts(32, MomeConfig(num_experts=6, top_k=[4, 1], bottleneck_dim=4, init_std=0.3))
    x_BTD, scales_B = torch.randn(2, 7, 32), torch.tensor([1, 0])
    with torch.no_grad():
        found_BTD = experts(x_BTD, scales_B)
        for row, top_k in ((0, 1), (1, 4)):
            expected = loop_over_experts(experts, x_BTD[row], top_k)
            torch.testing.assert_close(found_BTD[row], expected, atol=1e-5, rtol=1e-4)


def test_what_is_no_number_stays_none(monkeypatch: pytest.MonkeyPatch, always: None) -> None:
    experts = new_experts(64, 8, 6, 2, 1)
    x_BTD = torch.randn(1, 80, 64)
    with torch.no_grad():
        experts.up_weight_MWD[-1, 0, 5] = torch.inf
        experts.down_weight_MWD[-1, 3, 7] = torch.nan
        found_BTD = experts(x_BTD)
    assert not torch.isfinite(found_BTD).any(), "a training that diverges has to be seen"


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("shape", SHAPES)
def test_few_tokens_without_gradients_are_read_as_by_a_loop(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    *sizes, tokens = shape
    experts = new_experts(*sizes)
    x_ND = torch.randn(min(tokens, 40), sizes[0])
    used: list[int] = []
    real = experts_module.read_few
    monkeypatch.setattr(
        experts_module, "read_few", lambda *given: (used.append(len(given[0])), real(*given))[1]
    )
    with torch.inference_mode():
        found = experts(x_ND[None])[0]
    assert used == [len(x_ND)]
    expected = loop_over_experts(experts, x_ND, experts.router.top_k).detach()
    torch.testing.assert_close(found, expected, atol=1e-5 * expected.abs().max().item(), rtol=1e-4)


@pytest.mark.parametrize(
    ("tokens", "width", "dtype", "with_gradients", "way"),
    [
        (256, 2048, torch.float32, True, "many"),
        (256, 2048, torch.float32, False, "many"),
        (1, 2048, torch.float32, False, "few"),
        (1, 2048, torch.float32, True, "dense"),
        (256, 2048, torch.bfloat16, False, "dense"),
        (4096, 192, torch.float32, False, "dense"),
    ],
)
def test_the_way_follows_from_shape_digits_and_gradients(
    tokens: int, width: int, dtype: torch.dtype, with_gradients: bool, way: str
) -> None:
    x_ND, weight_MWD = torch.empty(tokens, width, dtype=dtype), torch.empty(24, 8, width, dtype=dtype)
    with torch.set_grad_enabled(with_gradients):
        assert gathered.best_way(x_ND, weight_MWD) == way
        with torch.autocast("cpu", torch.bfloat16):
            assert gathered.best_way(x_ND, weight_MWD) == "dense"


def test_without_the_compiler_the_dense_products_stand_in_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, always: None, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "mome.tuners.mome.cpu_kernels", raising=False)
    monkeypatch.delattr(mome_package, "cpu_kernels", raising=False)
    gathered._kernels.cache_clear()
    experts = new_experts(64, 8, 6, 2, 1)
    x_BTD = torch.randn(1, 80, 64)
    try:
        with caplog.at_level(logging.WARNING), torch.no_grad():
            found = [experts(x_BTD) for _ in range(3)][-1]
    finally:
        gathered._kernels.cache_clear()
    assert len([each for each in caplog.records if "dense products" in each.message]) == 1
    torch.testing.assert_close(found[0], loop_over_experts(experts, x_BTD[0], 2), atol=1e-5, rtol=1e-4)


def test_pairs_are_sorted_by_expert_and_then_by_token() -> None:
    kernels = importlib.import_module("mome.tuners.mome.cpu_kernels")
    rng = np.random.default_rng(0)
    ids_NK = np.stack([rng.permutation(7)[:3] for _ in range(40)])
    tokens_P, places_P, firsts_M1 = np.empty(120, np.int64), np.empty(120, np.int64), np.empty(8, np.int64)
    kernels.sort_pairs(ids_NK, tokens_P, places_P, firsts_M1)
    order = np.argsort(ids_NK.ravel(), kind="stable")
    np.testing.assert_array_equal(places_P, order)
    np.testing.assert_array_equal(tokens_P, order // 3)
    np.testing.assert_array_equal(firsts_M1, np.searchsorted(ids_NK.ravel()[order], np.arange(8)))
