"""The shipped folder: weights, the table they were judged by, and a sum for every file.

    bundle/
    ├── bundle.json        name, version, default scale, promise to callers, SHA-256 of every other file
    ├── foundation/        frozen encoders and language model
    ├── checkpoint/        what was trained on top
    ├── evaluation.json    the word error table
    ├── gate.json          the decision and the budget per scale
    └── baseline.parquet   how the noise features looked when the table was made

The version is a hash of the content: equal content has an equal version, wherever it was made.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mome.errors import BundleError, MomeError, UnknownScaleError
from mome.records import Decoding, Evaluation, GateDecision, Promise, Record, ScaleText
from mome.scales import Scale
from mome.speech.faces.models import FaceModels
from mome.storage import new_folder

__all__ = ["Bundle", "read_bundle", "write_bundle"]

_MANIFEST = "bundle.json"
_RECORDS = ("evaluation.json", "gate.json", "baseline.parquet")
_WEIGHTS = ("foundation", "checkpoint")
# Formats that are or may hold a pickle: loading one runs whatever its author wrote into it.
_PICKLES = frozenset({".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"})


class _Manifest(Record):
    """Content of ``bundle.json``."""

    name: str
    version: str
    default_scale: ScaleText
    files: dict[str, str]  # path inside the bundle -> SHA-256
    promise: Promise | None = None  # None in a bundle from before it was kept


@dataclass(frozen=True)
class Bundle:
    """A shipped folder whose every file was compared with its sum."""

    path: Path
    name: str
    version: str
    default_scale: Scale
    scales: tuple[Scale, ...]  # evaluated ones, finest first
    evaluation: Evaluation
    gate: GateDecision
    promise: Promise | None = None  # to callers; None in a bundle from before it was kept

    @property
    def decoding(self) -> Decoding:
        """How its evaluation wrote texts; greedily, for one from before that was kept."""
        return self.evaluation.decoding or Decoding(num_beams=1, max_new_tokens="by_duration")

    def readable(self, trained: Iterable[Scale]) -> tuple[Scale, ...]:
        """Return the scales that can be asked for, finest first, each with its place in the table.

        Args:
            trained: Scales that the weights were trained for; the evaluation says which others they read.
        """
        read = {*trained, *map(Scale.parse, self.evaluation.untrained)}
        return tuple(scale for scale in self.scales if scale in read)

    @property
    def foundation(self) -> Path:
        """Folder of the frozen encoders and the language model."""
        return self.path / "foundation"

    @property
    def checkpoint(self) -> Path:
        """Folder of the trained weights."""
        return self.path / "checkpoint"

    @property
    def face_models(self) -> FaceModels:
        """Models that cut out the mouths it was taught on: whoever reads lips with it cuts alike."""
        return FaceModels.of(self.checkpoint)

    @property
    def baseline(self) -> Path:
        """Table of the noise features over the evaluation clips."""
        return self.path / "baseline.parquet"


def write_bundle(
    *,
    name: str,
    default_scale: Scale,
    foundation: Path,
    checkpoint: Path,
    evaluation: Path,
    gate: Path,
    output: Path,
    promise: Promise | None = None,
) -> Bundle:
    """Copy the outputs of the stages into one folder, whole or not at all.

    Args:
        name: What the model is called when it is served.
        default_scale: Scale to serve while monitoring has not decided.
        foundation: Folder of the frozen models.
        checkpoint: Folder of the trained weights.
        evaluation: Folder with ``evaluation.json`` and ``baseline.parquet``.
        gate: Folder with ``gate.json``.
        output: The bundle; an older one is replaced.
        promise: To callers: what ``auto`` keeps while monitoring has not decided. None promises nothing.

    Raises:
        BundleError: If the gate rejected the model, a part is missing or is not safetensors, or the
            default scale was not evaluated.
    """
    sources = {"evaluation.json": evaluation, "gate.json": gate, "baseline.parquet": evaluation}
    with new_folder(output) as folder:
        for part, source in (("foundation", foundation), ("checkpoint", checkpoint)):
            if not source.is_dir():
                raise BundleError(f"{source}: no such folder; a bundle needs a {part}")
            shutil.copytree(source, folder / part)
        for file, source in sources.items():
            if not (source / file).is_file():
                raise BundleError(f"{source / file}: no such file; a bundle needs it")
            shutil.copyfile(source / file, folder / file)
        _refuse_pickles(folder)
        table, decision = _records(folder)
        if not decision.passed:
            raise BundleError(f"{gate / 'gate.json'}: the gate rejected this model: {decision.reason}")
        scales = _scales(table)
        if default_scale not in scales:
            raise BundleError(
                f"default scale {default_scale} was not evaluated; there are {', '.join(map(str, scales))}"
            )
        sums = _sums(folder)
        _Manifest(
            name=name,
            version=_version(name, default_scale, promise, sums),
            default_scale=str(default_scale),
            files=sums,
            promise=promise,
        ).write(folder / _MANIFEST)
    return read_bundle(output)


def read_bundle(path: Path) -> Bundle:
    """Open a bundle and compare every file with its sum.

    Raises:
        BundleError: If a file is missing, was added or changed, or may hold a pickle; the message
            names it.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: no such folder; expected a bundle with a {_MANIFEST}")
    try:
        manifest = _Manifest.read(path / _MANIFEST)
    except MomeError as error:
        raise BundleError(str(error)) from error
    _refuse_pickles(path)
    sums = _sums(path)
    _compare(path, expected=manifest.files, found=sums)
    default_scale = Scale.parse(manifest.default_scale)
    expected_version = _version(manifest.name, default_scale, manifest.promise, sums)
    if manifest.version != expected_version:
        raise BundleError(
            f"{path / _MANIFEST}: version {manifest.version}, but the content is {expected_version}"
        )
    table, decision = _records(path)
    return Bundle(
        path=path,
        name=manifest.name,
        version=manifest.version,
        default_scale=default_scale,
        scales=_scales(table),
        evaluation=table,
        gate=decision,
        promise=manifest.promise,
    )


