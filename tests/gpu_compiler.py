"""Compiles the kernels of the experts for GPUs that are not there; prints what fast memory each takes.

Run as a program, for in the tests' own process kernels are interpreted.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from mome.tuners.mome import gpu_kernels

_SIZES = {"E": 23, "M": 24, "W": 8}
_WAYS: dict[str, dict[str, object]] = {
    "go_down": {**_SIZES, "D": 2048, "TOKENS": 16, "ROWS": 32, "WIDTH": 128},
    "go_up": {
        **_SIZES, "D": 2048, "K": 4, "HAS_TOP_K": True, "EXPERTS": 32, "TOKENS": 32, "ROWS": 32, "WIDTH": 64,
    },
    "go_back": {**_SIZES, "HAS_SCORES": True, "EXPERTS": 32, "TOKENS": 16, "ROWS": 32},
}  # fmt: skip
# Of what is not in the digits of the tokens.
_POINTERS = {
    "kept_ptr": "*fp32", "scores_NE": "*fp32", "from_scores_NE": "*fp32", "ids_NK": "*i64", "top_k_N": "*i64",
    "N": "i32",
}  # fmt: skip


def compile_all(targets: Sequence[int]) -> dict[str, int]:
    """Return the shared memory of every kernel in bytes, by name, digits and compute capability."""
    found = {}
    for target in targets:
        for digits in ("fp32", "fp16" if target < 80 else "bf16"):
            for name, constants in _WAYS.items():
                found[f"{name} {digits} {target}"] = _compile(name, constants, digits, target)
    return found


def _compile(name: str, constants: dict[str, object], digits: str, target: int) -> int:
    kernel: Any = getattr(gpu_kernels, name)
    if name != "go_down":
        constants = {**constants, "DIGITS": "ieee" if digits == "fp32" else "tf32"}
    signature = {
        argument: "constexpr" if argument in constants else _POINTERS.get(argument, f"*{digits}")
        for argument in kernel.arg_names
    }
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    shared: int = triton.compile(source, target=GPUTarget("cuda", target, 32)).metadata.shared
    return shared


if __name__ == "__main__":
    print(json.dumps(compile_all([int(each) for each in sys.argv[1:]])))
