"""The reference recipe's experts against ours."""

import pytest
import torch
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from mome.benchmark.loop import ExpertLoop, ExpertLoops
from mome.tuners.mome import MomeConfig
from mome.tuners.mome.layer import Experts


def mixture(num_experts: int, top_k: int, shared: int) -> Experts:
    torch.manual_seed(0)
    config = MomeConfig(
        num_experts=num_experts, top_k=top_k, num_shared_experts=shared, bottleneck_dim=3, init_std=0.4
    )
    experts = Experts(16, config).double()
    torch.nn.init.normal_(experts.down_bias_MW)
    torch.nn.init.normal_(experts.up_bias_MD)
    return experts


@pytest.mark.parametrize(("num_experts", "top_k", "shared"), [(23, 4, 1), (4, 2, 0), (3, 3, 2)])
@pytest.mark.parametrize("num_tokens", [1, 9])
def test_the_loop_equals_the_dense_products_forward_and_backward(
    num_experts: int, top_k: int, shared: int, num_tokens: int
) -> None:
    experts = mixture(num_experts, top_k, shared)
    loop = ExpertLoop(experts)
    inputs = [torch.randn(2, num_tokens, 16, dtype=torch.float64) for _ in range(2)]
    ours, theirs = (inputs[0].clone().requires_grad_() for _ in range(2))
    found, expected = experts(ours), loop(theirs)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
    found.backward(inputs[1])
    expected.backward(inputs[1])
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-9, rtol=0)
    gradients = loop.gradients()
    assert set(gradients) == {name for name, _ in experts.named_parameters()}
    for name, parameter in experts.named_parameters():
        # An expert that no token chose has no gradient in the loop, and a zero one here.
        torch.testing.assert_close(parameter.grad, gradients[name], atol=1e-9, rtol=0)


def test_the_loop_keeps_weights_of_its_own() -> None:
    experts = mixture(5, 2, 1)
    loop = ExpertLoop(experts)
    x_BTD = torch.randn(1, 4, 16, dtype=torch.float64)
    before = loop(x_BTD)
    with torch.no_grad():
        experts.up_weight_MWD.zero_()
    torch.testing.assert_close(loop(x_BTD), before, atol=0, rtol=0)


def test_an_llm_runs_the_loops_only_while_they_are_installed() -> None:
    torch.manual_seed(0)
    sizes = LlamaConfig(
        vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    llm = get_peft_model(LlamaForCausalLM(sizes).eval(), MomeConfig(bottleneck_dim=3, init_std=0.4)).double()
    ids = torch.arange(6)[None]
    ours = llm(input_ids=ids).logits
    loops = ExpertLoops(llm)
    with loops.installed():
        theirs = llm(input_ids=ids).logits
        theirs.sum().backward()
    torch.testing.assert_close(theirs, ours, atol=1e-9, rtol=0)
    trained = {name: each for name, each in llm.named_parameters() if each.requires_grad}
    assert all(parameter.grad is None for parameter in trained.values())
    gradients = loops.gradients()
    llm(input_ids=ids).logits.sum().backward()
    assert set(gradients) == set(trained)
    for name, parameter in trained.items():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-9, rtol=0)
