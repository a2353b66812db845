"""Compiled steps write what plain decoding writes, and nothing on the way waits for a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import CompileConfig

from mome.model.avsr import Task
from mome.model.compiled_decoding import CompiledSteps, compile_config
from tests.hearers import Hearer
from tests.small_recognisers import TASKS, small_recogniser

ROOT = Path(__file__).parents[3]
LONGEST = 6


def steps_on_cpu() -> CompiledSteps:
    """Trace as on a GPU, into one graph or not at all, and run the graph without a compiler."""
    config = CompileConfig(backend="eager", mode="default", fullgraph=True, dynamic=False)
    config._compile_all_devices = True
    return CompiledSteps(config)


@pytest.mark.parametrize("top_k", [4, [4, 2]], ids=["one top_k", "top_k by scale"])
def test_compiled_steps_write_the_same_and_compile_once(top_k: int | list[int]) -> None:
    model = small_recogniser(0.2, top_k=top_k)
    together, alone = model.transcribe(TASKS, LONGEST), [model.transcribe([t], LONGEST)[0] for t in TASKS]
    assert len(set(together)) > 1
    torch._dynamo.reset()
    counters.clear()
    model.compiled_steps = steps_on_cpu()

    for _ in range(2):  # the second time in caches that were used before
        assert model.transcribe(TASKS, LONGEST) == together
        assert [model.transcribe([task], LONGEST)[0] for task in TASKS] == alone

    # One for a batch, one for a clip alone: no length of a clip or a text, and no scale, needs another.
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["graph_break"]


def test_a_reading_of_compiled_steps_can_be_left() -> None:
    model = small_recogniser(0.2)
    (expected,) = model.transcribe(TASKS[:1], LONGEST)
    model.compiled_steps = steps_on_cpu()
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
    model.compiled_steps = steps_on_cpu()

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
    model.compiled_steps = steps_on_cpu()
    model.transcribe(TASKS, LONGEST)
    losses = model([Task(task.features, task.scale, [30, 31]) for task in TASKS])
    losses.language.backward()
    assert all(parameter.grad is not None for parameter in model.trained_parameters().values())


def test_beams_are_decoded_without_compiled_steps() -> None:
    model = small_recogniser(0.2)
    expected = model.transcribe(TASKS, LONGEST, num_beams=3)
    model.compiled_steps = steps_on_cpu()
    assert model.transcribe(TASKS, LONGEST, num_beams=3) == expected


def test_without_a_c_compiler_steps_are_captured_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "cc"
    compiler.touch(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert compile_config().backend == "inductor"
    monkeypatch.setenv("CC", str(tmp_path / "nowhere"))
    assert compile_config().backend == "cudagraphs"


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
