"""What is measured on a GPU only runs here too, at tiny sizes on the CPU."""

from functools import partial

import pytest
import torch

from mome.benchmark.batches import measure_batches
from mome.benchmark.decoding import bytes_per_token, measure_decoding
from mome.benchmark.models import llama_1b
from mome.benchmark.options import Options
from mome.benchmark.rows import Target
from mome.benchmark.training import measure_training


@pytest.fixture(autouse=True)
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Options, "on_gpu", True)


def test_the_training_step_of_the_published_backbones(options: Options) -> None:
    rows = list(measure_training(options))
    for precision, (step, *moves, language) in (("float32", rows[:6]), ("bfloat16", rows[6:])):
        assert "Whisper-medium" in step.what
        assert step.what.endswith(precision)
        assert (step.target, language.target) == (Target(low=4), Target(low=2))
        assert len(moves) == 4
        assert all(row.ratio is not None for row in (step, *moves, language))


def test_decoding_is_compared_with_the_bare_llm_and_with_reading_the_weights(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = partial(torch.compile, backend="eager", fullgraph=True, dynamic=False)
    monkeypatch.setattr("mome.benchmark.decoding.compiler", lambda: traced)
    rows = list(measure_decoding(options))
    assert [row.target for row in rows] == [None, None, *[Target(high=1.1), Target(high=1.5)] * 2]
    for row in rows:
        assert row.ratio is not None
        assert row.before_s is not None
        assert row.before_s > 0
    assert all("TB/s" in row.note for row in rows[1::2])


def test_callers_are_compared_with_real_time(options: Options) -> None:
    rows = list(measure_batches(options))
    assert [row.target for row in rows] == [Target(low=300)] * 2
    for row in rows:
        assert row.ratio is not None
        assert row.before_s is not None
        assert row.after_s is not None
        # Real time over the median, which lies between the fastest and the slowest.
        assert row.ratio.low <= row.before_s / row.after_s <= row.ratio.high


def test_a_decoded_token_reads_every_weight_once(options: Options) -> None:
    llm = llama_1b(options, torch.float32)
    tied = llm.get_base_model()
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    seen = {id(parameter): parameter for parameter in llm.parameters()}
    assert bytes_per_token(llm) == sum(4 * parameter.numel() for parameter in seen.values())
