"""AV-HuBERT's video path without fairseq: ResNet over mouth frames, then a pre-norm transformer.

Modules carry the names of the published checkpoint (``feature_extractor_video.resnet.frontend3D.0``
...), so that its tensors load by name. Sizes are free: the embedded foundation uses a small one.

Source: Shi et al., Learning audio-visual speech representation by masked multimodal cluster
prediction (arXiv:2201.02184), and the released checkpoints' layout.
"""

# Shape letters: B batch, T frames (25 Hz), H height, W width of a picture, D encoder width.

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention
from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["AVHubertConfig", "AVHubertModel"]


class AVHubertConfig(PretrainedConfig):
    """Sizes of the video path; the defaults are AV-HuBERT Large.

    Args:
        image_size: Side of the centre crop that the ResNet sees, in pixels, after ``image_shrink``.
        image_shrink: Side of the pixel blocks averaged into one before cropping; 1 in the papers.
        resnet_channels: Of the front end and the four stages (the first is used twice).
        image_mean, image_std: Of pixels scaled to 0..1.
    """

    model_type = "avhubert"

    def __init__(
        self,
        hidden_size: int = 1024,
        num_hidden_layers: int = 24,
        num_attention_heads: int = 16,
        intermediate_size: int = 4096,
        resnet_channels: tuple[int, ...] = (64, 128, 256, 512),
        conv_pos_kernel: int = 128,
        conv_pos_groups: int = 16,
        image_size: int = 88,
        image_shrink: int = 1,
        image_mean: float = 0.421,
        image_std: float = 0.165,
        **kwargs: Any,
    ) -> None:
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.resnet_channels = tuple(resnet_channels)
        self.conv_pos_kernel = conv_pos_kernel
        self.conv_pos_groups = conv_pos_groups
        self.image_size = image_size
        self.image_shrink = image_shrink
        self.image_mean = image_mean
        self.image_std = image_std
        super().__init__(**kwargs)


class AVHubertModel(PreTrainedModel):
    """Video features of mouth frames, one per frame."""

    config_class = AVHubertConfig
    base_model_prefix = "avhubert"

    def __init__(self, config: AVHubertConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.feature_extractor_video = _VideoExtractor(config)
        self.layer_norm = nn.LayerNorm(2 * width)
        self.post_extract_proj = nn.Linear(2 * width, width)
        self.encoder = _Encoder(config)
        self.post_init()  # type: ignore[no-untyped-call]  # transformers lacks annotations here

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def forward(self, frames_BTHW: Tensor, is_frame_BT: Tensor) -> Tensor:
        """Encode mouth frames.

        Args:
            frames_BTHW: Gray pixels 0..255, padded with anything.
            is_frame_BT: False where a frame is padding.

        Returns:
            Features ``(B, T, D)``, zero at padding.
        """
        picture_BTHW = self._pictures(frames_BTHW) * is_frame_BT[:, :, None, None]
        video_BTD = self.feature_extractor_video(picture_BTHW)
        # The fusion layer expects [audio, video]; without audio its half is zero.
        fused = self.layer_norm(torch.cat([torch.zeros_like(video_BTD), video_BTD], dim=-1))
        return self.encoder(self.post_extract_proj(fused), is_frame_BT)

    def _pictures(self, frames_BTHW: Tensor) -> Tensor:
        """Scale to 0..1, shrink, cut the centre, normalise."""
        shrink, size = self.config.image_shrink, self.config.image_size
        picture = frames_BTHW.to(self.dtype) / 255
        if shrink > 1:
            picture = nn.functional.avg_pool2d(picture, shrink)
        top, left = (picture.shape[-2] - size) // 2, (picture.shape[-1] - size) // 2
        picture = picture[..., top : top + size, left : left + size]
        return (picture - self.config.image_mean) / self.config.image_std


class _VideoExtractor(nn.Module):
    def __init__(self, config: AVHubertConfig) -> None:
        super().__init__()
        self.resnet = _ResNet(config.resnet_channels)
        self.proj = nn.Linear(config.resnet_channels[-1], config.hidden_size)

    def forward(self, picture_BTHW: Tensor) -> Tensor:
        features: Tensor = self.proj(self.resnet(picture_BTHW))
        return features


class _ResNet(nn.Module):
    """A 3-D convolution over five frames, then ResNet-18's four stages on each frame."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        first = channels[0]
        self.frontend3D = nn.Sequential(
            nn.Conv3d(1, first, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False),
            nn.BatchNorm3d(first),
            nn.PReLU(first),
            nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
        )
        self.trunk = nn.Module()
        before = first
        for index, after in enumerate(channels):
            stage = nn.Sequential(_Block(before, after, 1 if index == 0 else 2), _Block(after, after, 1))
            self.trunk.add_module(f"layer{index + 1}", stage)
            before = after

    def forward(self, picture_BTHW: Tensor) -> Tensor:
        batch, frames = picture_BTHW.shape[:2]
        hidden = self.frontend3D(picture_BTHW[:, None]).transpose(1, 2).flatten(0, 1)
        # Channels side by side, as a processor convolves them: else every convolution moves them twice.
        hidden = hidden.contiguous(memory_format=torch.channels_last)
        for stage in self.trunk.children():
            hidden = stage(hidden)
        return hidden.mean(dim=(2, 3)).view(batch, frames, -1)


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu1 = nn.PReLU(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu2 = nn.PReLU(after)
        self.downsample: nn.Module | None = None
        if stride != 1 or before != after:
            self.downsample = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.downsample is None else self.downsample(x)
        hidden: Tensor = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x))))) + beside)
        return hidden


class _Encoder(nn.Module):
    def __init__(self, config: AVHubertConfig) -> None:
        super().__init__()
        width, kernel = config.hidden_size, config.conv_pos_kernel
        position = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=config.conv_pos_groups)
        self.pos_conv = nn.Sequential(nn.utils.parametrizations.weight_norm(position, dim=2))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, x_BTD: Tensor, is_frame_BT: Tensor) -> Tensor:
        x_BTD = x_BTD * is_frame_BT[:, :, None]
        # An even kernel padded on both sides gives one frame too many.
        position = self.pos_conv(x_BTD.transpose(1, 2))[:, :, : x_BTD.shape[1]]
        x_BTD = x_BTD + gelu(position).transpose(1, 2)
        for layer in self.layers:
            x_BTD = layer(x_BTD, is_frame_BT[:, None, None])
        features: Tensor = self.layer_norm(x_BTD) * is_frame_BT[:, :, None]
        return features


class _Layer(nn.Module):
    def __init__(self, config: AVHubertConfig) -> None:
        super().__init__()
        self.self_attn = _Attention(config.hidden_size, config.num_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(config.hidden_size)
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size)

    def forward(self, x_BTD: Tensor, mask: Tensor) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.self_attn_layer_norm(x_BTD), mask)
        hidden: Tensor = x_BTD + self.fc2(gelu(self.fc1(self.final_layer_norm(x_BTD))))
        return hidden


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x_BTD: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            projection(x_BTD).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out
