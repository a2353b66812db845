"""What follows from a processor is decided from what the system and the libraries' switches say."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mome.config import Params, load_params
from mome.machine import processor as module
from mome.machine.processor import (
    Processor,
    attention,
    available_cores,
    begin,
    decided,
    decided_everywhere,
    find_processor,
    number_of_threads,
    use_threads,
)

# Lines as these processors' own Linux prints them, cut to what counts.
HASWELL = """\
processor	: 0
model name	: Intel(R) Core(TM) i7-4770 CPU @ 3.40GHz
flags		: fpu sse sse2 ssse3 fma sse4_1 sse4_2 avx f16c avx2 bmi2
"""
SKYLAKE = HASWELL.replace("avx2", "avx2 avx512f avx512dq avx512cd avx512bw avx512vl").replace(
    "Core(TM) i7-4770", "Xeon(R) Gold 6154"
)
GENOA = SKYLAKE.replace("avx512vl", "avx512vl avx512_bf16 avx512_vnni")
SAPPHIRE_RAPIDS = GENOA.replace("avx512_vnni", "avx512_vnni amx_bf16 amx_tile amx_int8")
NEHALEM = HASWELL.replace(" avx f16c avx2 bmi2", "")
GRAVITON_2 = (
    "processor\t: 0\nFeatures\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp\nCPU part\t: 0xd0c\n"
)
GRAVITON_3 = GRAVITON_2.replace("asimdhp", "asimdhp sve i8mm bf16")


def found(tmp_path: Path, text: str, **environment: str) -> Processor:
    (tmp_path / "cpuinfo").write_text(text)
    return find_processor(tmp_path / "cpuinfo", tmp_path, environment)


@pytest.mark.parametrize(
    ("text", "instructions", "has_bfloat16"),
    [
        (NEHALEM, "other", False),
        (HASWELL, "avx2", False),
        (SKYLAKE, "avx512", False),
        (GENOA, "avx512-bf16", True),
        (SAPPHIRE_RAPIDS, "amx", True),
        (GRAVITON_2, "arm", False),
        (GRAVITON_3, "arm-bf16", True),
        ("machine\t: something nobody has met\n", "other", False),
        ("", "other", False),
    ],
)
def test_a_processor_is_known_by_its_flags(
    tmp_path: Path, text: str, instructions: str, has_bfloat16: bool
) -> None:
    processor = found(tmp_path, text)
    assert (processor.instructions, processor.has_bfloat16) == (instructions, has_bfloat16)


@pytest.mark.parametrize(
    ("switch", "instructions"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, "avx2"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI_2"}, "avx2"),
        ({"DNNL_MAX_CPU_ISA": "avx2_vnni"}, "avx2"),
        ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, "other"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "avx512"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}, "avx512"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, "avx512-bf16"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16"}, "avx512-bf16"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX10_1_512_AMX"}, "amx"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, "amx"),
        ({"ONEDNN_MAX_CPU_ISA": "DEFAULT"}, "amx"),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, "avx2"),
        ({"ATEN_CPU_CAPABILITY": "default"}, "other"),
        ({"ATEN_CPU_CAPABILITY": "avx512"}, "amx"),
        ({"MKL_ENABLE_INSTRUCTIONS": "AVX2"}, "avx2"),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx2"}, "avx2"),
        ({"ONEDNN_MAX_CPU_ISA": ""}, "amx"),
    ],
)
def test_what_a_library_may_not_use_is_not_there(
    tmp_path: Path, switch: dict[str, str], instructions: str
) -> None:
    assert found(tmp_path, SAPPHIRE_RAPIDS, **switch).instructions == instructions


def test_a_switch_makes_no_processor_better(tmp_path: Path) -> None:
    assert found(tmp_path, HASWELL, ONEDNN_MAX_CPU_ISA="AVX512_CORE_AMX").instructions == "avx2"
    assert found(tmp_path, GRAVITON_3, ONEDNN_MAX_CPU_ISA="AVX2").instructions == "arm-bf16"


def test_a_processor_says_its_name_and_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert str(found(tmp_path, HASWELL)) == "Intel(R) Core(TM) i7-4770 CPU @ 3.40GHz (AVX2), 1 core"


def test_a_system_without_cpuinfo_is_no_failure(tmp_path: Path) -> None:
    assert find_processor(tmp_path / "none", tmp_path, {}).instructions in (
        "other",
        "arm",
        "arm-bf16",
        "avx2",
    )


@pytest.mark.parametrize(
    ("limit", "count"),
    [("400000 100000\n", 4), ("150000 100000\n", 1), ("50000 100000\n", 1), ("max 100000\n", 64)],
)
def test_a_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, count: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "cpu.max").write_text(limit)
    assert available_cores(tmp_path) == count


def test_a_limit_above_the_machine_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    (tmp_path / "cpu.max").write_text("800000 100000")
    assert available_cores(tmp_path) == 2


def test_without_a_container_all_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert available_cores(tmp_path) == 8


@pytest.fixture
def params() -> Params:
    return load_params(Path("params.yaml"))


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> object:
    def stand_in(instructions: module.Instructions, cores: int = 2) -> None:
        there = Processor("Some processor", instructions, cores)
        monkeypatch.setattr(module, "processor", lambda: there)

    return stand_in


@pytest.mark.parametrize(
    ("instructions", "precision"), [("avx2", "float32"), ("other", "float32"), ("amx", "bfloat16")]
)
def test_auto_is_what_the_processor_has(
    params: Params, on: object, instructions: str, precision: str
) -> None:
    on(instructions)
    chosen = decided_everywhere(params)
    assert (chosen.foundation.precision, chosen.train.precision) == (precision, precision)
    # Decided once: where it was decided is what it stays.
    on("amx" if precision == "float32" else "avx2")
    assert decided_everywhere(chosen) == chosen


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_was_asked_for_stays(params: Params, on: object, precision: str) -> None:
    for instructions in ("avx2", "amx"):
        on(instructions)
        asked = params.train.model_copy(update={"precision": precision})
        assert decided(asked) == asked


def test_params_ask_the_machine_everywhere(params: Params) -> None:
    for profile in (None, *(path.stem for path in Path("mome/profiles").glob("*.yaml"))):
        found = load_params(Path("params.yaml"), profile)
        assert {found.foundation.precision, found.train.precision} == {"auto"}
        assert {found.foundation.threads, found.train.threads, found.evaluate.threads} == {"auto"}


@pytest.fixture
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_step_says_once_how_it_computes(
    params: Params, on: object, threads: object, capsys: pytest.CaptureFixture[str]
) -> None:
    on("avx2", 1)
    chosen = begin(params.train, "train")
    assert chosen.precision == "float32"
    assert capsys.readouterr().err == "train: float32 on Some processor (AVX2), 1 core, 1 thread\n"


def test_bfloat16_without_units_says_what_it_costs_and_runs(
    params: Params, on: object, threads: object, capsys: pytest.CaptureFixture[str]
) -> None:
    on("avx2", 1)
    asked = params.train.model_copy(update={"precision": "bfloat16"})
    assert begin(asked, "train").precision == "bfloat16"
    first, second = capsys.readouterr().err.splitlines()
    assert "bfloat16 on Some processor" in first
    assert "no units for bfloat16" in second
    assert "precision: auto would take float32" in second


def test_threads_are_as_many_as_cores_or_as_asked(
    on: object, threads: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module.psutil, "cpu_count", lambda logical: 16)
    on("avx2", 6)
    assert number_of_threads("auto") == 6
    for told, expected in (("4", 4), ("2,1", 2), ("12", 6), ("0", 6), ("many", 6), ("", 6)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert (number_of_threads("auto"), number_of_threads(5)) == (expected, 5)
    monkeypatch.delenv("OMP_NUM_THREADS")
    on("avx2", 64)
    assert number_of_threads("auto") == 8
    monkeypatch.setattr(module.psutil, "cpu_count", lambda logical: 4)  # eight that are four twice
    on("avx2", 8)
    assert number_of_threads("auto") == 4
    assert use_threads(1) == torch.get_num_threads() == 1


def test_a_gpu_attends_with_the_fused_kernel() -> None:
    assert (attention("cpu"), attention("cuda"), attention("cuda:1")) == ("eager", "sdpa", "sdpa")


def test_a_c_library_that_cannot_be_told_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    library = SimpleNamespace(mallopt=lambda option, value: told.append((option, value)))
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: library)
    module._keep_memory.__wrapped__()
    assert told == [(-4, 0), (-1, 2**31 - 1)]  # M_MMAP_MAX, M_TRIM_THRESHOLD of malloc.h
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: SimpleNamespace())  # as on macOS
    module._keep_memory.__wrapped__()
