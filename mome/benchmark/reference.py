"""The rest of the published recipe, written plainly: padded sound, one pass per scale, one clip at a time.

Padding of the sound is masked, which the published code does not do: without that the features would
differ, and nothing could be compared (model facts 11, points 1 and 4).
"""

# Shape letters: B clips, L positions, T frames, then tokens; N samples, M mel bins, F mel frames
# (100 Hz), C encoder width, D width of the LLM.

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, cross_entropy, gelu, pad

from mome.model.audio_encoder import AudioEncoder, log_mel
from mome.model.avsr import AVSRModel, Features
from mome.scales import Scale

__all__ = ["Transcript", "hear_padded", "read", "transcribe"]

_IGNORED = -100  # the label of what is not learnt


class Transcript(NamedTuple):
    """What was written, and how clear the choice of each token was.

    Args:
        text: Of the clip.
        margins: Logit of each chosen token above that of the next best one.
    """

    text: str
    margins: list[float]


def hear_padded(audio: AudioEncoder, waveforms: list[np.ndarray]) -> list[Tensor]:
    """Encode waveforms ``(N,)`` at 16 kHz, padded to all of Whisper's positions; returns ``(T, C)`` each.

    The spectrogram is this project's: the published code computes it in NumPy, with other values at
    the end of a clip.
    """
    encoder: Any = audio.encoder
    positions_TC = encoder.embed_positions.weight
    mels = [
        log_mel(torch.from_numpy(samples).to(positions_TC.device), audio.filters_KM) for samples in waveforms
    ]
    lengths = [mel.shape[1] // 2 for mel in mels]
    mel_BMF = torch.stack(
        [
            pad(mel[:, : 2 * length], (0, 2 * len(positions_TC) - 2 * length))
            for mel, length in zip(mels, lengths, strict=True)
        ]
    )
    frames_F = torch.arange(mel_BMF.shape[2], device=mel_BMF.device)
    is_speech_BF = frames_F < 2 * torch.tensor(lengths, device=mel_BMF.device)[:, None]
    mask_BF = torch.zeros(is_speech_BF.shape, device=mel_BMF.device)
    mask_BF = mask_BF.masked_fill(~is_speech_BF, torch.finfo(torch.float32).min)
    hidden = gelu(encoder.conv1(mel_BMF)) * is_speech_BF[:, None]
    hidden_BTC = gelu(encoder.conv2(hidden)).transpose(1, 2) + positions_TC
    for layer in encoder.layers:
        hidden_BTC = layer(hidden_BTC, mask_BF[:, None, None, ::2])
    features_BTC = encoder.layer_norm(hidden_BTC)
    return [row[:length] for row, length in zip(features_BTC, lengths, strict=True)]


def read(
    model: AVSRModel, features: Sequence[Features], scale: Scale, texts: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Read clips of one length with texts of one length at one scale; there is nothing to mask.

    Returns:
        Loss of the texts, and load-balancing loss.
    """
    prefix_BLD = _prefix(model, features, scale)
    text_BL = torch.tensor([[*text, model.tokens.eos_id] for text in texts], device=prefix_BLD.device)
    text_BLD = model.llm.get_input_embeddings()(text_BL)
    logits_BLV = model.llm(inputs_embeds=torch.cat([prefix_BLD, text_BLD], dim=1), use_cache=False).logits
    ignored_BL = text_BL.new_full(prefix_BLD.shape[:2], _IGNORED)
    labels_BL = torch.cat([ignored_BL, text_BL], dim=1)
    language = cross_entropy(
        logits_BLV[:, :-1].flatten(0, 1).float(), labels_BL[:, 1:].flatten(), ignore_index=_IGNORED
    )
    # The end of a text is read as published, but not balanced: in this project it is not read at all.
    counts_BL = torch.ones_like(labels_BL)
    counts_BL[:, -1] = 0
    return language, model.llm.base_model.load_balancing_loss(counts_BL)


@torch.inference_mode()
def transcribe(model: AVSRModel, features: Features, scale: Scale, max_new_tokens: int) -> Transcript:
    """Write one clip's text, greedily; the published code keeps 15 beams, which is slower."""
    generated = model.llm.generate(
        inputs_embeds=_prefix(model, [features], scale),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=model.tokens.eos_id,
        pad_token_id=model.tokens.pad_id,
        return_dict_in_generate=True,
        output_logits=True,
    )
    best_L2 = torch.cat(generated.logits).float().topk(2).values
    return Transcript(
        model.tokens.decode(generated.sequences.tolist())[0], (best_L2[:, 0] - best_L2[:, 1]).tolist()
    )


def _prefix(model: AVSRModel, features: Sequence[Features], scale: Scale) -> Tensor:
    """Return embeddings ``(B, L, D)``: ``<s> <audio> A </audio> <video> V </video> prompt``."""
    tokens, embedding = model.tokens, model.llm.get_input_embeddings()
    audio_on, audio_off, video_on, video_off = tokens.delimiter_ids

    def look_up(*ids: int) -> Tensor:
        row_LD: Tensor = embedding(torch.tensor(ids, device=embedding.weight.device))
        return row_LD.expand(len(features), -1, -1)

    def compress(frames: Sequence[Tensor | None], rate: int, projectors: nn.ModuleDict) -> Tensor:
        frames_BTC = torch.stack([each for each in frames if each is not None])
        tokens_BTD: Tensor = projectors[str(rate)](avg_pool1d(frames_BTC.mT, rate).mT)
        return tokens_BTD

    audio_BTD = compress([each.audio_TC for each in features], scale.audio_rate, model.audio_projectors)
    video_BTD = compress([each.video_TC for each in features], scale.video_rate, model.video_projectors)
    return torch.cat(
        [
            look_up(*([] if tokens.bos_id is None else [tokens.bos_id]), audio_on),
            audio_BTD,
            look_up(audio_off, video_on),
            video_BTD,
            look_up(video_off, *tokens.prompt("av")),
        ],
        dim=1,
    )
