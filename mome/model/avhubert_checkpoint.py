"""Import a published AV-HuBERT checkpoint without fairseq, and save its video path as safetensors.

``python -m mome.model.avhubert_checkpoint --checkpoint large_vox_iter5.pt --output folder``

    folder/
    ├── config.json         sizes, read off the tensors
    ├── model.safetensors   the video path in float32
    └── source.json         sums of the checkpoint and of the weights, and what was kept
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mome.cli import main
from mome.errors import CheckpointError
from mome.model.avhubert import AVHubertConfig, AVHubertModel
from mome.model.pickles import read_torch_file
from mome.records import Record
from mome.storage import new_folder

__all__ = ["Shape", "Source", "import_checkpoint", "infer_config", "match_tensors"]

Shape = tuple[int, ...]

# Of pre-training, and of the audio path (model facts 9.2).
_UNUSED = re.compile(r"mask_emb|label_embs_concat|final_proj\..+|feature_extractor_audio\..+")

# Weight norm as torch writes it today, and as it did when the checkpoints were made. Both scale
# direction v by magnitude g over v's norm, so the numbers go over as they are.
_WEIGHT_NORM = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_LAYER = r"encoder\.layers\.\d+\."
_HEAD_WIDTH = 64  # of every published AV-HuBERT

# Our names of what a checkpoint's settings say: cfg.model about sizes, cfg.task about pictures.
_STATED_SIZES = {
    "hidden_size": "encoder_embed_dim",
    "num_hidden_layers": "encoder_layers",
    "intermediate_size": "encoder_ffn_embed_dim",
    "conv_pos_kernel": "conv_pos",
    "conv_pos_groups": "conv_pos_groups",
}
_STATED_PICTURES = {"image_size": "image_crop_size", "image_mean": "image_mean", "image_std": "image_std"}
_HEADS = "encoder_attention_heads"
# What no tensor shows, and this port has in one form only.
_FIXED: dict[str, bool | str] = {"layer_norm_first": True, "activation_fn": "gelu"}

_NAMED_AT_MOST = 8  # tensors in one message


class Source(Record):
    """Where imported weights come from; content of ``source.json``."""

    checkpoint_sha256: str
    weights_sha256: str  # of model.safetensors
    heads_from: Literal["cfg.model", "width / 64"]
    tensors_read: int
    tensors_kept: int
    parameters_read: int  # without the running statistics of BatchNorm
    parameters_kept: int


def import_checkpoint(checkpoint: Path, output: Path) -> Source:
    """Write the video path of a fairseq checkpoint as a folder that `VideoEncoder.load` reads.

    Equal checkpoints give equal bytes. Nothing in the checkpoint is run (`mome.model.pickles`).

    Args:
        checkpoint: AV-HuBERT as pre-trained, any size, not fine-tuned.
        output: Written whole or not at all; an earlier import is replaced.

    Raises:
        CheckpointError: If the file cannot be read safely, or a tensor is missing, extra or of
            another shape than the others; or if the output is a folder of something else.
    """
    _refuse_other_folders(checkpoint, output)
    content = read_torch_file(checkpoint)
    try:
        tensors, settings = _tensors(content), _section(content, "cfg")
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        config = infer_config(shapes, settings)
        weights = {
            ours: _as_float32(theirs, tensors[theirs])
            for theirs, ours in match_tensors(shapes, config).items()
        }
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint}: {error}") from error
    # Without memory of its own: the weights read are put in its place.
    with torch.device("meta"):
        model = AVHubertModel(config)
    model.load_state_dict(weights, assign=True)
    with new_folder(output) as folder:
        model.save_pretrained(folder)
        source = Source(
            checkpoint_sha256=_sha256(checkpoint),
            weights_sha256=_sha256(folder / "model.safetensors"),
            heads_from="width / 64" if _whole(_section(settings, "model"), _HEADS) is None else "cfg.model",
            tensors_read=len(tensors),
            tensors_kept=len(weights),
            parameters_read=_parameters(tensors),
            parameters_kept=_parameters(weights),
        )
        source.write(folder / "source.json")
    return source


def infer_config(shapes: Mapping[str, Shape], settings: Mapping[str, Any] | None = None) -> AVHubertConfig:
    """Read the sizes off a checkpoint's tensors; the number of heads off its settings.

    A size is what most tensors say that have it, so that one wrong tensor does not decide; where
    they are even, the settings do.

    Args:
        shapes: Of the tensors, by their published names (model facts 9.2).
        settings: The checkpoint's ``cfg``. Without a number of heads in it, a head is 64 wide, as in
            every published size.

    Raises:
        CheckpointError: If tensors that decide a size are missing, or the settings say otherwise.
    """
    model, task = (_section(settings or {}, name) for name in ("model", "task"))
    stated = {ours: _whole(model, theirs) for ours, theirs in _STATED_SIZES.items()}
    width = _size(shapes, stated["hidden_size"], (_LAYER + r"(self_attn\.\w+|\w*layer_norm|fc2)\.bias", 0))
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": _layers(shapes, stated["num_hidden_layers"]),
        "intermediate_size": _size(
            shapes, stated["intermediate_size"], (_LAYER + r"fc1\.\w+", 0), (_LAYER + r"fc2\.weight", 1)
        ),
        "conv_pos_kernel": _size(
            shapes, stated["conv_pos_kernel"], (r"encoder\.pos_conv\.0\.weight_[gv]", 2)
        ),
        "conv_pos_groups": _groups(shapes, stated["conv_pos_groups"], width),
    }
    for ours, found in sizes.items():
        if stated[ours] not in (None, found):
            raise CheckpointError(
                f"cfg.model.{_STATED_SIZES[ours]} is {stated[ours]}, but the tensors make it {found}"
            )
    for name, expected in _FIXED.items():
        if isinstance(model.get(name), bool | str) and model[name] != expected:
            raise CheckpointError(f"cfg.model.{name} is {model[name]!r}; this port has {expected!r} only")
    pictures = {
        ours: task[theirs]
        for ours, theirs in _STATED_PICTURES.items()
        if isinstance(task.get(theirs), int | float)
    }
    return AVHubertConfig(
        **sizes,
        **pictures,
        num_attention_heads=_heads(width, _whole(model, _HEADS)),
        resnet_channels=tuple(_channels(shapes, stage) for stage in range(1, 5)),
    )


def match_tensors(shapes: Mapping[str, Shape], config: AVHubertConfig) -> dict[str, str]:
    """Return our name of every tensor of the video path, by its published name.

    Tensors of pre-training and of the audio path are left out.

    Args:
        shapes: Of the tensors, by their published names.
        config: Sizes that the tensors must fit.

    Raises:
        CheckpointError: If a tensor is missing, extra or of another shape; the message names both sides.
    """
    with torch.device("meta"):
        state = AVHubertModel(config).state_dict()
    ours = {_published(name): name for name in state}
    expected = {_published(name): tuple(tensor.shape) for name, tensor in state.items()}
    found = {name: shape for name, shape in shapes.items() if not _UNUSED.fullmatch(name)}
    problems = [
        f"{name} is {found.get(name, 'missing')}, expected {expected.get(name, 'no such tensor')}"
        for name in sorted(expected.keys() | found.keys())
        if found.get(name) != expected.get(name)
    ]
    if problems:
        more = f"; and {len(problems) - _NAMED_AT_MOST} more" if len(problems) > _NAMED_AT_MOST else ""
        raise CheckpointError("; ".join(problems[:_NAMED_AT_MOST]) + more)
    return ours


def _published(name: str) -> str:
    for ours, theirs in _WEIGHT_NORM.items():
        name = name.replace(ours, theirs)
    return name


def _size(shapes: Mapping[str, Shape], stated: int | None, *witnesses: tuple[str, int]) -> int:
    """Return the size most tensors have that match a pattern, each along the axis beside it."""
    votes = Counter(
        shape[axis]
        for pattern, axis in witnesses
        for name, shape in shapes.items()
        if re.fullmatch(pattern, name) and len(shape) > axis and shape[axis] > 0
    )
    return _most(votes, stated, " or ".join(pattern.replace("\\", "") for pattern, _ in witnesses))


def _layers(shapes: Mapping[str, Shape], stated: int | None) -> int:
    """Return how many layers most kinds of tensors occur in."""
    kinds = Counter(kind for name in shapes if (kind := re.sub(_LAYER, "", name)) != name)
    return _most(Counter(kinds.values()), stated, "encoder.layers.*")


def _most(votes: Counter[int], stated: int | None, names: str) -> int:
    if not votes:
        raise CheckpointError(f"no tensor named {names}; expected AV-HuBERT as fairseq saves it")
    if stated is not None and stated in votes:
        votes[stated] += 1
    return votes.most_common(1)[0][0]


def _groups(shapes: Mapping[str, Shape], stated: int | None, width: int) -> int:
    """Return the groups of the position convolution; one tensor alone tells, so the settings go first."""
    if stated is not None and stated > 0 and width % stated == 0:
        return stated
    per_group = _size(shapes, None, (r"encoder\.pos_conv\.0\.weight_v", 1))
    if width % per_group:
        found = shapes["encoder.pos_conv.0.weight_v"]
        raise CheckpointError(
            f"encoder.pos_conv.0.weight_v is {found}, expected a second size that divides the width {width}"
        )
    return width // per_group


def _channels(shapes: Mapping[str, Shape], stage: int) -> int:
    block = rf"feature_extractor_video\.resnet\.trunk\.layer{stage}\.\d+\."
    return _size(shapes, None, (block + r"(bn\d\.(weight|bias|running_mean|running_var)|relu\d\.weight)", 0))


def _heads(width: int, stated: int | None) -> int:
    heads = width // _HEAD_WIDTH if stated is None else stated
    if heads < 1 or width % heads:
        said = f"a width of {_HEAD_WIDTH} per head" if stated is None else f"cfg.model.{_HEADS}"
        raise CheckpointError(f"{said} makes {heads} heads, expected a number that divides the width {width}")
    return heads


def _section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of the settings; empty where it is missing, or was not plain and was left out."""
    section = settings.get(name)
    return section if isinstance(section, Mapping) else {}


