"""What this machine's processor is, and what follows from it for computing. Nothing else asks the processor.

A choice that was right on one processor costs hours on another: in bfloat16 a processor without units for it
takes six to eleven times as long as in float32. So every such choice is made here, from what is there.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

import psutil

from mome.config import FoundationParams, Params, Precision, Threads, TrainParams

__all__ = [
    "Instructions",
    "Processor",
    "attention",
    "available_cores",
    "begin",
    "best_precision",
    "decided",
    "decided_everywhere",
    "find_processor",
    "instruction_names",
    "machine",
    "number_of_threads",
    "precision_bits",
    "processor",
    "running_precision",
    "use_threads",
]

# What counts of an instruction set, from the least to the most; "other" is what nobody here has met.
Instructions = Literal["other", "avx2", "avx512", "avx512-bf16", "amx", "arm", "arm-bf16"]

instruction_names: dict[Instructions, str] = {
    "other": "neither AVX2 nor a 64-bit Arm",
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "avx512-bf16": "AVX-512 with bfloat16 units",
    "amx": "AMX",
    "arm": "Arm without bfloat16 units",
    "arm-bf16": "Arm with bfloat16 units",
}
_HAS_BFLOAT16: frozenset[Instructions] = frozenset({"avx512-bf16", "amx", "arm-bf16"})
_BY_FLAG: tuple[tuple[str, Instructions], ...] = (
    ("amx_bf16", "amx"),
    ("avx512_bf16", "avx512-bf16"),
    ("avx512bw", "avx512"),
    ("avx2", "avx2"),
)
# Libraries can be told to leave instructions alone; then these are not there for us either. Of several
# switches the lowest counts. Names as oneDNN, torch and MKL have them, in capitals.
_ONEDNN: tuple[tuple[str, Instructions], ...] = (
    (r".*AMX.*|ALL|DEFAULT", "amx"),
    (r"AVX512_CORE_(BF16|FP16)|AVX10.*", "avx512-bf16"),
    (r"AVX512.*", "avx512"),
    (r"AVX2.*", "avx2"),
    (r".+", "other"),
)
_OTHERS: tuple[tuple[str, Instructions], ...] = (
    (r"AVX512.*", "amx"),  # says nothing of what came after
    (r"AVX2.*", "avx2"),
    (r".+", "other"),
)
_SWITCHES = {
    "ONEDNN_MAX_CPU_ISA": _ONEDNN,
    "DNNL_MAX_CPU_ISA": _ONEDNN,
    "ATEN_CPU_CAPABILITY": _OTHERS,
    "MKL_ENABLE_INSTRUCTIONS": _OTHERS,
}
_X86: tuple[Instructions, ...] = ("other", "avx2", "avx512", "avx512-bf16", "amx")

_CPUINFO = Path("/proc/cpuinfo")
_CGROUP = Path("/sys/fs/cgroup")  # what a container sees of its own limits (cgroup version 2)

_MOST_THREADS = 8  # the models here are small: nobody has seen them gain from more
_MMAP_MAX, _TRIM_THRESHOLD = -4, -1  # of mallopt(3)
_LARGEST_INT = 2**31 - 1

Section = TypeVar("Section", FoundationParams, TrainParams)


@dataclass(frozen=True)
class Processor:
    """A processor as far as computing is concerned.

    Args:
        name: As its maker calls it.
        instructions: The best that it has and that the libraries may use.
        cores: That this process may use; a container's share of them.
    """

    name: str
    instructions: Instructions
    cores: int

    @property
    def has_bfloat16(self) -> bool:
        """Whether products in bfloat16 have units of their own."""
        return self.instructions in _HAS_BFLOAT16

    @property
    def precision(self) -> Precision:
        """What ``auto`` is on it."""
        return "bfloat16" if self.has_bfloat16 else "float32"

    def __str__(self) -> str:
        """Say what it is, as in ``AMD EPYC (AVX-512), 2 cores``."""
        return f"{self.name} ({instruction_names[self.instructions]}), {self.cores} core" + "s" * (
            self.cores > 1
        )


@cache
def processor() -> Processor:
    """Return this machine's processor."""
    return find_processor()


def find_processor(
    cpuinfo: Path = _CPUINFO, cgroup: Path = _CGROUP, environment: Mapping[str, str] | None = None
) -> Processor:
    """Read what the system says of its processor.

    Args:
        cpuinfo: As Linux has it; where there is none, the system is asked otherwise.
        cgroup: As `available_cores`.
        environment: With the libraries' own switches; default: this process's.
    """
    given = os.environ if environment is None else environment
    cores = available_cores(cgroup)
    try:
        text = cpuinfo.read_text()
    except OSError:
        name, instructions = _without_cpuinfo()
    else:
        name, instructions = _from_cpuinfo(text)
    return Processor(name, _allowed(instructions, given), cores)


def _from_cpuinfo(text: str) -> tuple[str, Instructions]:
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        entries.setdefault(key.strip().lower(), value.strip())
    name = entries.get("model name") or platform.processor() or platform.machine()
    if "features" in entries:  # Arm
        features = entries["features"].split()
        if "asimd" in features:
            return name, "arm-bf16" if "bf16" in features else "arm"
        return name, "other"
    flags = entries.get("flags", "").split()
    return name, next((found for flag, found in _BY_FLAG if flag in flags), "other")


