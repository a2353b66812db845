"""Checkpoints in fairseq's layout, made here, against the layout as written down and a plain forward pass."""

# Shape letters: T frames, H height, W width of a picture, C channels, D encoder width, K kernel.

import hashlib
import json
import math
import os
import pickle
import sys
import types
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from mome.errors import CheckpointError
from mome.model import avhubert_checkpoint
from mome.model.avhubert_checkpoint import import_checkpoint, infer_config, match_tensors
from mome.model.pickles import Inert, read_torch_file
from mome.model.video_encoder import VideoEncoder


@dataclass(frozen=True)
class Sizes:
    layers: int
    width: int
    heads: int
    ffn: int
    channels: tuple[int, int, int, int] = (64, 128, 256, 512)
    kernel: int = 128
    groups: int = 16
    clusters: int = 2000


LARGE = Sizes(layers=24, width=1024, heads=16, ffn=4096)
BASE = Sizes(layers=12, width=768, heads=12, ffn=3072)
TINY = Sizes(
    layers=2, width=32, heads=4, ffn=48, channels=(4, 6, 8, 10), kernel=8, groups=4, clusters=5
)  # fmt: skip


def layout(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Names and shapes as model facts 9.2 lists them."""
    D, first, last = sizes.width, sizes.channels[0], sizes.channels[-1]
    shapes: dict[str, tuple[int, ...]] = {
        "mask_emb": (104,),
        "label_embs_concat": (sizes.clusters + 4, 256),
    }

    def linear(name: str, before: int, after: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (after, before), (after,)

    def norm(name: str, width: int) -> None:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)

    def batch_norm(name: str, width: int) -> None:
        norm(name, width)
        shapes[f"{name}.running_mean"] = shapes[f"{name}.running_var"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    linear("final_proj", D, 256)
    linear("feature_extractor_audio.proj", 104, D)
    resnet = "feature_extractor_video.resnet"
    shapes[f"{resnet}.frontend3D.0.weight"] = (first, 1, 5, 7, 7)
    batch_norm(f"{resnet}.frontend3D.1", first)
    shapes[f"{resnet}.frontend3D.2.weight"] = (first,)
    before = first
    for stage, after in enumerate(sizes.channels, start=1):
        for block in range(2):
            name = f"{resnet}.trunk.layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (after, before if block == 0 else after, 3, 3)
            shapes[f"{name}.conv2.weight"] = (after, after, 3, 3)
            for number in (1, 2):
                batch_norm(f"{name}.bn{number}", after)
                shapes[f"{name}.relu{number}.weight"] = (after,)
            if stage > 1 and block == 0:
                shapes[f"{name}.downsample.0.weight"] = (after, before, 1, 1)
                batch_norm(f"{name}.downsample.1", after)
        before = after
    linear("feature_extractor_video.proj", last, D)
    norm("layer_norm", 2 * D)
    linear("post_extract_proj", 2 * D, D)
    shapes["encoder.pos_conv.0.bias"] = (D,)
    shapes["encoder.pos_conv.0.weight_g"] = (1, 1, sizes.kernel)
    shapes["encoder.pos_conv.0.weight_v"] = (D, D // sizes.groups, sizes.kernel)
    for layer in range(sizes.layers):
        name = f"encoder.layers.{layer}"
        for part in ("q", "k", "v", "out"):
            linear(f"{name}.self_attn.{part}_proj", D, D)
        norm(f"{name}.self_attn_layer_norm", D)
        linear(f"{name}.fc1", D, sizes.ffn)
        linear(f"{name}.fc2", sizes.ffn, D)
        norm(f"{name}.final_layer_norm", D)
    norm("encoder.layer_norm", D)
    return shapes


def random_tensors(sizes: Sizes) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def fill(name: str, shape: tuple[int, ...]) -> Tensor:
        if name.endswith("num_batches_tracked"):
            return torch.tensor(7)
        noise = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            return noise / math.sqrt(math.prod(shape[1:]))
        if name.endswith("running_var"):
            return 0.5 + noise.abs()
        return 0.2 * noise if name.endswith(("bias", "running_mean")) else 1 + 0.2 * noise

    return {name: fill(name, shape) for name, shape in layout(sizes).items()}


def settings(sizes: Sizes) -> dict[str, Any]:
    """Part of what fairseq keeps under ``cfg``."""
    return {
        "common": {"fp16": True, "seed": 1337},
        "task": {"image_crop_size": 88, "image_mean": 0.421, "image_std": 0.165, "sample_rate": 25},
        "model": {
            "_name": "av_hubert",
            "layer_norm_first": True,
            "activation_fn": "gelu",
            "encoder_layers": sizes.layers,
            "encoder_embed_dim": sizes.width,
            "encoder_ffn_embed_dim": sizes.ffn,
            "encoder_attention_heads": sizes.heads,
            "conv_pos": sizes.kernel,
            "conv_pos_groups": sizes.groups,
        },
    }


def save(path: Path, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch, **options: Any) -> Path:
    """Write as fairseq's trainer does; what it names of fairseq is gone again before anything reads it."""

    def fake(module: str, name: str) -> Any:
        made = type(name, (), {"__module__": module})
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            parent = ".".join(parts[:end])
            patch.setitem(sys.modules, parent, sys.modules.get(parent, types.ModuleType(parent)))
        setattr(sys.modules[module], name, made)
        return made

    with monkeypatch.context() as patch:
        dictionary = fake("fairseq.data.dictionary", "Dictionary")()
        dictionary.symbols, dictionary.indices = ["<s>", "0"], {"<s>": 0, "0": 1}
        omega = fake("omegaconf.dictconfig", "DictConfig")()
        omega.content, omega.of_type = {"lr": [0.002]}, Any
        content = {
            "args": None,
            "cfg": settings(TINY),
            "criterion": {},
            "optimizer_history": [{"num_updates": 3, "omega": omega}],
            "task_state": {"dictionaries": [dictionary]},
            "last_optimizer_state": {"state": {0: torch.ones(3)}},
            "extra_state": {"loss": np.float64(2.5), "meters": np.arange(3), "seen": {1, 2}, "raw": b"\xff"},
        }
        torch.save(content | state, path, **options)
    assert "fairseq" not in sys.modules
    return path


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(TINY)


@pytest.fixture
def checkpoint(tmp_path: Path, tensors: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> Path:
    return save(tmp_path / "tiny.pt", {"model": tensors}, monkeypatch)


def plain_forward(w: dict[str, Tensor], heads: int, picture_THW: Tensor) -> Tensor:
    """Model facts 9.3, one step at a time, without padding; returns ``(T, D)``."""

    def batch_norm(name: str, x: Tensor) -> Tensor:
        mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        return functional.batch_norm(x, mean, var, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5)

    def norm(name: str, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5)

    def linear(name: str, x: Tensor) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def prelu(name: str, x: Tensor) -> Tensor:
        return functional.prelu(x, w[f"{name}.weight"])

    resnet = "feature_extractor_video.resnet"
    hidden = functional.conv3d(
        picture_THW[None, None], w[f"{resnet}.frontend3D.0.weight"], None, (1, 2, 2), (2, 3, 3)
    )
    hidden = prelu(f"{resnet}.frontend3D.2", batch_norm(f"{resnet}.frontend3D.1", hidden))
    hidden_CTHW = functional.max_pool3d(hidden, (1, 3, 3), (1, 2, 2), (0, 1, 1))[0]
    rows = []
    for frame in range(hidden_CTHW.shape[1]):
        x = hidden_CTHW[None, :, frame]
        for stage in (1, 2, 3, 4):
            for block in (0, 1):
                name = f"{resnet}.trunk.layer{stage}.{block}"
                stride = 2 if stage > 1 and block == 0 else 1
                inner = functional.conv2d(x, w[f"{name}.conv1.weight"], None, stride, 1)
                inner = prelu(f"{name}.relu1", batch_norm(f"{name}.bn1", inner))
                inner = batch_norm(
                    f"{name}.bn2", functional.conv2d(inner, w[f"{name}.conv2.weight"], None, 1, 1)
                )
                if stride == 2:
                    x = functional.conv2d(x, w[f"{name}.downsample.0.weight"], None, 2)
                    x = batch_norm(f"{name}.downsample.1", x)
                x = prelu(f"{name}.relu2", inner + x)
        rows.append(x[0].mean(dim=(1, 2)))
    video_TD = linear("feature_extractor_video.proj", torch.stack(rows))
    fused = norm("layer_norm", torch.cat([torch.zeros_like(video_TD), video_TD], dim=1))
    x_TD = linear("post_extract_proj", fused)

    direction, magnitude = w["encoder.pos_conv.0.weight_v"], w["encoder.pos_conv.0.weight_g"]
    kernel = torch.empty_like(direction)
    for tap in range(direction.shape[2]):
        kernel[:, :, tap] = (
            magnitude[0, 0, tap] * direction[:, :, tap] / direction[:, :, tap].square().sum().sqrt()
        )
    groups = direction.shape[0] // direction.shape[1]
    position = functional.conv1d(
        x_TD.T[None], kernel, w["encoder.pos_conv.0.bias"], padding=direction.shape[2] // 2, groups=groups
    )
    x_TD = x_TD + functional.gelu(position[0, :, :-1].T)
    layers = 1 + max(int(name.split(".")[2]) for name in w if name.startswith("encoder.layers."))
    for layer in range(layers):
        name = f"encoder.layers.{layer}"
        y_TD = norm(f"{name}.self_attn_layer_norm", x_TD)
        query, key, value = (linear(f"{name}.self_attn.{part}_proj", y_TD) for part in "qkv")
        size = x_TD.shape[1] // heads
        mixed = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            weights = torch.softmax(query[:, part] @ key[:, part].T / math.sqrt(size), dim=1)
            mixed.append(weights @ value[:, part])
        x_TD = x_TD + linear(f"{name}.self_attn.out_proj", torch.cat(mixed, dim=1))
        inner = functional.gelu(linear(f"{name}.fc1", norm(f"{name}.final_layer_norm", x_TD)))
        x_TD = x_TD + linear(f"{name}.fc2", inner)
    return norm("encoder.layer_norm", x_TD)


def parameters(shapes: dict[str, tuple[int, ...]]) -> int:
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return sum(math.prod(shape) for name, shape in shapes.items() if not name.endswith(statistics))


@torch.inference_mode()
def test_the_imported_model_computes_what_the_tensors_say(
    checkpoint: Path, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    import_checkpoint(checkpoint, tmp_path / "video")
    frames = torch.randint(0, 256, (7, 96, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    expected = plain_forward(tensors, TINY.heads, (frames[:, 4:92, 4:92] / 255 - 0.421) / 0.165)
    features, lengths = VideoEncoder.load(tmp_path / "video")([frames])
    assert lengths == [7]
    torch.testing.assert_close(features[0], expected, atol=1e-5, rtol=1e-5)


def test_every_number_of_the_video_path_goes_over_as_it_is(
    checkpoint: Path, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    import_checkpoint(checkpoint, tmp_path / "video")
    written = load_file(tmp_path / "video" / "model.safetensors")
    position = "encoder.pos_conv.0."
    expected = {
        name.replace(position + "weight_g", position + "parametrizations.weight.original0").replace(
            position + "weight_v", position + "parametrizations.weight.original1"
        ): tensor
        for name, tensor in tensors.items()
        if not name.startswith(("mask_emb", "label_embs", "final_proj", "feature_extractor_audio"))
    }
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)
    loaded = VideoEncoder.load(tmp_path / "video").avhubert.state_dict()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_the_sizes_come_from_the_content_not_from_the_name(
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "large_vox_iter5.pt", {"model": tensors}, monkeypatch)
    import_checkpoint(tmp_path / "large_vox_iter5.pt", tmp_path / "video")
    config = VideoEncoder.load(tmp_path / "video").avhubert.config
    assert (config.num_hidden_layers, config.hidden_size) == (2, 32)
    assert (config.num_attention_heads, config.intermediate_size) == (4, 48)
    assert (config.conv_pos_kernel, config.conv_pos_groups) == (8, 4)
    assert list(config.resnet_channels) == [4, 6, 8, 10]


def test_the_source_is_written_beside_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    import_checkpoint(checkpoint, tmp_path / "video")
    shapes = layout(TINY)
    kept = {
        name: shape
        for name, shape in shapes.items()
        if not name.startswith(("mask_emb", "label_embs", "final_proj", "feature_extractor_audio"))
    }
    weights = (tmp_path / "video" / "model.safetensors").read_bytes()
    assert json.loads((tmp_path / "video" / "source.json").read_text()) == {
        "checkpoint_sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "heads_from": "cfg.model",
        "tensors_read": len(shapes),
        "tensors_kept": len(kept),
        "parameters_read": parameters(shapes),
        "parameters_kept": parameters(kept),
    }


def test_equal_checkpoints_give_equal_bytes(checkpoint: Path, tmp_path: Path) -> None:
    import_checkpoint(checkpoint, tmp_path / "one")
    import_checkpoint(checkpoint, tmp_path / "two")
    import_checkpoint(checkpoint, tmp_path / "two")  # an earlier import is replaced
    one = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert one == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert sorted(one) == ["config.json", "model.safetensors", "source.json"]


def test_the_older_format_of_torch_gives_the_same_weights(
    checkpoint: Path, tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = save(tmp_path / "older.pt", {"model": tensors}, monkeypatch, _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(older)
    assert (
        import_checkpoint(older, tmp_path / "one").weights_sha256
        == import_checkpoint(checkpoint, tmp_path / "two").weights_sha256
    )


def test_half_precision_is_widened_exactly(
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    import_checkpoint(save(tmp_path / "half.pt", {"model": halves}, monkeypatch), tmp_path / "video")
    written = load_file(tmp_path / "video" / "model.safetensors")
    assert written["encoder.layer_norm.weight"].dtype == torch.float32
    assert torch.equal(written["encoder.layer_norm.weight"], halves["encoder.layer_norm.weight"].float())
    assert written["feature_extractor_video.resnet.frontend3D.1.num_batches_tracked"].dtype == torch.int64


@pytest.mark.parametrize(
    ("sizes", "count", "millions"), [(LARGE, 538, "325.40"), (BASE, 346, "103.33")], ids=["large", "base"]
)
def test_the_published_layouts_are_accepted_as_they_are(sizes: Sizes, count: int, millions: str) -> None:
    shapes = layout(sizes)
    assert (len(shapes), f"{parameters(shapes) / 1e6:.2f}") == (count, millions)
    config = infer_config(shapes)  # heads from the width alone
    assert (config.num_hidden_layers, config.hidden_size) == (sizes.layers, sizes.width)
    assert (config.num_attention_heads, config.intermediate_size) == (sizes.heads, sizes.ffn)
    assert (config.conv_pos_kernel, config.conv_pos_groups) == (128, 16)
    assert tuple(config.resnet_channels) == (64, 128, 256, 512)
    kept = match_tensors(shapes, config)
    assert shapes.keys() - kept.keys() == {
        "mask_emb", "label_embs_concat", "final_proj.weight", "final_proj.bias",
        "feature_extractor_audio.proj.weight", "feature_extractor_audio.proj.bias",
    }  # fmt: skip
    if sizes is LARGE:
        assert f"{parameters({name: shapes[name] for name in kept}) / 1e6:.1f}" == "324.5"


@pytest.mark.parametrize("stated", [True, False], ids=["with-cfg", "without-cfg"])
def test_any_one_wrong_tensor_is_named_with_both_shapes(stated: bool) -> None:
    sizes = Sizes(layers=1, width=64, heads=1, ffn=80, channels=(4, 6, 8, 10), kernel=8, groups=4)
    cfg = settings(sizes) if stated else {}
    whole = layout(sizes)
    kept = match_tensors(whole, infer_config(whole, cfg))
    assert len(kept) == len(whole) - 6
    for name in kept:
        missing = {other: shape for other, shape in whole.items() if other != name}
        with pytest.raises(CheckpointError) as raised:
            match_tensors(missing, infer_config(missing, cfg))
        assert name in str(raised.value)
        if stated:
            assert f"{name} is missing, expected {whole[name]}" in str(raised.value)
        shape = (*whole[name][:-1], whole[name][-1] + 1) if whole[name] else (1,)
        wrong = {**whole, name: shape}
        with pytest.raises(CheckpointError) as raised:
            match_tensors(wrong, infer_config(wrong, cfg))
        if stated:
            assert str(raised.value) == f"{name} is {shape}, expected {whole[name]}"
        else:
            assert (
                "encoder.pos_conv" in str(raised.value) if "pos_conv" in name else name in str(raised.value)
            )


@pytest.mark.parametrize("name", ["encoder.layers.2.fc1.weight", "encoder.w2v.bias", "mask_emb_2"])
def test_an_extra_tensor_is_named(name: str) -> None:
    shapes = {**layout(TINY), name: (3, 5)}
    with pytest.raises(CheckpointError, match=rf"^{name} is \(3, 5\), expected no such tensor$"):
        match_tensors(shapes, infer_config(shapes, settings(TINY)))


def test_a_layer_that_is_gone_contradicts_the_settings() -> None:
    shapes = {name: shape for name, shape in layout(TINY).items() if "layers.1." not in name}
    with pytest.raises(CheckpointError, match="encoder_layers is 2, but the tensors make it 1"):
        infer_config(shapes, settings(TINY))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layer_norm_first": False}, "layer_norm_first is False; this port has True"),
        ({"activation_fn": "relu"}, "activation_fn is 'relu'; this port has 'gelu'"),
        ({"encoder_embed_dim": 48}, "encoder_embed_dim is 48, but the tensors make it 32"),
        ({"conv_pos_groups": -4}, "conv_pos_groups is -4, but the tensors make it 4"),
        ({"encoder_attention_heads": 5}, "makes 5 heads, expected a number that divides the width 32"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changed: dict[str, Any], message: str) -> None:
    cfg = settings(TINY)
    cfg["model"] |= changed
    with pytest.raises(CheckpointError, match=message):
        infer_config(layout(TINY), cfg)


def test_without_heads_anywhere_a_width_of_64_per_head_must_fit() -> None:
    with pytest.raises(CheckpointError, match=r"makes 0 heads.* the width 32"):
        infer_config(layout(TINY))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("encoder.layer_norm.bias", torch.zeros(32).int(), "holds torch.int32, expected torch.float32"),
        ("encoder.layer_norm.bias", torch.zeros(31), r"is \(31,\), expected \(32,\)"),
        ("encoder.layer_norm.bias", [0.0] * 32, "is a list, expected a tensor"),
        (
            "feature_extractor_video.resnet.frontend3D.1.num_batches_tracked",
            torch.tensor(7.0),
            "holds torch.float32, expected torch.int64",
        ),
    ],
)
def test_a_wrong_tensor_in_a_file_names_file_and_tensor_and_writes_nothing(
    tensors: dict[str, Tensor], name: str, tensor: Any, message: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    path = save(tmp_path / "wrong.pt", {"model": {**tensors, name: tensor}}, monkeypatch)
    with pytest.raises(CheckpointError, match=rf"wrong\.pt: .*{name}.* {message}"):
        import_checkpoint(path, tmp_path / "video")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.pt"]


def test_weights_without_fairseqs_layout_are_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"weight": tensors["mask_emb"]}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"tensors under 'model', found \['weight'\]"):
        import_checkpoint(tmp_path / "pytorch_model.bin", tmp_path / "video")
    torch.save({"model": {"weight": tensors["mask_emb"]}}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"no tensor named encoder\.layers.*expected AV-HuBERT"):
        import_checkpoint(tmp_path / "other.pt", tmp_path / "video")


class Touch:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


class Evaluate(Touch):
    def __reduce__(self) -> Any:
        return eval, (f"__import__('pathlib').Path({str(self.path)!r}).touch()",)


@pytest.mark.parametrize("place", ["model", "cfg", "task_state"])
@pytest.mark.parametrize("older", [False, True], ids=["zip", "older"])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("kind", "name"), [(Touch, f"{os.system.__module__}.system"), (Evaluate, "builtins.eval")]
)
def test_a_forbidden_global_is_named_and_nothing_runs(
    kind: type[Touch], name: str, protocol: int, older: bool, place: str,
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    touched = tmp_path / "touched"
    state = {"model": tensors, place: {**(tensors if place == "model" else {}), "x": kind(touched)}}
    options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": not older}
    path = save(tmp_path / "evil.pt", state, monkeypatch, **options)
    with pytest.raises(CheckpointError, match=rf"evil\.pt: the pickle names {name.replace('.', '[.]')};"):
        import_checkpoint(path, tmp_path / "video")
    assert not touched.exists()
    assert not (tmp_path / "video").exists()
    if not older:  # the planted code is real: without protection it runs
        assert (
            protocol == 4 or torch.load(path, weights_only=False, pickle_module=_WithoutFairseq) is not None
        )
        assert protocol == 4 or touched.exists()


def test_a_plain_pickle_is_refused_by_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"model": Touch(tmp_path / "touched")}))
    with pytest.raises(
        CheckpointError, match=rf"plain\.pt: the pickle names {os.system.__module__}\.system;"
    ):
        read_torch_file(tmp_path / "plain.pt")
    assert not (tmp_path / "touched").exists()


def test_another_pickle_protocol_is_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model": tensors}, tmp_path / "new.pt", pickle_protocol=4)
    with pytest.raises(CheckpointError, match=r"new\.pt: pickle protocol 4, expected 2"):
        read_torch_file(tmp_path / "new.pt")


class _WithoutFairseq:
    """Python's own unpickler, which runs what it is told to; only fairseq's objects are left out."""

    __name__ = "pickle"

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            left_out = module.startswith(("fairseq", "omegaconf"))
            return Inert if left_out else super().find_class(module, name)


@pytest.mark.parametrize("state", [(None, {"x": 1}), {"__class__": dict}])
def test_state_for_a_class_or_function_is_refused(state: Any, tmp_path: Path) -> None:
    # GLOBAL, the state, BUILD: Python's unpickler would set attributes of torch's own function.
    content = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n" + pickle.dumps(state, 2)[2:-1] + b"b."
    with zipfile.ZipFile(tmp_path / "forged.pt", "w") as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/version", "3\n")
    before = set(vars(torch._utils._rebuild_tensor_v2))
    with pytest.raises(CheckpointError, match=r"Can only build Tensor"):
        read_torch_file(tmp_path / "forged.pt")
    assert set(vars(torch._utils._rebuild_tensor_v2)) == before


def test_objects_of_fairseq_are_inert_and_known_to_this_file_only(checkpoint: Path) -> None:
    known = set(torch.serialization.get_safe_globals())  # in no order
    content = read_torch_file(checkpoint)
    dictionary = content["task_state"]["dictionaries"][0]
    assert type(dictionary) is Inert
    assert not hasattr(dictionary, "symbols")
    assert type(content["extra_state"]["loss"]) is Inert
    assert content["extra_state"]["raw"] == b"\xff"
    assert set(torch.serialization.get_safe_globals()) == known


def test_a_damaged_file_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    whole = bytearray(checkpoint.read_bytes())
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cut\.pt: expected a whole file"):
        read_torch_file(tmp_path / "cut.pt")
    with zipfile.ZipFile(checkpoint) as archive:
        last = max(archive.infolist(), key=lambda entry: entry.file_size)
    whole[last.header_offset + 4096] ^= 1
    (tmp_path / "flipped.pt").write_bytes(whole)
    with pytest.raises(CheckpointError, match=f"{last.filename} is damaged"):
        read_torch_file(tmp_path / "flipped.pt")
    (tmp_path / "text.pt").write_text("a text")
    with pytest.raises(CheckpointError, match=r"text\.pt: expected a whole file"):
        read_torch_file(tmp_path / "text.pt")
    with pytest.raises(CheckpointError, match="no such file"):
        read_torch_file(tmp_path / "none.pt")


def test_a_folder_of_something_else_is_not_replaced(checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="other: holds other files"):
        import_checkpoint(checkpoint, other)
    with pytest.raises(CheckpointError, match="holds the checkpoint"):
        import_checkpoint(checkpoint, tmp_path)
    assert (other / "mine.txt").read_text() == "mine"


def test_the_command_reports_in_one_line(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["avhubert_checkpoint", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "video")]
    monkeypatch.setattr(sys, "argv", arguments)
    avhubert_checkpoint._command()
    count = len(layout(TINY))
    assert f"kept {count - 6} of {count} tensors" in capsys.readouterr().out
    assert VideoEncoder.load(tmp_path / "video").width == 32
