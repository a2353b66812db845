"""Teaches the small audio and video encoders which phoneme is spoken in each frame.

Frame labels are what makes minutes enough: the same encoders trained with CTC had not learned to
spell in that time. The classification heads are thrown away; only the encoders are kept.
"""

# Shape letters: B batch, T frames, N frames of a batch, D width, P phonemes.

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from mome.config import Precision
from mome.foundation.lessons import Lesson
from mome.foundation.optimiser import Optimiser
from mome.foundation.side_by_side import Teaching
from mome.model.audio_encoder import AudioEncoder
from mome.model.avhubert import AVHubertConfig, AVHubertModel
from mome.model.precision import mixed_precision
from mome.model.video_encoder import VideoEncoder
from mome.speech.augmentation import change_speed, spoil
from mome.synthesis.phonemes import PHONEMES

__all__ = ["frame_accuracy", "new_audio_encoder", "new_video_encoder", "teach_audio", "teach_video"]

_NO_LABEL = -100
_MAX_CLIP_S = 12
_MAX_SHIFT = 4  # pixels that a mouth crop is moved by
_VIDEO_WINDOW = 25  # frames of a lesson that one step sees
_MATRIX_RATE, _RATE = 1e-2, 2e-3  # highest learning rates

Part = tuple[list[Tensor], Tensor]  # of a batch, read at once: clips, labels (B, T)


def new_audio_encoder() -> tuple[AudioEncoder, WhisperModel, WhisperFeatureExtractor]:
    """Return a small untrained Whisper encoder, with the model and extractor that it is saved as."""
    config = WhisperConfig(
        d_model=128,
        encoder_layers=4,
        encoder_attention_heads=4,
        encoder_ffn_dim=512,
        max_source_positions=_MAX_CLIP_S * 50,
        # Whisper comes with a decoder, of which nothing is used: as small as it can be.
        decoder_layers=1,
        decoder_attention_heads=1,
        decoder_ffn_dim=4,
        vocab_size=4,
        max_target_positions=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    config._attn_implementation = "eager"  # as `AudioEncoder.load` has it
    whisper, extractor = WhisperModel(config), WhisperFeatureExtractor(chunk_length=_MAX_CLIP_S)
    return AudioEncoder(whisper, extractor), whisper, extractor


def new_video_encoder() -> VideoEncoder:
    """Return a small untrained AV-HuBERT."""
    return VideoEncoder(
        AVHubertModel(
            AVHubertConfig(
                hidden_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=512,
                resnet_channels=(8, 16, 32, 64),
                conv_pos_kernel=16,
                conv_pos_groups=8,
                image_size=44,
                image_shrink=2,
            )
        )
    )


def teach_audio(
    encoder: AudioEncoder, lessons: Sequence[Lesson], *, steps: int, seed: int, precision: Precision
) -> Teaching:
    """Train the audio encoder step by step; returns its frame accuracy over the last steps."""
    rng = np.random.default_rng(seed)

    def batch() -> list[Part]:
        chosen = rng.choice(len(lessons), 16, replace=False)
        pairs = []
        for index in chosen:
            lesson, factor = lessons[index], rng.uniform(0.85, 1.18)
            others = [lessons[other].samples for other in rng.choice(len(lessons), 6)]
            samples = spoil(change_speed(lesson.samples, factor), others, rng)
            num_frames = len(samples) // 320
            frames = (
                ((np.arange(num_frames) + 0.5) * factor).astype(int).clip(max=len(lesson.audio_labels_T) - 1)
            )
            pairs.append((torch.from_numpy(samples), torch.from_numpy(lesson.audio_labels_T[frames])))
        # The longest lasts three times as long as the shortest: in two halves, less is padding.
        pairs.sort(key=lambda pair: len(pair[0]))
        return [_part(pairs[:8]), _part(pairs[8:])]

    return _teach(encoder, batch, steps=steps, precision=precision)


def teach_video(
    encoder: VideoEncoder, lessons: Sequence[Lesson], *, steps: int, seed: int, precision: Precision
) -> Teaching:
    """Train the video encoder step by step; returns its frame accuracy over the last steps.

    Phonemes that look alike cannot be told apart in one frame, so far from all frames can be right.
    """
    rng = np.random.default_rng(seed)

    def batch() -> list[Part]:
        pairs = []
        for index in rng.choice(len(lessons), 16, replace=False):
            lesson = lessons[index]
            start = rng.integers(0, max(1, len(lesson.mouth) - _VIDEO_WINDOW))
            frames = lesson.mouth[start : start + _VIDEO_WINDOW]
            moved = np.roll(frames, rng.integers(-_MAX_SHIFT, _MAX_SHIFT + 1, 2), axis=(1, 2))
            if rng.random() < 0.5:
                moved = moved[:, :, ::-1]
            light = moved * rng.uniform(0.7, 1.3) + rng.uniform(-25, 25)
            labels_T = lesson.video_labels_T[start : start + _VIDEO_WINDOW]
            pairs.append((torch.from_numpy(light.clip(0, 255).astype(np.uint8)), torch.from_numpy(labels_T)))
        return [_part(pairs)]

    return _teach(encoder, batch, steps=steps, precision=precision)


def frame_accuracy(logits_NP: Tensor, labels_N: Tensor) -> float:
    """Return the share of labelled frames whose most probable phoneme is the label."""
    labelled = labels_N != _NO_LABEL
    return float((logits_NP.argmax(-1) == labels_N)[labelled].float().mean())


def _part(pairs: Sequence[tuple[Tensor, Tensor]]) -> Part:
    labels = [labels_T for _, labels_T in pairs]
    return [clip for clip, _ in pairs], pad_sequence(labels, batch_first=True, padding_value=_NO_LABEL)


def _teach(
    encoder: AudioEncoder | VideoEncoder, batch: Callable[[], list[Part]], *, steps: int, precision: Precision
) -> Teaching:
    head = nn.Linear(encoder.width, len(PHONEMES))  # drawn now: others may be drawn before the first step
    return _steps(encoder, head, batch, steps, precision)


def _steps(
    encoder: AudioEncoder | VideoEncoder,
    head: nn.Linear,
    batch: Callable[[], list[Part]],
    steps: int,
    precision: Precision,
) -> Teaching:
    encoder.train().requires_grad_(True)
    optimiser = Optimiser([encoder, head], steps=steps, matrix_rate=_MATRIX_RATE, rate=_RATE)
    accuracies: list[float] = []
    for _ in range(steps):
        logits, labels = [], []
        for clips, labels_BT in batch():
            with mixed_precision("cpu", precision):
                features_BTD, _ = encoder(clips)
                logits.append(head(features_BTD).float().flatten(0, 1))
            labels.append(labels_BT.flatten())
        logits_NP, labels_N = torch.cat(logits), torch.cat(labels)
        optimiser.step(nn.functional.cross_entropy(logits_NP, labels_N, ignore_index=_NO_LABEL))
        accuracies.append(frame_accuracy(logits_NP, labels_N))
        yield
    encoder.eval().requires_grad_(False)
    return float(np.mean(accuracies[-50:]))
