"""Read a file of ``torch.save`` without running anything that is in it.

Two walls. First the pickle is only taken apart: every global it names must be on the list below.
Then torch's own ``weights_only`` reader builds the content. It is not Python's unpickler: it never
imports a name, calls nothing but what is allowed, and sets state on nothing but what is allowed.
A subclass of ``pickle.Unpickler`` would be the weaker wall: with ``find_class`` restricted, Python's
``BUILD`` still sets any attribute of any allowed function or class, and ``torch.load`` with a
``pickle_module`` still runs TorchScript archives.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
import zlib
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from mome.errors import CheckpointError

__all__ = ["Inert", "read_torch_file"]

# What torch may rebuild: tensors of a dense kind, and the containers that pickle has no opcode for.
_REBUILT = frozenset(
    {
        "_codecs.encode",  # bytes, in the protocol of torch.save
        "builtins.set",
        "collections.OrderedDict",
        "torch.Size",
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor",
        "torch._utils._rebuild_tensor_v2",
    }
    | {
        f"torch.{kind}Storage"
        for kind in ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
    }
)

# Bystanders: fairseq's settings, dictionaries and meters, and what those are made of. NumPy too, though
# it is installed: a forged dtype makes it read outside its memory, and no weight is a NumPy array.
_INERT_PACKAGES = frozenset({"fairseq", "numpy", "omegaconf", "typing"})
_INERT = frozenset({"_operator.getitem", "argparse.Namespace", "collections.defaultdict"}) | {
    f"builtins.{kind}" for kind in ("bool", "dict", "float", "frozenset", "int", "list", "str", "tuple")
}

_ZIP = b"PK\x03\x04"  # torch 1.6 and later; before, five pickles in a row and the numbers after them
_OLD_FORMAT = ("magic number", "version", "system", "content", "storage keys")

_PROTOCOL = 2  # of torch.save, and the only one that torch's reader takes

# A damaged or forged file makes the readers fail in any of these ways.
_UNREADABLE = (
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error,
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip


class Inert:
    """Stands for an object that is not needed; it keeps nothing and does nothing."""

    __slots__ = ()

    def __new__(cls, *_arguments: object) -> Inert:
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None:
        pass


def read_torch_file(path: Path) -> Any:
    """Return what ``torch.save`` wrote, on the CPU; needs memory for the whole file.

    Both formats of torch are read, the zip archive and the older row of pickles. Objects of fairseq,
    OmegaConf and NumPy come as `Inert`.

    Raises:
        CheckpointError: If the file is not of ``torch.save``, is damaged, or its pickle names
            anything but tensors, plain containers, numbers and the objects above.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; expected one written by torch.save")
    named: set[str] = set()
    protocols: set[int] = set()
    try:
        for names, protocol in _take_apart(path):
            _refuse_foreign(names)
            named |= names
            protocols.add(protocol)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: expected a whole file of torch.save: {error}") from error
    if protocols != {_PROTOCOL}:
        found = ", ".join(map(str, sorted(protocols)))
        raise CheckpointError(f"{path}: pickle protocol {found}, expected {_PROTOCOL} as torch.save writes")
    inert: list[Any] = [(Inert, name) for name in sorted(named) if _is_inert(name)]
    try:
        # An open file: of a path, torch believes the suffix more than the content.
        with path.open("rb") as file, torch.serialization.safe_globals(inert):
            return torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        # torch's message advises to read the file without protection; its last part says what it met.
        found = str(error).rpartition("WeightsUnpickler error:")[2].strip() or type(error).__name__
        raise CheckpointError(
            f"{path}: expected tensors, plain containers and numbers: {found.splitlines()[0]}"
        ) from error


def _is_inert(name: str) -> bool:
    return name in _INERT or name.partition(".")[0] in _INERT_PACKAGES


def _refuse_foreign(names: set[str]) -> None:
    foreign = sorted(name for name in names if name not in _REBUILT and not _is_inert(name))
    if foreign:
        raise CheckpointError(
            f"the pickle names {', '.join(foreign)}; allowed are tensors, plain containers, numbers,"
            " and objects of fairseq, which are left out. Nothing in it was run"
        )


def _take_apart(path: Path) -> Iterator[tuple[set[str], int]]:
    """Yield the globals that each pickle of the file names, and its protocol; nothing is built."""
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            file.seek(0)
            yield from (_globals(file) for _ in _OLD_FORMAT)
            return
        with zipfile.ZipFile(file) as archive:
            # torch does not compare the sums of an archive; a damaged download would load.
            damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"{damaged} is damaged")
            contents = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(contents) != 1:
                raise zipfile.BadZipFile(f"{len(contents)} entries named data.pkl, expected 1")
            yield _globals(io.BytesIO(archive.read(contents[0])))


def _globals(file: IO[bytes]) -> tuple[set[str], int]:
    """Return the globals of one pickle, by their names in Python 3, and its protocol; stop behind it."""
    named: set[str] = set()
    protocol = 0
    # Newer protocols take a global's name from the texts pushed before; None stands for anything else.
    pushed: list[object] = []
    memo: list[object] = []
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "PROTO":
            protocol = int(argument or 0)
        elif opcode.name in {"GLOBAL", "INST", "STACK_GLOBAL"}:
            words = pushed[-2:] if opcode.name == "STACK_GLOBAL" else str(argument).split(" ", 1)
            module, name = map(str, words)
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            named.add(f"{module}.{name}")
            pushed.append(None)
        elif opcode.name == "MEMOIZE":
            memo.append(pushed[-1])
        elif opcode.name in {"BINGET", "LONG_BINGET"} and memo:
            pushed.append(memo[int(argument or 0)])
        else:
            pushed.append(argument)
    return named, protocol
