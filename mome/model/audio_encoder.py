"""Whisper's encoder on clips of any length: log-mel in torch, padding masked; 30 s of silence on request."""

# Shape letters: B batch, N samples, F mel frames (100 Hz), T encoder frames (50 Hz), D width.

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import gelu, pad
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from mome.config import AudioPadding
from mome.errors import CheckpointError, MediaError
from mome.model.hub import explain
from mome.model.loading import load_model

__all__ = ["AudioEncoder", "load_whisper", "log_mel", "longest_of", "with_audio_lora"]

_HOP = 160  # samples between mel frames: 16,000 Hz / 100 Hz
_WINDOW = 400  # samples, 25 ms
_SAMPLES_PER_FRAME = 320  # of one encoder frame: hop 160 times convolution stride 2

# Batches are padded to a multiple of this many mel frames: every new length makes the convolution
# library prepare itself anew, which costs more than the padding.
_LENGTH_STEP = 64

_LEAST_FRAMES = 25  # half a second, that Llama-AVSR keeps of any clip (model facts 1.2)

# A pattern, not a list: peft keeps a list as a set, and writes it in another order every time.
_LINEAR_LAYERS = r".*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"


def log_mel(samples_N: Tensor, filters_KM: Tensor, num_samples: int = 0) -> Tensor:
    """Return Whisper's log-mel spectrogram ``(M, F)`` of one waveform, ``F = N // 160``.

    The waveform is first brought to zero mean and unit variance, as Llama-AVSR does (model facts 1.2).

    Args:
        samples_N: Waveform at 16 kHz.
        filters_KM: Mel filter bank ``(201, M)``.
        num_samples: A shorter waveform is followed by silence up to this length.
    """
    samples_N = torch.nn.functional.layer_norm(samples_N, samples_N.shape, eps=1e-8)
    samples_N = pad(samples_N, (0, max(0, num_samples - len(samples_N))))
    window = torch.hann_window(_WINDOW, device=samples_N.device)
    spectrum = torch.stft(samples_N, _WINDOW, _HOP, window=window, return_complex=True)[:, :-1].abs() ** 2
    log_MF = (filters_KM.T @ spectrum).clamp(min=1e-10).log10()
    return (torch.maximum(log_MF, log_MF.max() - 8) + 4) / 4


def with_audio_lora(encoder: Any, rank: int) -> Any:
    """Return Whisper's encoder with LoRA beside every linear layer, and nothing else to train.

    It learns voices unlike those that the encoder was taught with. The scaling is 2, as on the encoder of
    the lips in Llama-AVSR (model facts 5.4).
    """
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_LINEAR_LAYERS)
    return get_peft_model(encoder, config)


def load_whisper(folder: Path) -> tuple[WhisperModel, WhisperFeatureExtractor]:
    """Load Whisper for an `AudioEncoder`, from a folder written by ``save_pretrained``, safetensors only.

    Raises:
        CheckpointError: If the folder holds no such model, or not all of it.
    """
    whisper = load_model(
        WhisperModel,
        folder,
        "a Whisper",
        local_files_only=True,
        # A checkpoint in half precision would meet spectrograms in single precision.
        dtype=torch.float32,
        # In bfloat16 a CPU goes faster backward without the fused kernel; in float32 it is the same.
        attn_implementation="eager",
    )
    try:
        extractor = WhisperFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except OSError as error:
        raise CheckpointError(f"{folder}: expected Whisper's feature extractor: {error}") from error
    return whisper, extractor


def longest_of(folder: Path) -> int:
    """Return how many samples at 16 kHz the Whisper in a folder takes, without loading it.

    Raises:
        CheckpointError: If the folder holds no such model.
    """
    try:
        return _max_num_samples(WhisperConfig.from_pretrained(folder, local_files_only=True))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: expected a Whisper: {explain(error)}") from error


def _max_num_samples(config: WhisperConfig) -> int:
    return int(config.max_source_positions) * _SAMPLES_PER_FRAME


