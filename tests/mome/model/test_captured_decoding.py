"""Captured steps write what plain decoding writes, and nothing on the way waits for a GPU."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch._dynamo.utils import counters

from mome.config import load_params
from mome.foundation.encoders import new_audio_encoder, new_video_encoder
from mome.model import captured_decoding
from mome.model.avsr import Features, Task
from mome.model.captured_decoding import CapturedSteps, _Step
from mome.model.encoders import Encoders
from tests.gpu_stand_in import new_model
from tests.hearers import Hearer
from tests.small_recognisers import TASKS, small_recogniser

ROOT = Path(__file__).parents[3]
LONGEST = 6


def compiled_steps() -> CapturedSteps:
    """Trace as on a GPU, into one graph or not at all, and run the graph without a compiler."""
    return CapturedSteps(partial(torch.compile, backend="eager", fullgraph=True, dynamic=False))


def on_gpu(patches: pytest.MonkeyPatch, capture: Callable[[_Step, object], object]) -> None:
    """Let every new step be captured, in this way."""
    patches.setattr(_Step, "capture", capture)
    patches.setattr(CapturedSteps, "_is_on_gpu", staticmethod(lambda _: True))


def warm_up(step: _Step, pool: object) -> object:
    """Write as steps do, which raises on a CPU where it would end a GPU's process."""
    for _ in range(captured_decoding._WARM_UPS):
        step._run()
    return pool


@pytest.mark.parametrize("top_k", [4, [4, 2]], ids=["one top_k", "top_k by scale"])
def test_compiled_steps_write_the_same_and_compile_once(top_k: int | list[int]) -> None:
    model = small_recogniser(0.2, top_k=top_k)
    together, alone = model.transcribe(TASKS, LONGEST), [model.transcribe([t], LONGEST)[0] for t in TASKS]
    assert len(set(together)) > 1
    torch._dynamo.reset()
    counters.clear()
    model.captured_steps = compiled_steps()

    for _ in range(2):  # the second time in caches that were used before
        assert model.transcribe(TASKS, LONGEST) == together
        assert [model.transcribe([task], LONGEST)[0] for task in TASKS] == alone

    # One for a batch, one for a clip alone: no length of a clip or a text, and no scale, needs another.
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]


@pytest.mark.parametrize("top_k", [4, [4, 2]], ids=["one top_k", "top_k by scale"])
def test_steps_that_are_used_again_write_the_same(top_k: int | list[int]) -> None:
    plain, model = small_recogniser(0.2, top_k=top_k), small_recogniser(0.2, top_k=top_k)
    steps = model.captured_steps = CapturedSteps()
    for budget in (LONGEST, 1, 2, LONGEST):
        expected = [plain.transcribe([task], budget)[0] for task in TASKS]
        for tasks, texts in ((TASKS, expected), (TASKS[::-1], expected[::-1])):
            assert model.transcribe(tasks, budget) == texts
            assert [model.transcribe([task], budget)[0] for task in tasks] == texts
    assert len(steps._steps) == 2  # for eight rows, and for one


@pytest.mark.parametrize("method", ["mtsk-mss", "omni-t", "mome-mhsa"])
def test_every_set_of_adapters_has_steps_of_its_own(method: str) -> None:
    encoders = Encoders(new_audio_encoder()[0].eval(), new_video_encoder().eval())
    params = load_params(ROOT / "params.yaml").train.model_copy(update={"method": method, "top_k": 4})
    torch.manual_seed(3)
    model = new_model(encoders, params).eval()
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.llm.named_parameters():
        if "lora_B" in name:  # zero, so that every adapter would say nothing
            parameter.data = torch.randn(parameter.shape, generator=generator)
    both = Features(
        torch.randn(50, encoders.audio.width, generator=generator),
        torch.randn(25, encoders.video.width, generator=generator),
    )
    tasks = [Task(both.only(modality), scale) for modality in model.modalities for scale in model.scales]
    expected = model.transcribe(tasks, LONGEST)
    steps = model.captured_steps = CapturedSteps()
    for _ in range(2):
        assert model.transcribe(tasks, LONGEST) == expected
    assert len(steps._steps) == len(model._groups(tasks))


def test_fused_attention_is_masked_alike() -> None:
    # As a GPU computes it.
    model = small_recogniser(0.2)
    model.llm.get_base_model().set_attn_implementation("sdpa")
    alone = [model.transcribe([task], LONGEST)[0] for task in TASKS]
    model.captured_steps = CapturedSteps()
    assert model.transcribe(TASKS, LONGEST) == alone
    assert [model.transcribe([task], LONGEST)[0] for task in TASKS] == alone


@pytest.mark.parametrize("budget", [1, 2, LONGEST])
def test_warming_up_writes_nothing_beyond_the_cache(monkeypatch: pytest.MonkeyPatch, budget: int) -> None:
    model = small_recogniser(0.2)
    expected = model.transcribe(TASKS, budget)
    monkeypatch.setattr(captured_decoding, "_CACHE_STEP", 1)
    on_gpu(monkeypatch, warm_up)
    steps = model.captured_steps = CapturedSteps()
    assert model.transcribe(TASKS, budget) == expected
    assert steps._is_usable


