"""Compiles the kernels of the experts for GPUs that are not there; prints what fast memory each takes.

Run as a program, for in the tests' own process kernels are interpreted.
"""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mome.tuners.mome import fused, gpu_kernels

_WIDTH, _ROUTED, _ALL, _INSIDE, _KEPT = 2048, 23, 24, 8, 4  # of Llama-3.2-1B, and of the papers
_TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.int64: "*i64"}

# What a kernel is started with: its arguments, and what is compiled into it.
Launch = tuple[tuple[Tensor | int, ...], dict[str, object]]


class Recorder:
    """Stands in for the kernels, and keeps what each is started with."""

    def __init__(self) -> None:
        self.launches: dict[str, Launch] = {}

    def __getattr__(self, name: str) -> Any:
        return Started(lambda *given, **constants: self.launches.update({name: (given, constants)}))


class Started:
    """A kernel that takes any grid."""

    def __init__(self, start: Callable[..., None]) -> None:
        self._start = start

    def __getitem__(self, _: object) -> Callable[..., None]:
        return self._start


def launches(dtype: torch.dtype) -> dict[str, Launch]:
    """Return how every kernel is started for as many tokens as it is used for, forward and backward."""
    recorder = Recorder()
    fused.gpu_kernels = recorder
    tokens = fused._MOST_IN_FLOAT32 if dtype == torch.float32 else fused._MOST
    shapes = (
        (_ROUTED, _WIDTH),
        (_ALL, _INSIDE, _WIDTH),
        (_ALL, _INSIDE),
        (_ALL, _INSIDE, _WIDTH),
        (_ALL, _WIDTH),
    )
    weights = fused.Weights(*(torch.zeros(shape, dtype=dtype) for shape in shapes))
    x_ND = torch.zeros(tokens, _WIDTH, dtype=dtype, requires_grad=True)
    mixed = fused.mix(x_ND, weights, _KEPT, torch.full((tokens,), _KEPT))
    torch.autograd.backward(
        [mixed.out_ND, mixed.scores_NE], [torch.zeros_like(mixed.out_ND), torch.zeros_like(mixed.scores_NE)]
    )
    return recorder.launches


def compile_all(targets: Sequence[int]) -> dict[str, int]:
    """Return the shared memory of every kernel in bytes, by name, digits and compute capability."""
    found = {}
    for target in targets:
        for dtype in (torch.float32, torch.float16 if target < 80 else torch.bfloat16):
            for name, launch in launches(dtype).items():
                found[f"{name} {dtype} {target}"] = _compile(name, launch, target)
    return found


def _compile(name: str, launch: Launch, target: int) -> int:
    kernel: Any = getattr(gpu_kernels, name)
    given, constants = launch
    types = [_TYPES[each.dtype] if isinstance(each, Tensor) else "i32" for each in given]
    signature = dict(zip(kernel.arg_names, types, strict=False)) | dict.fromkeys(constants, "constexpr")
    assert list(signature) == kernel.arg_names
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    shared: int = triton.compile(source, target=GPUTarget("cuda", target, 32)).metadata.shared
    return shared


if __name__ == "__main__":
    print(json.dumps(compile_all([int(each) for each in sys.argv[1:]])))