def _without_cpuinfo() -> tuple[str, Instructions]:
    """Ask macOS; any other system stays unknown."""
    if platform.system() != "Darwin":
        return platform.processor() or platform.machine(), "other"
    name = _sysctl("machdep.cpu.brand_string") or platform.machine()
    if platform.machine() == "arm64":
        return name, "arm-bf16" if _sysctl("hw.optional.arm.FEAT_BF16") == "1" else "arm"
    return name, "avx2" if _sysctl("hw.optional.avx2_0") == "1" else "other"


def _sysctl(name: str) -> str:
    try:
        return subprocess.run(
            ["sysctl", "-n", name], capture_output=True, text=True, timeout=5
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def _allowed(instructions: Instructions, environment: Mapping[str, str]) -> Instructions:
    """Return the best of an x86 that no library's switch forbids."""
    if instructions not in _X86:
        return instructions
    level = _X86.index(instructions)
    for variable, table in _SWITCHES.items():
        value = environment.get(variable, "").strip().upper()
        limit = next((found for pattern, found in table if re.fullmatch(pattern, value)), None)
        if limit is not None:
            level = min(level, _X86.index(limit))
    return _X86[level]


def available_cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores this process may use, at least 1: a container's share, not all of its machine.

    Args:
        cgroup: Folder with the limits of this container.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    logical = os.cpu_count() or 1
    count = len(affinity(0)) if affinity else logical
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):  # no container, or a system that says it elsewhere
        return count
    # os.cpu_count() knows no limit: a pod with four of 64 cores would start 64 processes.
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))


def decided(section: Section) -> Section:
    """Return a section in which ``precision: auto`` has become what this machine is best at.

    A result is known by what was decided: two that differ in it are never taken for one another.
    """
    if section.precision != "auto":
        return section
    device = section.device if isinstance(section, TrainParams) else "cpu"
    return section.model_copy(update={"precision": best_precision(device)})


def decided_everywhere(params: Params) -> Params:
    """Return all sections, with every choice made that `decided` makes."""
    return params.model_copy(
        update={"foundation": decided(params.foundation), "train": decided(params.train)}
    )


def best_precision(device: str = "cpu") -> Precision:
    """Return what ``precision: auto`` is on a device."""
    if device == "cpu":
        return processor().precision
    import torch  # only here: whoever asks about a CPU need not load it

    has_units = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_units else "float32"


def running_precision(device: str, trained: Precision, stored: str) -> Precision:
    """Return the precision of an LLM that only runs.

    Its steps read all of its weights, so half the bytes are half the time, if the processor multiplies them
    as they are. Small ones are stored in float32, gain nothing, and stay.

    Args:
        device: Where it runs.
        trained: What its adapters were trained in.
        stored: What its weights are stored in, as transformers names it.
    """
    if device.partition(":")[0] != "cpu":
        return trained
    has_half = trained == stored == "bfloat16"  # float16 has more digits than that
    return "bfloat16" if has_half and processor().has_bfloat16 else "float32"


def precision_bits(precision: Precision) -> float:
    """Return the digits of a product's factors, as a figure that runs can be compared by."""
    return 16.0 if precision == "bfloat16" else 32.0


def begin(section: Section, step: str) -> Section:
    """Make this process compute as a section asks, and say how on standard error.

    Args:
        section: Of the step.
        step: Its name.

    Returns:
        The section with every choice made, as `decided`.
    """
    chosen = decided(section)
    threads = use_threads(section.threads)
    _keep_memory()
    device = chosen.device if isinstance(chosen, TrainParams) else "cpu"
    print(
        f"{step}: {chosen.precision} on {machine(device)}, {threads} thread" + "s" * (threads > 1),
        file=sys.stderr,
    )
    if device == "cpu" and chosen.precision == "bfloat16" and not processor().has_bfloat16:
        print(
            f"{step}: this processor has no units for bfloat16, in which it takes many times as long as in "
            "float32; precision: auto would take float32",
            file=sys.stderr,
        )
    return chosen


def machine(device: str = "cpu") -> str:
    """Return what computes on a device, as a page names it."""
    if device == "cpu":
        return str(processor())
    import torch

    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else device


def number_of_threads(threads: Threads) -> int:
    """Return how many threads are meant: ``auto`` is one for each core that this process may use.

    Or fewer, where ``OMP_NUM_THREADS`` says so: who starts several processes shares out the cores by it.
    """
    if threads != "auto":
        return threads
    # Two threads of one core share the units that products need.
    physical = psutil.cpu_count(logical=False) or processor().cores
    most = min(processor().cores, physical, _MOST_THREADS)
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(most, int(told)) if told.isdecimal() and int(told) else most


def use_threads(threads: Threads) -> int:
    """Let torch compute with so many threads; returns their number."""
    import torch

    count = number_of_threads(threads)
    torch.set_num_threads(count)
    return count


def attention(device: str) -> str:
    """Return how a model of transformers is to attend on a device, as transformers names it.

    A CPU gains nothing from the fused kernel in float32, and loses with it in bfloat16 (docs/performance.md).
    """
    return "eager" if device.partition(":")[0] == "cpu" else "sdpa"


@cache
def _keep_memory() -> None:
    """Let the C library keep what is freed: a step asks for the same large blocks as the step before.

    Given back and asked for again, each of their pages is cleared and mapped anew, which on a virtual machine
    can take longer than what is computed in them. Only where something is trained: a server is to give back
    what one long clip took.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # not glibc
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _LARGEST_INT)
