"""MoME as people who know peft use it: names, devices, copies, several adapters, taking it off again."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.helpers import disable_input_dtype_casting
from peft.utils.peft_types import PeftType
from transformers import LlamaConfig, LlamaModel

from mome.tuners.mome import MomeConfig
from mome.tuners.mome.experts import Experts
from tests.small_llms import SIZES, small_llm

IDS = torch.arange(14).view(2, 7)
POSITIONS = ["mhsa", "ffn", "layer"]


def config(position: str = "layer", **settings: object) -> MomeConfig:
    return MomeConfig(
        **{"num_experts": 5, "top_k": 2, "bottleneck_dim": 4, "init_std": 0.3, "position": position}
        | settings
    )


def experts_of(model: torch.nn.Module) -> list[Experts]:
    return [module for module in model.modules() if isinstance(module, Experts)]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("name", ["default", "other", "router"])
def test_an_adapter_is_loaded_under_any_name(tmp_path: Path, position: str, name: str) -> None:
    tuned = get_peft_model(small_llm(), config(position), adapter_name="first").eval()
    expected = tuned(input_ids=IDS).logits
    tuned.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(small_llm(), str(tmp_path / "first"), adapter_name=name).eval()
    torch.testing.assert_close(again(input_ids=IDS).logits, expected, atol=0, rtol=0)
    again.load_adapter(str(tmp_path / "first"), adapter_name="once more")
    again.set_adapter("once more")
    torch.testing.assert_close(again(input_ids=IDS).logits, expected, atol=0, rtol=0)


@pytest.mark.parametrize("position", POSITIONS)
def test_unload_leaves_the_frozen_model_and_nothing_else(position: str) -> None:
    frozen = small_llm()
    expected, names = frozen(input_ids=IDS).logits, list(frozen.state_dict())
    bare = get_peft_model(frozen, config(position)).unload()
    torch.testing.assert_close(bare(input_ids=IDS).logits, expected, atol=0, rtol=0)
    assert list(bare.state_dict()) == names
    assert not any(module._forward_hooks for module in bare.modules())


@pytest.mark.parametrize("call", ["merge_and_unload", "merge_adapter", "unmerge_adapter"])
def test_merging_is_refused_before_anything_is_taken_apart(call: str) -> None:
    tuned = get_peft_model(small_llm(), config()).eval()
    expected = tuned(input_ids=IDS).logits
    with pytest.raises(NotImplementedError, match="cannot be merged"):
        getattr(tuned, call)()
    torch.testing.assert_close(tuned(input_ids=IDS).logits, expected, atol=0, rtol=0)


@pytest.mark.parametrize("position", POSITIONS)
def test_recorded_hidden_states_have_the_experts_in_them(position: str) -> None:
    tuned = get_peft_model(small_llm(), config(position)).eval()
    causal = tuned.get_base_model()
    output = tuned(input_ids=IDS, output_hidden_states=True)
    # What stands before the head, and what the second layer was given, are what was recorded.
    torch.testing.assert_close(causal.lm_head(output.hidden_states[-1]), output.logits)
    given = []
    causal.model.layers[1].register_forward_pre_hook(lambda _, args: given.append(args[0]))
    tuned(input_ids=IDS)
    torch.testing.assert_close(given[0], output.hidden_states[1])


@pytest.mark.parametrize("first", POSITIONS)
@pytest.mark.parametrize("second", POSITIONS)
def test_adapters_at_any_two_positions_add_up_in_any_order(first: str, second: str) -> None:
    torch.manual_seed(5)
    tuned = get_peft_model(small_llm(num_hidden_layers=1), config(first), adapter_name="first").eval()
    tuned.add_adapter("second", config(second))
    tuned.base_model.set_adapter(["first", "second"])
    for experts in experts_of(tuned):
        experts.requires_grad_(False)
    layer = tuned.get_base_model().model.layers[0]
    added = {}
    for wrapper in (layer.self_attn, layer.mlp):
        for name, experts in getattr(wrapper, "mome_experts", {}).items():
            experts.register_forward_hook(
                lambda _, args, out, name=name: added.update({name: (args[0], out)})
            )
    seen = {}
    layer.input_layernorm.register_forward_hook(lambda _, __, out: seen.update(normed=out))
    layer.post_attention_layernorm.register_forward_hook(
        lambda _, args, out: seen.update(between=args[0], second=out)
    )
    hidden = tuned(input_ids=IDS, output_hidden_states=True).hidden_states
    reads = {"mhsa": "normed", "layer": "normed", "ffn": "second"}
    for name, position in (("first", first), ("second", second)):
        torch.testing.assert_close(added[name][0], seen[reads[position]])
    # The layer as its formula has it, with the attention block run by hand.
    attended = seen["between"] + _frozen_mlp(layer)(seen["second"])
    expected = attended + sum(
        added[name][1] for name, position in (("first", first), ("second", second)) if position != "mhsa"
    )
    norm = tuned.get_base_model().model.norm
    torch.testing.assert_close(norm(expected), hidden[-1], atol=1e-5, rtol=1e-5)


def _frozen_mlp(layer: torch.nn.Module) -> torch.nn.Module:
    return getattr(layer.mlp, "base_layer", layer.mlp)


def test_experts_follow_the_frozen_model_to_its_device_and_precision() -> None:
    with torch.device("meta"):
        base = small_llm()
    assert {p.device.type for p in get_peft_model(base, config()).parameters()} == {"meta"}
    half = get_peft_model(small_llm().to(torch.bfloat16), config(), autocast_adapter_dtype=False)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    # What trains keeps its digits, as peft has it.
    mixed = get_peft_model(small_llm().to(torch.bfloat16), config())
    assert {p.dtype for p in mixed.parameters() if p.requires_grad} == {torch.float32}


def test_experts_start_as_wide_as_the_model_says() -> None:
    tuned = get_peft_model(small_llm(hidden_size=256, initializer_range=0.05), config(init_std=None))
    for experts in experts_of(tuned):
        assert experts.up_weight_MWD.std().item() == pytest.approx(0.05, rel=0.05)
    assert tuned.peft_config["default"].init_std == 0.05


def test_the_losses_of_an_inactive_adapter_do_not_count() -> None:
    tuned = get_peft_model(small_llm(), config(), adapter_name="first")
    tuned.add_adapter("second", config(num_experts=3))
    alone = get_peft_model(small_llm(), config(num_experts=3))
    for layer, theirs in zip(tuned.get_base_model().model.layers, experts_of(alone), strict=True):
        layer.mlp.mome_experts["second"].load_state_dict(theirs.state_dict())
    mask = torch.ones_like(IDS)
    for name in ("first", "second"):
        tuned.set_adapter(name)
        tuned(input_ids=IDS)
        assert len(tuned.base_model.routings()) == 2
        # One step after another: nothing leads back into the graph of the first.
        tuned.base_model.load_balancing_loss(mask).backward()
    alone(input_ids=IDS)
    torch.testing.assert_close(
        tuned.base_model.load_balancing_loss(mask), alone.base_model.load_balancing_loss(mask)
    )
    tuned.base_model.set_adapter(["first", "second"])
    tuned(input_ids=IDS)
    together = tuned.base_model.load_balancing_loss(mask)
    assert together > alone.base_model.load_balancing_loss(mask) + 1  # each is near its top_k, two


def test_a_balance_that_nothing_can_be_said_about_is_an_error() -> None:
    tuned = get_peft_model(small_llm(), config())
    mask = torch.ones_like(IDS)
    with pytest.raises(ValueError, match="no pass has gone through"):
        tuned.base_model.load_balancing_loss(mask)
    tuned(input_ids=IDS)
    with pytest.raises(ValueError, match="14 positions, the mask has 12"):
        tuned.base_model.load_balancing_loss(mask[:, :6])
    with tuned.disable_adapter(), pytest.raises(ValueError, match="no pass has gone through"):
        tuned.base_model.load_balancing_loss(mask)


@pytest.mark.parametrize("position", POSITIONS)
def test_checkpointing_gives_the_same_gradients_or_an_error(position: str) -> None:
    mask = torch.ones_like(IDS)

    def read(use_reentrant: bool | None) -> PeftModel:
        torch.manual_seed(6)
        tuned = get_peft_model(small_llm(), config(position)).train()
        for experts in experts_of(tuned):
            torch.manual_seed(7)
            experts.reset_parameters(config(position))
        if use_reentrant is not None:
            tuned.get_base_model().activation_checkpointing_enable({"use_reentrant": use_reentrant})
            tuned.enable_input_require_grads()
        tuned.loss = tuned(input_ids=IDS, labels=IDS, use_cache=False).loss
        return tuned

    gradients = []
    for use_reentrant in (None, False):
        tuned = read(use_reentrant)
        (tuned.loss + tuned.base_model.load_balancing_loss(mask)).backward()
        gradients.append([p.grad for p in tuned.parameters() if p.requires_grad])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)
    with pytest.raises(ValueError, match="use_reentrant=False"):
        read(use_reentrant=True).base_model.load_balancing_loss(mask)


def test_a_model_that_has_read_can_be_copied_and_pickled() -> None:
    tuned = get_peft_model(small_llm(), config())
    expected = tuned(input_ids=IDS).logits
    for again in (copy.deepcopy(tuned), pickle.loads(pickle.dumps(tuned))):
        torch.testing.assert_close(again(input_ids=IDS).logits, expected)
    # The copy's experts read the copy's norm: the original's may go.
    again = copy.deepcopy(tuned)
    for layer in tuned.get_base_model().model.layers:
        torch.nn.init.zeros_(layer.input_layernorm.weight)
    torch.testing.assert_close(again(input_ids=IDS).logits, expected)


def test_torch_compile_takes_the_model_in_one_graph() -> None:
    tuned = get_peft_model(small_llm(num_hidden_layers=1), config()).eval()
    with torch.no_grad():
        expected = tuned(input_ids=IDS).logits
        compiled = torch.compile(tuned.get_base_model().model.forward, backend="eager", fullgraph=True)
        hidden = compiled(input_ids=IDS, use_cache=False).last_hidden_state
        torch.testing.assert_close(tuned.get_base_model().lm_head(hidden), expected)


def test_a_static_cache_gives_the_same_text() -> None:
    tuned = get_peft_model(small_llm(), config()).eval()
    settings = {"input_ids": IDS, "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(tuned.generate(**settings), tuned.generate(**settings, cache_implementation="static"))


def test_a_model_without_head_takes_experts_too() -> None:
    torch.manual_seed(0)
    bare = LlamaModel(LlamaConfig(**SIZES)).eval()
    expected = bare(input_ids=IDS).last_hidden_state
    tuned = get_peft_model(bare, config())
    assert not torch.allclose(tuned(input_ids=IDS).last_hidden_state, expected)


def test_a_layer_without_a_norm_to_read_is_refused() -> None:
    with pytest.raises(ValueError, match="input_layernorm"):
        get_peft_model(small_llm(), config("layer", target_modules=["self_attn"]))


def test_scales_selected_for_another_batch_are_refused() -> None:
    tuned = get_peft_model(small_llm(), config(top_k=[1, 2]))
    tuned.base_model.select_scales(torch.tensor([0, 1, 1]))
    with pytest.raises(ValueError, match="3 sequences, but the pass has 2"):
        tuned(input_ids=IDS)


def test_casting_of_the_input_can_be_switched_off() -> None:
    tuned = get_peft_model(small_llm(), config()).eval()
    expected = tuned(input_ids=IDS).logits
    with disable_input_dtype_casting(tuned):
        torch.testing.assert_close(tuned(input_ids=IDS).logits, expected, atol=0, rtol=0)


@pytest.mark.parametrize(
    "wrong",
    [{"top_k": 2.5}, {"top_k": []}, {"bottleneck_dim": 2.5}, {"init_std": -1.0}, {"num_experts": True}],
)
def test_settings_of_the_wrong_kind_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MomeConfig(**wrong)


def test_threads_that_read_at_once_do_not_mix_their_tokens() -> None:
    tuned = get_peft_model(small_llm(), config()).eval()
    batches = [torch.randint(64, (1, 5 + number)) for number in range(8)]
    with torch.no_grad():
        expected = [tuned(input_ids=batch).logits for batch in batches]

    def read(number: int) -> bool:
        with torch.no_grad():
            return torch.equal(tuned(input_ids=batches[number % 8]).logits, expected[number % 8])

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(200)))


def test_peft_knows_the_method_as_one_of_its_own() -> None:
    kind = MomeConfig().peft_type
    assert kind is PeftType.MOME is PeftType["MOME"] is PeftType("MOME")
    assert kind in list(PeftType)
    # From Python 3.12 on members are attributes of their class, which is how peft asks.
    assert vars(PeftType)["MOME"] is kind
    assert pickle.loads(pickle.dumps(kind)) is kind
