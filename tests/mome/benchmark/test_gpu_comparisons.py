"""What is measured on a GPU only runs here too, at tiny sizes on the CPU."""

from functools import partial

import pytest
import torch

from mome.benchmark.batches import measure_batches
from mome.benchmark.decoding import bytes_per_token, measure_decoding
from mome.benchmark.models import llama_1b
from mome.benchmark.options import Options
from mome.benchmark.rows import Target
from mome.benchmark.timing import Side
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


PREFILL_S, BARE_S, WITH_EXPERTS_S, COPY_S = 2.0, 0.01, 0.03, 0.001


def run_once(sides: dict[str, Side], name: str, *, repetitions: int, device: str) -> dict[str, list[float]]:
    """Run each side, and say that it took what is planted: of a loaded machine no difference can be asked."""
    for side in sides.values():
        side()
    seconds = {"copy": COPY_S}
    for way in set(sides) - {"copy"}:
        per_token_s = BARE_S if " bare " in way else WITH_EXPERTS_S
        seconds[way] = PREFILL_S + per_token_s * int(way.rpartition(" ")[2])
    return {way: [each] * repetitions for way, each in seconds.items()}


def test_decoding_is_compared_with_the_bare_llm_and_with_reading_the_weights(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = partial(torch.compile, backend="eager", fullgraph=True, dynamic=False)
    monkeypatch.setattr("mome.benchmark.decoding.compiler", lambda: traced)
    monkeypatch.setattr("mome.benchmark.decoding.time_in_turn", run_once)
    plain, of_weights, *others = list(measure_decoding(options))
    for against_bare, against_reading in ((plain, of_weights), others[:2], others[2:]):
        assert against_bare.before_s == pytest.approx(BARE_S)
        assert against_bare.after_s == pytest.approx(WITH_EXPERTS_S)
        weights = bytes_per_token(llama_1b(options, torch.bfloat16))
        assert against_reading.before_s == pytest.approx(weights * COPY_S / (2 * 2**20))
        assert against_reading.after_s == pytest.approx(WITH_EXPERTS_S)
        assert "TB/s" in against_reading.note
    assert [row.target for row in (plain, of_weights)] == [None, None]
    assert [row.target for row in others] == [Target(high=1.1), Target(high=1.5)] * 2


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
