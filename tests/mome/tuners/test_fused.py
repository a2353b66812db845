"""The GPU's kernels say what dense products say: interpreted here, and compiled for GPUs that people have."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mome.tuners.mome import MomeConfig, fused
from mome.tuners.mome.experts import Experts

gpu_kernels = pytest.importorskip("mome.tuners.mome.gpu_kernels", reason="no Triton for this machine")

ROOT = Path(__file__).parents[3]

# Routed experts, kept ones, shared ones, width inside, width of a token, tokens.
PAPER, ODD = (23, 4, 1, 8, 96, 5), (7, 2, 0, 12, 72, 33)
SHAPES = [PAPER, ODD, (4, 1, 2, 3, 40, 17), (40, 6, 1, 8, 64, 530)]


def experts(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Experts:
    routed, top_k, shared, width, d_model, _ = shape
    config = MomeConfig(
        num_experts=routed, top_k=top_k, num_shared_experts=shared, bottleneck_dim=width, init_std=0.3
    )
    torch.manual_seed(5)
    made = Experts(d_model, config)
    for bias in (made.down_bias_MW, made.up_bias_MD):
        nn.init.normal_(bias, std=0.3)
    return made.to(dtype)


def results(made: Experts, x_ND: Tensor, top_k_N: Tensor | None, *, is_fused: bool) -> dict[str, Tensor]:
    """Run forward and backward, through output and scores."""
    x_ND = x_ND.clone().requires_grad_()
    if is_fused:
        out_ND = made._fused(x_ND, top_k_N)
        assert made.routing is not None
        routing = made.routing
    else:
        routing = made.router(x_ND, top_k_N)
        out_ND = made._dense(x_ND, made._gates(x_ND, routing.expert_ids_NK, routing.weights_NK))
    generator = torch.Generator().manual_seed(6)
    loss = (out_ND * torch.randn(out_ND.shape, generator=generator)).sum()
    loss = loss + (routing.scores_NE * torch.randn(routing.scores_NE.shape, generator=generator)).sum()
    loss.backward()
    assert x_ND.grad is not None
    found = {"output": out_ND, "scores": routing.scores_NE, "weights": routing.weights_NK, "input": x_ND.grad}
    found |= {name: each.grad for name, each in made.named_parameters() if each.grad is not None}
    found["ids"], found["chosen"] = routing.expert_ids_NK, routing.chosen_NE
    return {name: each.detach().double() for name, each in found.items()}


def tokens(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape[-1], shape[-2], generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("by_scale", [False, True], ids=["one top_k", "top_k by scale"])
def test_output_and_gradients_are_those_of_dense_products(shape: tuple[int, ...], by_scale: bool) -> None:
    x_ND = tokens(shape)
    top_k_N = torch.arange(len(x_ND)) % shape[1] + 1 if by_scale else None
    found = results(experts(shape), x_ND, top_k_N, is_fused=True)
    expected = results(experts(shape, torch.float64), x_ND.double(), top_k_N, is_fused=False)
    assert found.keys() == expected.keys()
    assert len(found) == 11
    for name, each in expected.items():
        torch.testing.assert_close(
            found[name], each, atol=1e-5 * float(1 + each.abs().max()), rtol=0, msg=name
        )


def test_what_is_lost_in_half_precision_is_no_more_than_dense_products_lose() -> None:
    # Not bfloat16, of which NumPy, in which kernels are interpreted, has no numbers.
    x_ND = tokens(PAPER).half()
    exact = results(experts(PAPER, torch.half).double(), x_ND.double(), None, is_fused=False)
    lost = {}
    for is_fused in (True, False):
        found = results(experts(PAPER, torch.half), x_ND, None, is_fused=is_fused)
        assert torch.equal(found["ids"], exact["ids"])
        lost[is_fused] = {name: float((each - exact[name]).norm()) for name, each in found.items()}
    for name in ("output", "scores", "input", "down_weight_MWD", "up_weight_MWD", "router.gate.weight"):
        assert lost[True][name] <= 1.2 * lost[False][name], name
        assert lost[True][name] <= 0.01 * float(exact[name].norm()), name


def test_mixed_precision_computes_in_its_own_digits() -> None:
    x_ND, made = tokens(PAPER), experts(PAPER)
    with torch.autocast("cpu", torch.half):
        out_ND = made._fused(x_ND, None)
    assert out_ND.dtype == torch.half
    out_ND.float().sum().backward()
    assert {each.grad.dtype for each in made.parameters() if each.grad is not None} == {torch.float32}
    rounded = experts(PAPER).half()
    assert torch.equal(out_ND, rounded._fused(x_ND.half(), None))


def test_without_gradients_nothing_else_is_said() -> None:
    x_ND, made = tokens(ODD), experts(ODD)
    expected = made._fused(x_ND, None)
    with torch.inference_mode():
        assert torch.equal(made._fused(x_ND, None), expected)
    assert expected.requires_grad


def test_a_token_that_is_no_number_spoils_itself_alone() -> None:
    x_ND, made = tokens(ODD), experts(ODD)
    with torch.no_grad(), np.errstate(invalid="ignore"):
        expected = made._fused(x_ND, None)
        x_ND[3, 5] = torch.nan
        found = made._fused(x_ND, None)
        assert made.routing is not None
    assert found[3].isnan().all()
    assert torch.equal(torch.cat([found[:3], found[4:]]), torch.cat([expected[:3], expected[4:]]))
    # An index beyond all experts would end a GPU's process.
    assert made.routing.expert_ids_NK.amax() < ODD[0]


def test_a_cpu_has_no_use_for_it() -> None:
    assert not fused.can_fuse(tokens(PAPER))


class OnGpu(Tensor):
    """Says that it lies on a GPU."""

    device = torch.device("cuda")  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("dtype", "fits"), [(torch.float32, 512), (torch.bfloat16, 4096), (torch.float16, 4096)]
)
def test_what_is_more_than_it_is_quicker_for_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, fits: int
) -> None:
    monkeypatch.setattr(fused, "_run_on", lambda _: True)
    assert fused.can_fuse(torch.zeros(fits, 4, dtype=dtype).as_subclass(OnGpu))
    assert not fused.can_fuse(torch.zeros(fits + 1, 4, dtype=dtype).as_subclass(OnGpu))


@pytest.fixture
def asked_anew() -> Iterator[None]:
    fused._run_on.cache_clear()
    yield
    fused._run_on.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_where_kernels_run_they_are_tried_once_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    class Counted:
        def __getattr__(self, name: str) -> object:
            tried.append(name)
            return getattr(gpu_kernels, name)

    monkeypatch.setattr(fused, "gpu_kernels", Counted())
    with torch.inference_mode():
        assert [fused._run_on(torch.device("cpu")) for _ in range(2)] == [True, True]
    assert tried == ["go_down", "go_up", "go_back"]


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize(
    ("lacking", "message"),
    [("Triton", "there is no Triton"), ("C compiler", r"it needs gcc .*: Failed to find C compiler\.")],
)
def test_what_is_lacking_is_said_once_and_torch_does_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lacking: str, message: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to find C compiler.")

    if lacking == "Triton":
        monkeypatch.setattr(fused, "gpu_kernels", None)
    else:
        monkeypatch.setattr(fused, "mix", fail)
    assert [fused._run_on(torch.device("cpu")) for _ in range(2)] == [False, False]
    (said,) = caplog.messages
    assert re.search(message, said)


def test_kernels_compile_for_the_gpus_that_people_have() -> None:
    # T4, A100 and H100 (or H200), without a GPU: Triton brings the assembler.
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu_compiler", "75", "80", "90"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shared = json.loads(done.stdout)
    assert len(shared) == 3 * 2 * 3
    # What a T4 has for one program.
    assert max(shared.values()) <= 64 * 1024