class AudioEncoder(nn.Module):
    """A Whisper encoder that gives one feature per 20 ms of speech.

    A batch gives the same features as its clips one by one: everything past the end of a clip is
    zero before each convolution, and masked in attention.

    Args:
        whisper: Whisper of any size; its decoder is not used.
        extractor: Of the same checkpoint.
        padding: ``30s`` lets silence follow each clip up to the 30 s that Whisper knows, and looks at it,
            as the published systems do. Their features differ from those of ``none``, so weights that were
            trained with one padding are read with the same.
    """

    filters_KM: Tensor  # shape suffix

    def __init__(
        self, whisper: WhisperModel, extractor: WhisperFeatureExtractor, padding: AudioPadding = "none"
    ) -> None:
        super().__init__()
        self.padding = padding
        self.encoder: Any = whisper.encoder
        filters = torch.tensor(extractor.mel_filters, dtype=torch.float32)
        self.register_buffer("filters_KM", filters, persistent=False)

    @classmethod
    def load(cls, folder: Path, padding: AudioPadding = "none") -> AudioEncoder:
        """Load one, frozen, as `load_whisper` does.

        Args:
            folder: With the model and its feature extractor.
            padding: As the class takes it.

        Raises:
            CheckpointError: If the folder holds no such model, or not all of it.
        """
        whisper, extractor = load_whisper(folder)
        return cls(whisper, extractor, padding).eval().requires_grad_(False)

    def add_lora(self, rank: int) -> None:
        """Put LoRA beside it, as `with_audio_lora`."""
        self.encoder = with_audio_lora(self.encoder, rank)

    @property
    def width(self) -> int:
        """Width of a feature, ``D``."""
        return int(self.encoder.config.d_model)

    @property
    def max_num_samples(self) -> int:
        """Longest clip that the position table covers."""
        return _max_num_samples(self.encoder.config)

    def forward(self, clips: Sequence[Tensor]) -> tuple[Tensor, list[int]]:
        """Encode waveforms ``(N,)`` at 16 kHz.

        Returns:
            Features ``(B, T, D)``, and how many of the ``T`` frames each clip has: ``N // 320``, with
            padding at least 25.

        Raises:
            MediaError: If a clip is shorter than one frame, or longer than the position table.
        """
        lengths = [len(clip) // _SAMPLES_PER_FRAME for clip in clips]
        if not all(lengths):
            shortest = min(map(len, clips))
            raise MediaError(
                f"the clip is too short: {shortest} samples of sound, but the audio encoder needs "
                f"{_SAMPLES_PER_FRAME}"
            )
        if self.padding == "none":
            mels = [
                log_mel(clip, self.filters_KM)[:, : 2 * length]
                for clip, length in zip(clips, lengths, strict=True)
            ]
            return self.encode_mels(mels), lengths
        # Silence is trimmed by each clip's own length. The published code takes the longest one of a batch
        # (model facts 1.2), which is the same in its test, one clip at a time.
        lengths = [max(length, _LEAST_FRAMES) for length in lengths]
        features_BTD = self.encode_mels(
            [log_mel(clip, self.filters_KM, self.max_num_samples) for clip in clips]
        )
        return features_BTD[:, : max(lengths)], lengths

    def encode_mels(self, mels: Sequence[Tensor]) -> Tensor:
        """Encode spectrograms ``(M, F)`` with even ``F``; returns ``(B, max F // 2, D)``.

        Raises:
            MediaError: If a clip is longer than the position table.
        """
        frames = [mel.shape[1] for mel in mels]
        longest = max(frames)
        most = 2 * int(self.encoder.config.max_source_positions)
        if longest > most:
            raise MediaError(
                f"a clip lasts {longest / 100:g} s, the audio encoder takes {most / 100:g} s at most"
            )
        longest = min(-(-longest // _LENGTH_STEP) * _LENGTH_STEP, most)
        mel_BMF = torch.stack([pad(mel, (0, longest - mel.shape[1])) for mel in mels])
        frames_B = torch.tensor(frames, device=mel_BMF.device)
        is_speech_BF = torch.arange(longest, device=mel_BMF.device) < frames_B[:, None]
        is_speech_BT = is_speech_BF[:, ::2]

        encoder = self.encoder
        hidden = gelu(encoder.conv1(mel_BMF)) * is_speech_BF[:, None]
        hidden_BTD = gelu(encoder.conv2(hidden)).transpose(1, 2)
        hidden_BTD = hidden_BTD + encoder.embed_positions.weight[: hidden_BTD.shape[1]]
        mask = torch.zeros(is_speech_BT.shape, dtype=hidden_BTD.dtype, device=hidden_BTD.device)
        mask = mask.masked_fill(~is_speech_BT, torch.finfo(hidden_BTD.dtype).min)[:, None, None]
        for layer in encoder.layers:
            hidden_BTD = layer(hidden_BTD, mask)
        return (encoder.layer_norm(hidden_BTD) * is_speech_BT[:, :, None])[:, : max(frames) // 2]