def _whole(section: Mapping[str, Any], name: str) -> int | None:
    value = section.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _tensors(content: object) -> dict[str, Tensor]:
    state = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        found = sorted(map(str, content))[:_NAMED_AT_MOST] if isinstance(content, Mapping) else type(content)
        raise CheckpointError(f"expected fairseq's dictionary with tensors under 'model', found {found}")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"model[{name!r}] is a {type(tensor).__name__}, expected a tensor")
    return dict(state)


def _as_float32(name: str, tensor: Tensor) -> Tensor:
    """Widen half precision, which is exact; the counters of BatchNorm stay whole numbers."""
    if name.endswith("num_batches_tracked"):
        if tensor.dtype != torch.int64:
            raise CheckpointError(f"{name} holds {tensor.dtype}, expected torch.int64")
        return tensor
    if tensor.dtype not in {torch.float16, torch.bfloat16, torch.float32}:
        raise CheckpointError(f"{name} holds {tensor.dtype}, expected torch.float32 or half precision")
    return tensor.detach().float().contiguous()


def _refuse_other_folders(checkpoint: Path, output: Path) -> None:
    """Refuse to replace what this module has not written."""
    if checkpoint.resolve().is_relative_to(output.resolve()):
        raise CheckpointError(f"{output}: holds the checkpoint; expected a folder beside it")
    if output.exists() and not output.is_dir():
        raise CheckpointError(f"{output}: is a file; expected a new folder")
    if output.is_dir() and any(output.iterdir()) and not (output / "source.json").is_file():
        raise CheckpointError(f"{output}: holds other files; expected a new folder or an earlier import")


def _parameters(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for name, tensor in tensors.items() if not name.endswith(_STATISTICS))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mome.model.avhubert_checkpoint",
        description="Save the video path of a fairseq AV-HuBERT checkpoint as safetensors.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="file of fairseq, as published")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    given = parser.parse_args()
    source = import_checkpoint(given.checkpoint, given.output)
    print(
        f"{given.output}: kept {source.tensors_kept} of {source.tensors_read} tensors,"
        f" {source.parameters_kept / 1e6:.2f} of {source.parameters_read / 1e6:.2f} M parameters;"
        f" heads from {source.heads_from}; SHA-256 of the weights {source.weights_sha256}"
    )


if __name__ == "__main__":
    raise SystemExit(main(_command))
