"""A device that computes nothing: shows what would wait for a GPU, or be left behind on the CPU.

Run as a program, for torch takes such a device once per process and for good.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)
from transformers import LlamaConfig, LlamaForCausalLM

from mome.config import TrainParams, load_params
from mome.foundation.encoders import new_audio_encoder, new_video_encoder
from mome.foundation.tokenizer import new_tokenizer
from mome.methods import METHODS
from mome.model.adaptation import adapt
from mome.model.avsr import AVSRModel, Features, Task
from mome.model.captured_decoding import _Step
from mome.model.encoders import Encoders
from mome.model.prefix import Assembled
from mome.model.tokens import TextTokens
from mome.scales import Scale
from mome.training.step import backward_tasks

DEVICE = "stand_in"
_torch_tensor = torch.tensor


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class _Copies(TorchFunctionMode):
    """Counts what comes to the device: lists that become tensors, and tensors of the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(
        self, function: Callable[..., Any], _types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is _torch_tensor:
            device = torch.device(kwargs.pop("device", None) or "cpu")
            self.count += device.type == DEVICE
            made = function(*args, **kwargs)
            return torch.empty(made.shape, dtype=made.dtype, device=device)
        result = function(*args, **kwargs)
        if function is Tensor.to:
            self.count += args[0].device != result.device
        return result


@contextmanager
def stand_in() -> Iterator[_Copies]:
    """Make every tensor a fake one; one that mixes devices, or whose value is asked for, is an error."""
    torch.set_num_threads(1)
    _setup_privateuseone_for_python_backend(DEVICE, backend_module=_Backend())
    with FakeTensorMode(), _Copies() as copies:
        yield copies


def move(module: nn.Module) -> None:
    """Put a module on the device, without its values."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(_moved(parameter), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = _moved(buffer)


def _moved(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=DEVICE)


def new_model(encoders: Encoders, params: TrainParams) -> AVSRModel:
    """Return a small one that trains by a method."""
    tokens = TextTokens(new_tokenizer(0))
    config = LlamaConfig(
        vocab_size=640, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=tokens.pad_id,
    )  # fmt: skip
    method = METHODS[params.method]
    return AVSRModel(
        adapt(LlamaForCausalLM(config).requires_grad_(False), params),
        tokens,
        [Scale.parse(text) for text in params.scales],
        encoders.audio.width,
        encoders.video.width,
        method=method,
    )


def _prefix(model: AVSRModel, features: Features) -> Assembled:
    tasks = [Task(features, scale) for scale in model.scales]
    return model._assemble(tasks, model._sequences(tasks))


def check(methods: Sequence[str]) -> dict[str, int]:
    """Encode, train by every method, and decode a token by MoME; returns the copies per decoding step."""
    base = load_params(Path(__file__).parents[1] / "params.yaml").train
    # No mixed precision: the stand-in has no rules for it.
    base = base.model_copy(update={"device": DEVICE, "precision": "float32"})
    encoders = Encoders(new_audio_encoder()[0].eval(), new_video_encoder().eval())
    settings = [
        base.model_copy(
            update={"method": method, "scales": base.scales[: 1 if METHODS[method].one_scale else None]}
        )
        for method in methods
    ]
    models = [new_model(encoders, params) for params in settings]
    by_scale = new_model(
        encoders, base.model_copy(update={"top_k": dict(zip(base.scales, (4, 3, 2, 1), strict=True))})
    )
    found = {}
    with stand_in() as copies:
        for module in (encoders.audio, encoders.video, by_scale, *models):
            move(module)
        clip_frames = 75
        sound = np.zeros(clip_frames * 640, np.float32)
        mouth = np.zeros((clip_frames, 96, 96), np.uint8)
        with torch.no_grad():
            heard, seen = encoders.hear([sound, sound[: 25 * 640]]), encoders.see([mouth, mouth[:25]])
        for model, params in zip(models, settings, strict=True):
            both = Features(heard[0], seen[0])
            tasks = [
                Task(both.only(modality), scale, [20, 21, 22])
                for modality in model.modalities
                for scale in model.scales
            ]
            losses = backward_tasks(model, tasks, params)
            assert losses.language.device.type == DEVICE
            assert all(each.grad is not None for each in model.trained_parameters().values())
        for name, model in (("one top_k", models[0]), ("top_k by scale", by_scale)):
            model.requires_grad_(False)
            batch = _prefix(model, Features(heard[1], seen[1]))
            step = _Step(model.llm, len(batch.embeddings_BLD), 64, None)
            step.read_prefixes(batch)
            before = copies.count
            step.replay()
            found[name] = copies.count - before
    return found


if __name__ == "__main__":
    print(json.dumps(check(sys.argv[1:])))
