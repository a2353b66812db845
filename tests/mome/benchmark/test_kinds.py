"""Kinds of processors: which can be imitated here, what the page says, and when the check fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mome.benchmark import kinds as module
from mome.benchmark import lessons
from mome.benchmark.kinds import Kind, kinds, page, quickest, slowdown
from mome.errors import TrainingError
from mome.machine.processor import find_processor

AVX2, HERE = Kind("avx2", {"ONEDNN_MAX_CPU_ISA": "AVX2"}), Kind("avx512-bf16", {})


def seconds(float32: float, bfloat16: float) -> module.Seconds:
    return {"audio lesson": {"float32": float32, "bfloat16": bfloat16}}


def test_only_lesser_kinds_are_imitated_and_each_looks_like_what_it_is_called(tmp_path: Path) -> None:
    assert [kind.instructions for kind in kinds("amx")] == ["avx2", "avx512", "avx512-bf16", "amx"]
    assert [kind.instructions for kind in kinds("avx512")] == ["avx2", "avx512"]
    assert kinds("arm-bf16") == [Kind("arm-bf16", {})]
    best = tmp_path / "cpuinfo"
    best.write_text("model name : x\nflags : avx2 avx512bw avx512_bf16 amx_bf16\n")
    for kind in kinds("amx")[:-1]:
        assert "(imitated)" in kind.name
        assert find_processor(best, tmp_path, kind.switches).instructions == kind.instructions
    assert kinds("amx")[-1].switches == {}


def test_the_page_compares_auto_with_the_better_of_both() -> None:
    lines = page([(AVX2, [seconds(0.2, 2.0), seconds(0.4, 2.0), seconds(0.3, 2.0)])]).splitlines()
    assert lines[2] == "| AVX2 (imitated) | float32 | audio lesson | 300 | 2000 | 1.00 |"


def test_the_quickest_of_several_counts() -> None:
    assert quickest([seconds(0.2, 3.0), seconds(0.4, 2.0)]) == seconds(0.2, 2.0)
    assert slowdown(seconds(0.8, 9.0), seconds(0.2, 1.0)) == {"audio lesson": pytest.approx(4.0)}


@pytest.mark.parametrize(("times", "passes"), [(3.9, True), (4.1, False)])
def test_the_check_fails_above_its_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], times: float, passes: bool
) -> None:
    took = {AVX2.name: seconds(0.1 * times, 1.0), HERE.name: seconds(0.1, 1.0)}
    monkeypatch.setattr(module, "measure", lambda kind, precisions: took[kind.name])
    if passes:
        module._check([AVX2, HERE], 4)
    else:
        with pytest.raises(TrainingError, match=r"4\.10 times as long on AVX2 \(imitated\), at most 4"):
            module._check([AVX2, HERE], 4)
    assert f"takes {times:.2f} times as long" in capsys.readouterr().out


def test_a_step_of_everything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "_LESSONS", 16)
    monkeypatch.setattr(lessons, "_MOST_S", 0.0)
    monkeypatch.setattr(lessons, "_CLIPS", 1)
    threads = torch.get_num_threads()
    try:
        found = lessons.seconds(["auto"])
    finally:
        torch.set_num_threads(threads)
    assert list(found) == ["audio lesson", "video lesson", "language lesson", "training step"]
    assert all(times["auto"] > 0 for times in found.values())


def test_a_processor_is_found_as_an_environment_makes_it_look() -> None:
    command = "from mome.machine.processor import processor; print(processor().instructions)"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == find_processor(environment=environment).instructions
