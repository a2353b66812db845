"""The frozen LLM that experts are compared with, and what a coarser scale may save."""

import pytest
import torch

from mome.benchmark.language import experts_removed, random_prefix
from mome.benchmark.models import llama_1b
from mome.benchmark.options import Options
from mome.benchmark.scales import allowed_time


def test_without_experts_the_frozen_llm_is_left(options: Options) -> None:
    llm = llama_1b(options, torch.float32)
    prefix_BLD = random_prefix(llm, 5)
    with torch.no_grad():
        adapted = llm(inputs_embeds=prefix_BLD).logits
        with llm.disable_adapter():
            frozen = llm(inputs_embeds=prefix_BLD).logits
        with experts_removed(llm):
            alone = llm.get_base_model()(inputs_embeds=prefix_BLD).logits
        torch.testing.assert_close(alone, frozen, atol=0, rtol=0)
        assert not torch.allclose(adapted, frozen)
        torch.testing.assert_close(llm(inputs_embeds=prefix_BLD).logits, adapted, atol=0, rtol=0)


def test_only_the_prefill_becomes_shorter_with_fewer_tokens() -> None:
    # 2 s, of which 1 s is the prefill of 200 positions; 50 positions would take a quarter of that.
    assert allowed_time(2.0, 1.0, 200, 50) == pytest.approx(1.25)
    assert allowed_time(2.0, 1.0, 200, 200) == pytest.approx(2.0)