def _records(folder: Path) -> tuple[Evaluation, GateDecision]:
    for file in _RECORDS:
        if not (folder / file).is_file():
            raise BundleError(f"{folder / file}: no such file; a bundle needs it")
    try:
        return Evaluation.read(folder / "evaluation.json"), GateDecision.read(folder / "gate.json")
    except (MomeError, UnknownScaleError) as error:
        raise BundleError(str(error)) from error


def _scales(table: Evaluation) -> tuple[Scale, ...]:
    """Return the scales of the richest modality's table, finest first."""
    rows = table.wer.get(table.modality, {})
    if not rows:
        raise BundleError(
            f"evaluation.json: no word error for {table.modality!r}; there is no scale to serve"
        )
    return tuple(sorted(map(Scale.parse, rows), key=lambda scale: -scale.tokens_per_second))


def _refuse_pickles(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise BundleError(f"{path}: is a link; a bundle holds its files itself")
        if path.suffix in _PICKLES:
            raise BundleError(f"{path}: may run code when loaded; weights must be safetensors")
    for part in _WEIGHTS:
        if not any((folder / part).rglob("*.safetensors")):
            raise BundleError(f"{folder / part}: no *.safetensors file in it")


def _sums(folder: Path) -> dict[str, str]:
    """Return path -> SHA-256 of every file but the manifest."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != _MANIFEST:
            with path.open("rb") as file:
                sums[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def _compare(path: Path, *, expected: dict[str, str], found: dict[str, str]) -> None:
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise BundleError(f"{path / name}: missing; {_MANIFEST} lists it")
        if name not in expected:
            raise BundleError(f"{path / name}: not part of this bundle; {_MANIFEST} does not list it")
        if expected[name] != found[name]:
            raise BundleError(
                f"{path / name}: was changed: SHA-256 {found[name][:12]}…,"
                f" {_MANIFEST} has {expected[name][:12]}…"
            )


def _version(name: str, default_scale: Scale, promise: Promise | None, sums: dict[str, str]) -> str:
    promised = [] if promise is None else [promise.model_dump_json()]
    lines = [
        name,
        str(default_scale),
        *promised,
        *(f"{path} {digest}" for path, digest in sorted(sums.items())),
    ]
    # 12 hex digits, as git shows: short enough to read out, and long enough for one project's models.
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]
