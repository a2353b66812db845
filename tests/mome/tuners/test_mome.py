"""MoME against a plain loop over experts, and as peft's users use it."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model
from torch import Tensor

from mome.tuners.mome import MomeConfig
from mome.tuners.mome.experts import Experts
from mome.tuners.mome.router import Router, load_balancing_loss
from tests.small_llms import small_llm


def loop_over_experts(experts: Experts, x_ND: Tensor, top_k: int) -> Tensor:
    """The mixture as the paper writes it: token by token, expert by expert."""
    rows = []
    for x in x_ND:
        scores = torch.softmax(experts.router.gate.weight @ x, dim=0)
        kept = scores.topk(top_k)
        chosen = list(zip(kept.indices.tolist(), kept.values / kept.values.sum(), strict=True))
        one = torch.ones((), dtype=x.dtype)
        chosen += [(experts.num_experts + shared, one) for shared in range(experts.num_shared_experts)]
        row = torch.zeros_like(x)
        for expert, gate in chosen:
            inside = experts.down_weight_MWD[expert] @ x + experts.down_bias_MW[expert]
            inside = torch.nn.functional.gelu(inside)
            row = row + gate * (inside @ experts.up_weight_MWD[expert] + experts.up_bias_MD[expert])
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.parametrize(("num_experts", "top_k", "shared"), [(23, 4, 1), (4, 2, 0), (5, 5, 2), (3, 1, 1)])
def test_the_dense_products_equal_a_loop_over_experts(num_experts: int, top_k: int, shared: int) -> None:
    torch.manual_seed(1)
    config = MomeConfig(
        num_experts=num_experts, top_k=top_k, num_shared_experts=shared, bottleneck_dim=3, init_std=0.5
    )
    experts = Experts(16, config).double()
    torch.nn.init.normal_(experts.down_bias_MW)
    torch.nn.init.normal_(experts.up_bias_MD)
    x_BTD = torch.randn(2, 5, 16, dtype=torch.float64)
    expected = loop_over_experts(experts, x_BTD.flatten(0, 1), top_k)
    # The router works in float32, which is what bounds the agreement.
    torch.testing.assert_close(experts(x_BTD).flatten(0, 1), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [63, 64, 200])
@pytest.mark.parametrize("num_experts", [5, 8, 23])
def test_scores_of_many_wide_tokens_are_those_of_each_alone(tokens: int, num_experts: int) -> None:
    torch.manual_seed(1)
    router = Router(512, num_experts, top_k=2)
    x_ND, wanted_NE = torch.randn(tokens, 512), torch.randn(tokens, num_experts)
    scores_NE = router(x_ND).scores_NE
    expected_NE = torch.stack([torch.softmax(router.gate.weight @ x, 0) for x in x_ND])
    torch.testing.assert_close(scores_NE, expected_NE, atol=1e-6, rtol=1e-5)
    (scores_NE * wanted_NE).sum().backward()
    found = router.gate.weight.grad
    router.gate.weight.grad = None
    (expected_NE * wanted_NE).sum().backward()
    torch.testing.assert_close(found, router.gate.weight.grad, atol=1e-5, rtol=1e-4)


def test_the_kept_weights_of_a_token_sum_to_one() -> None:
    experts = Experts(16, MomeConfig(bottleneck_dim=2))
    experts(torch.randn(1, 7, 16))
    assert experts.routing is not None
    torch.testing.assert_close(experts.routing.weights_NK.sum(1), torch.ones(7))


def test_the_balance_loss_counts_slots_and_ignores_padding() -> None:
    experts = Experts(16, MomeConfig(num_experts=5, top_k=2, init_std=1.0))
    experts(torch.randn(1, 12, 16))
    routing = experts.routing
    assert routing is not None
    is_token = torch.arange(12) < 8
    expected = 0.0
    for slot in range(2):
        for expert in range(5):
            share = sum(int(routing.expert_ids_NK[n, slot]) == expert for n in range(8)) / 8
            expected += 5 * share * routing.scores_NE[:8, expert].mean().item()
    assert load_balancing_loss([routing], is_token).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("position", ["mhsa", "ffn", "layer"])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_saved_adapter_comes_back_the_same(tmp_path: Path, family: str, position: str) -> None:
    ids = torch.arange(14).view(2, 7)
    tuned = get_peft_model(
        small_llm(family), MomeConfig(position=position, bottleneck_dim=4, init_std=0.3)
    ).eval()
    expected = tuned(input_ids=ids).logits
    tuned.save_pretrained(tmp_path)
    assert (tmp_path / "adapter_model.safetensors").exists()
    again = PeftModel.from_pretrained(small_llm(family), str(tmp_path)).eval()
    torch.testing.assert_close(again(input_ids=ids).logits, expected, atol=0, rtol=0)


def test_a_disabled_adapter_leaves_the_frozen_model() -> None:
    ids = torch.arange(7)[None]
    frozen = small_llm()(input_ids=ids).logits
    tuned = get_peft_model(small_llm(), MomeConfig(init_std=0.3)).eval()
    assert not torch.allclose(tuned(input_ids=ids).logits, frozen)
    with tuned.disable_adapter():
        torch.testing.assert_close(tuned(input_ids=ids).logits, frozen, atol=0, rtol=0)


def test_zero_up_starts_at_the_frozen_model() -> None:
    ids = torch.arange(7)[None]
    tuned = get_peft_model(small_llm(), MomeConfig(init="zero_up")).eval()
    torch.testing.assert_close(tuned(input_ids=ids).logits, small_llm()(input_ids=ids).logits)


def test_several_adapters_are_kept_apart() -> None:
    ids = torch.arange(7)[None]
    tuned = get_peft_model(small_llm(), MomeConfig(init_std=0.3)).eval()
    first = tuned(input_ids=ids).logits
    tuned.add_adapter("other", MomeConfig(num_experts=3, top_k=1, init_std=0.3))
    torch.testing.assert_close(tuned(input_ids=ids).logits, first)
    tuned.set_adapter("other")
    assert not torch.allclose(tuned(input_ids=ids).logits, first)


def test_only_experts_and_routers_train_and_the_loss_falls() -> None:
    ids = torch.arange(14).view(2, 7)
    tuned = get_peft_model(small_llm(), MomeConfig())
    trained = [parameter for parameter in tuned.parameters() if parameter.requires_grad]
    assert all("mome_experts" in name for name, p in tuned.named_parameters() if p.requires_grad)
    optimizer = torch.optim.Adam(trained, lr=1e-2)
    losses = []
    for _ in range(20):
        loss = tuned(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5


@pytest.mark.parametrize(
    ("hidden", "layers", "width", "millions"), [(3072, 28, 12, 12.73), (2048, 16, 8, 3.54)]
)
def test_active_parameters_are_the_published_counts(
    hidden: int, layers: int, width: int, millions: float
) -> None:
    with torch.device("meta"):
        experts = Experts(
            hidden, MomeConfig(num_experts=23, top_k=4, num_shared_experts=1, bottleneck_dim=width)
        )
    one_expert = sum(p[0].numel() for name, p in experts.named_parameters() if not name.startswith("router"))
    active = layers * (5 * one_expert + experts.router.gate.weight.numel())
    assert active / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": 24},
        {"top_k": 0},
        {"bottleneck_dim": 0},
        {"num_shared_experts": -1},
        {"position": "head"},
        {"init": "?"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MomeConfig(**wrong)


def test_each_sequence_keeps_as_many_experts_as_its_scale_says() -> None:
    torch.manual_seed(2)
    per_scale = Experts(16, MomeConfig(num_experts=6, top_k=[1, 3], bottleneck_dim=3, init_std=0.5))
    x_BTD = torch.randn(4, 5, 16)
    mixed = per_scale(x_BTD, torch.tensor([0, 1, 1, 0]))
    assert per_scale.routing is not None
    assert ((per_scale.routing.weights_NK > 0).sum(1).view(4, 5) == torch.tensor([1, 3, 3, 1])[:, None]).all()
    for row, top_k in enumerate([1, 3, 3, 1]):
        expected = loop_over_experts(per_scale, x_BTD[row], top_k)
        torch.testing.assert_close(mixed[row], expected, atol=1e-5, rtol=1e-5)


def test_the_balance_loss_counts_only_experts_that_were_kept() -> None:
    torch.manual_seed(3)
    experts = Experts(16, MomeConfig(num_experts=5, top_k=[1, 2], init_std=1.0))
    experts(torch.randn(2, 6, 16), torch.tensor([0, 0]))
    routing = experts.routing
    assert routing is not None
    expected = 0.0
    for expert in range(5):
        share = sum(int(row[0]) == expert for row in routing.expert_ids_NK) / 12
        expected += 5 * share * routing.scores_NE[:, expert].mean().item()
    found = load_balancing_loss([routing], torch.ones(12, dtype=torch.bool))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_scale_chosen_once_holds_through_generation_with_beams() -> None:
    llm = get_peft_model(small_llm(), MomeConfig(num_experts=6, top_k=[1, 6], bottleneck_dim=4, init_std=0.5))
    prompt = torch.arange(8).view(2, 4)
    settings = {"max_new_tokens": 5, "do_sample": False, "num_beams": 3, "pad_token_id": 0}
    texts = []
    for scale in (0, 1):
        llm.base_model.select_scales(torch.tensor([scale, scale]))
        both = llm.generate(input_ids=prompt, **settings)
        llm.base_model.select_scales(torch.tensor([scale]))
        assert torch.equal(both, llm.generate(input_ids=prompt, **settings))
        texts.append(both.tolist())
    assert texts[0] != texts[1]


def test_mixed_precision_agrees_with_float32_to_its_own_digits() -> None:
    torch.manual_seed(4)
    experts = Experts(16, MomeConfig(num_experts=5, top_k=2, bottleneck_dim=4, init_std=0.3))
    torch.nn.init.normal_(experts.up_bias_MD)
    x_BTD = torch.randn(2, 6, 16)
    expected = experts(x_BTD)
    with torch.autocast("cpu", torch.bfloat16):
        found = experts(x_BTD)
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert all(torch.isfinite(each.grad).all() for each in experts.parameters() if each.grad is not None)
    # bfloat16 keeps eight bits; the router may then keep another expert for a token, so most must agree.
    close = (found.float() - expected).abs() < 0.05
    assert close.float().mean() > 0.9


@pytest.mark.parametrize("position", ["mhsa", "ffn", "layer"])
def test_a_pass_that_finishes_only_what_is_read_gives_the_same_loss_and_gradients(position: str) -> None:
    ids = torch.arange(14).view(2, 7)
    wanted = torch.tensor([3, 5, 6, 12])
    found = []
    for early in (False, True):
        torch.manual_seed(8)
        tuned = get_peft_model(small_llm(), MomeConfig(position=position, num_experts=5, top_k=2)).train()
        decoder, tuner = tuned.get_base_model().model, tuned.base_model
        rows = []
        decoder.layers[-1].mlp.register_forward_pre_hook(
            lambda _, args, rows=rows: rows.append(args[0].shape)
        )
        inner = getattr(decoder.layers[-1].mlp, "base_layer", decoder.layers[-1].mlp)
        inner.register_forward_pre_hook(lambda _, args, rows=rows: rows.append(args[0].shape))
        with tuner.finish_only(wanted) if early else nullcontext():
            hidden = decoder(input_ids=ids).last_hidden_state.flatten(0, 1)[wanted]
        (hidden.pow(2).sum() + tuner.load_balancing_loss(torch.ones_like(ids))).backward()
        found.append([hidden, *(p.grad for p in tuned.parameters() if p.requires_grad)])
        if early and position != "mhsa":
            assert rows[-1] == (1, 4, 32)
        # Afterwards a pass is whole again.
        after = decoder(input_ids=ids).last_hidden_state.flatten(0, 1)[wanted]
        torch.testing.assert_close(after, found[0][0])
    for whole, early in zip(*found, strict=True):
        torch.testing.assert_close(early, whole)


def test_nothing_is_left_out_where_layers_are_computed_again() -> None:
    ids = torch.arange(7)[None]
    tuned = get_peft_model(small_llm(), MomeConfig()).train()
    tuned.get_base_model().activation_checkpointing_enable({"use_reentrant": False})
    decoder = tuned.get_base_model().model
    with tuned.base_model.finish_only(torch.tensor([2])):
        hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
    hidden[0, 2].sum().backward()
    torch.testing.assert_close(hidden, decoder(input_ids=ids, use_cache=False).last_hidden_state)
