"""The checkpoint: what fine-tuning made, beside the frozen foundation that it belongs to.

checkpoint/
├── config.json               scales, sizes, parameters of the run, where data and noise came from
├── adapter/                  MoME, as peft saves it
├── audio_adapter/            LoRA on the audio encoder, as peft saves it; not there if it stayed frozen
├── video_adapter/            likewise on the video encoder
├── audio/, video/            all of an encoder, as transformers saves it, where it was taught itself
├── projectors.safetensors
├── face_models/              that cut out the mouths it was taught on; not there for OpenCV's cascade
├── aligner.safetensors       when each word is said, from the encoders' frames; not there without sound
└── history.json              losses by step
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from mome.alignment import ALIGNER_FILE, Aligner
from mome.config import Precision, TrainParams, parse_section
from mome.errors import CheckpointError
from mome.machine.processor import attention, running_precision
from mome.methods import METHODS
from mome.modalities import needed
from mome.model.adaptation import adapt, adapter_names
from mome.model.avsr import AVSRModel
from mome.model.captured_decoding import CapturedSteps, compiler
from mome.model.encoders import Encoders
from mome.model.loading import load_model
from mome.model.recogniser import Recogniser
from mome.model.tokens import TextTokens
from mome.scales import Scale
from mome.speech.faces.models import CASCADE, FaceModels
from mome.speech.noise_file import noise_digest
from mome.storage import new_folder, write_text
from mome.training.adapters import check_tensors, load_adapters, save_adapters
from mome.training.own_encoders import NO_OWN, OwnEncoders, has_own
from mome.training.processes import ALONE, Processes
from mome.training.sharding import shard_layers
from mome.training.state import History

__all__ = [
    "CONFIG_FILE",
    "foundation_digest",
    "load_checkpoint",
    "new_recogniser",
    "write_checkpoint",
]

CONFIG_FILE = "config.json"
_PROJECTORS_FILE = "projectors.safetensors"
_PROJECTORS = ("audio_projectors.", "video_projectors.")
_ADAPTER, _AUDIO_ADAPTER, _VIDEO_ADAPTER = "adapter", "audio_adapter", "video_adapter"


def foundation_digest(foundation: Path) -> str:
    """Return a hash of all weights of a foundation, so that a checkpoint can tell whether it fits."""
    digest = hashlib.sha256()
    for path in sorted(foundation.rglob("*.safetensors")):
        digest.update(path.relative_to(foundation).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def new_recogniser(
    foundation: Path, params: TrainParams, processes: Processes = ALONE, own: OwnEncoders = NO_OWN
) -> Recogniser:
    """Return an untrained one: what is added is drawn from ``params.seed``, all else is frozen.

    Args:
        foundation: Folder with the frozen models.
        params: Section ``train``.
        processes: Among which the LLM is shared out, if ``params.sharding`` asks for it.
        own: Encoders that were taught themselves.
    """
    torch.manual_seed(params.seed)
    encoders = Encoders.load(
        foundation, params.device, params.audio_padding, audio=own.audio, video=own.video
    )
    # Frozen weights need no more digits than the products. On a CPU small ones alone are trained beside.
    on_cpu = torch.device(params.device).type == "cpu"
    llm = adapt(_load_llm(foundation, params.device, "float32" if on_cpu else params.precision), params)
    model = _new_model(llm, encoders, foundation, params)
    if params.audio_lora_rank:
        encoders.audio.add_lora(params.audio_lora_rank)
    if params.video_lora_rank:
        encoders.video.add_lora(params.video_lora_rank)
    if params.gradient_checkpointing:
        llm.base_model.model.activation_checkpointing_enable({"use_reentrant": False})
    if processes.share(params.sharding):
        shard_layers(llm, params.device, processes)
    return Recogniser(encoders, model.to(params.device))


def write_checkpoint(
    folder: Path,
    recogniser: Recogniser,
    foundation: Path,
    params: TrainParams,
    corpus: dict[str, Any],
    history: History,
    aligner: Aligner | None = None,
    face_models: FaceModels = CASCADE,
    own: OwnEncoders = NO_OWN,
) -> None:
    """Write the checkpoint folder, whole or not at all; it holds no path of the machine that made it."""
    encoders, model = recogniser
    projectors = {
        name: parameter.detach().contiguous()
        for name, parameter in model.named_parameters()
        if name.startswith(_PROJECTORS)
    }
    with new_folder(folder) as temporary:
        save_adapters(model.llm, "foundation/llm", temporary / _ADAPTER)
        if params.audio_lora_rank:
            save_adapters(encoders.audio.encoder, "foundation/audio", temporary / _AUDIO_ADAPTER)
        for name, folder_of_own in zip(own._fields, own, strict=True):
            if folder_of_own is not None:
                shutil.copytree(folder_of_own, temporary / name)
        if params.video_lora_rank:
            save_adapters(encoders.video.avhubert, "foundation/video", temporary / _VIDEO_ADAPTER)
        save_file(projectors, temporary / _PROJECTORS_FILE)
        if aligner is not None:
            aligner.save(temporary / ALIGNER_FILE)
        face_models.copy_into(temporary)
        write_text(temporary / "history.json", json.dumps(history))
        about = {
            "foundation": foundation_digest(foundation),
            "train": params.model_dump(mode="json"),
            "corpus": corpus,
            "noise": noise_digest(params.noise),
        }
        write_text(temporary / CONFIG_FILE, json.dumps(about, indent=2) + "\n")


def load_checkpoint(
    folder: Path, foundation: Path, device: str = "cpu", compile_decoding: bool = False
) -> Recogniser:
    """Load a checkpoint onto the foundation that it was trained on.

    Args:
        folder: With the checkpoint.
        foundation: With the frozen models.
        device: As torch names it.
        compile_decoding: Fuse the kernels of a decoding step, on a GPU (`mome.model.captured_decoding`).

    Raises:
        CheckpointError: If a file is missing, weights are not safetensors or do not fit, or the
            foundation is another one.
    """
    try:
        about = json.loads((folder / CONFIG_FILE).read_text())
        projectors = load_file(folder / _PROJECTORS_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: not a checkpoint: {error}") from error
    found = foundation_digest(foundation)
    if found != about["foundation"]:
        raise CheckpointError(
            f"{folder}: was trained on the foundation {about['foundation'][:12]}, "
            f"but {foundation} is {found[:12]}"
        )
    params = parse_section(TrainParams, about["train"])
    hears, sees = has_own(params, about["corpus"].get("modality", "av"), foundation)
    encoders = Encoders.load(
        foundation,
        device,
        params.audio_padding,
        audio=folder / "audio" if hears else None,
        video=folder / "video" if sees else None,
    )
    if params.audio_lora_rank:
        encoders.audio.encoder = load_adapters(
            encoders.audio.encoder, folder / _AUDIO_ADAPTER
        ).merge_and_unload()
    if params.video_lora_rank:
        encoders.video.avhubert = load_adapters(
            encoders.video.avhubert, folder / _VIDEO_ADAPTER
        ).merge_and_unload()
    precision = running_precision(device, params.precision, _stored_precision(foundation))
    llm = load_adapters(_load_llm(foundation, device, precision), folder / _ADAPTER, adapter_names(params))
    # What trained needed more digits than the LLM; what only runs does not.
    llm = llm.to(llm.get_base_model().dtype)
    model = _new_model(llm, encoders, foundation, params)
    # By parameter, not by tensor name: what two projectors share is saved once.
    expected = {name: each for name, each in model.named_parameters() if name.startswith(_PROJECTORS)}
    check_tensors(folder / _PROJECTORS_FILE, projectors, expected)
    model.load_state_dict(projectors, strict=False)
    if torch.device(device).type == "cuda":
        model.captured_steps = CapturedSteps(compiler() if compile_decoding else None)
    return Recogniser(encoders, model.to(device).eval().requires_grad_(False))


def _new_model(llm: Any, encoders: Encoders, foundation: Path, params: TrainParams) -> AVSRModel:
    model = AVSRModel(
        llm,
        TextTokens.load(foundation / "llm"),
        [Scale.parse(text) for text in params.scales],
        encoders.audio.width,
        encoders.video.width,
        method=METHODS[params.method],
        compression=params.compression,
        projector_dim=params.projector_dim,
        mixture=(params.num_projectors, params.projector_top_k),
        modalities=params.task_weights,
    )
    # Nothing to learn where nothing is read; a mixture may share its projectors with the other modality.
    read = needed(params.task_weights)
    if read != "av":
        idle, busy = (
            (model.video_projectors, model.audio_projectors)
            if read == "audio"
            else (model.audio_projectors, model.video_projectors)
        )
        idle.requires_grad_(False)
        busy.requires_grad_(True)
    return model


def _load_llm(foundation: Path, device: str, precision: Precision) -> Any:
    llm = load_model(
        AutoModelForCausalLM,
        foundation / "llm",
        "a causal LLM",
        local_files_only=True,
        dtype=precision,
        attn_implementation=attention(device),
    )
    return llm.eval().requires_grad_(False)


def _stored_precision(foundation: Path) -> str:
    """Return what the weights of the LLM are stored in."""
    try:
        config = AutoConfig.from_pretrained(foundation / "llm", local_files_only=True)
    except (OSError, ValueError):
        return ""  # whoever loads it says what is wrong
    return str(config.dtype).removeprefix("torch.")