def test_caches_that_were_not_used_for_long_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_recogniser(0.2)
    expected = [model.transcribe([task], LONGEST)[0] for task in TASKS]
    steps = model.captured_steps = CapturedSteps()
    monkeypatch.setattr("mome.model.captured_decoding._MOST_POSITIONS", 5 * 256)
    for count, kept in ((1, [1]), (4, [1, 4]), (1, [4, 1]), (2, [1, 2]), (6, [8])):
        assert model.transcribe(TASKS[:count], LONGEST) == expected[:count]
        assert [rows for rows, *_ in steps._steps] == kept


def test_an_llm_that_cannot_be_captured_is_read_plainly(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    model = small_recogniser(0.2)
    expected = model.transcribe(TASKS, LONGEST)
    on_gpu(monkeypatch, fail)
    model.captured_steps = CapturedSteps()
    for _ in range(2):
        assert model.transcribe(TASKS, LONGEST) == expected
    (said,) = caplog.messages
    assert "no step can be captured: operation not permitted" in said


def test_memory_that_runs_out_is_made_free_and_no_reason_to_read_plainly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model = small_recogniser(0.2)
    steps = model.captured_steps = CapturedSteps()
    expected = model.transcribe(TASKS[:1], LONGEST)
    with monkeypatch.context() as patches:
        on_gpu(patches, fail)
        with pytest.raises(torch.OutOfMemoryError):
            model.transcribe(TASKS, LONGEST)
    assert not steps._steps
    assert model.transcribe(TASKS[:1], LONGEST) == expected
    assert len(steps._steps) == 1


def test_several_threads_take_turns() -> None:
    model = small_recogniser(0.2)
    expected = [model.transcribe([task], LONGEST)[0] for task in TASKS]
    model.captured_steps = CapturedSteps()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda task: model.transcribe([task], LONGEST)[0], TASKS * 3))
    assert found == expected * 3


def test_a_reading_of_compiled_steps_can_be_left() -> None:
    model = small_recogniser(0.2)
    (expected,) = model.transcribe(TASKS[:1], LONGEST)
    model.captured_steps = compiled_steps()
    left, stays = Hearer(patience=1), Hearer()
    model.read(TASKS[:1], [LONGEST], [left])
    model.read(TASKS[:1], [LONGEST], [stays])
    assert left.texts == []
    assert [text.text for text in stays.texts] == [expected]


def test_batches_of_other_sizes_compile_few_steps_and_write_the_same() -> None:
    model = small_recogniser(0.2, top_k=[4, 2])
    expected = [model.transcribe([task], LONGEST)[0] for task in TASKS]
    alone = [Hearer(live=False) for _ in TASKS]
    for task, hearer in zip(TASKS, alone, strict=True):
        model.read([task], [LONGEST], [hearer])
    sure = [[token.logprob for token in hearer.texts[0].tokens] for hearer in alone]
    torch._dynamo.reset()
    counters.clear()
    model.captured_steps = compiled_steps()

    for size in (3, 4, 6, 5, 3):
        hearers = [Hearer(live=False) for _ in range(size)]
        model.read(TASKS[:size], [LONGEST] * size, hearers)
        texts = [hearer.texts[0] for hearer in hearers]
        assert [text.text for text in texts] == expected[:size]
        for text, plain in zip(texts, sure, strict=False):
            assert [token.logprob for token in text.tokens] == pytest.approx(plain, abs=1e-4)

    assert counters["stats"]["unique_graphs"] == 2  # of four rows, and of eight


def test_a_model_that_has_decoded_can_be_trained() -> None:
    model = small_recogniser(0.2, top_k=[4, 2])
    model.captured_steps = compiled_steps()
    model.transcribe(TASKS, LONGEST)
    losses = model([Task(task.features, task.scale, [30, 31]) for task in TASKS])
    losses.language.backward()
    assert all(parameter.grad is not None for parameter in model.trained_parameters().values())


def test_beams_are_decoded_without_compiled_steps() -> None:
    model = small_recogniser(0.2)
    expected = model.transcribe(TASKS, LONGEST, num_beams=3)
    model.captured_steps = compiled_steps()
    assert model.transcribe(TASKS, LONGEST, num_beams=3) == expected


def test_kernels_that_cannot_be_compiled_are_captured_as_they_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("Failed to find C compiler.")

    model = small_recogniser(0.2)
    expected = model.transcribe(TASKS, LONGEST)
    on_gpu(monkeypatch, warm_up)
    steps = model.captured_steps = CapturedSteps(lambda _: fail)
    for _ in range(2):
        assert model.transcribe(TASKS, LONGEST) == expected
    (said,) = caplog.messages
    assert "stay as they are: Failed to find C compiler." in said
    assert len(steps._steps) == 1


def test_nothing_waits_for_a_gpu_nor_is_left_on_the_cpu() -> None:
    # Not Llama-SMoP's: its loop over projectors asks which tokens chose each.
    methods = ["mome-layer", "mome-mhsa-i", "mtsk-mss", "omni-st"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu_stand_in", *methods],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # A captured step cannot copy anything to the device.
    assert json.loads(done.stdout) == {"one top_k": 0, "top_k by scale": 0}
