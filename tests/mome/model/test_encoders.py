"""The encoders against transformers' own Whisper, and batches against single clips."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

from mome.errors import MediaError
from mome.model.audio_encoder import AudioEncoder, log_mel
from mome.model.avhubert import AVHubertConfig, AVHubertModel
from mome.model.video_encoder import VideoEncoder
from tests.small_recognisers import SMALL_WHISPER


@pytest.fixture(scope="module")
def audio() -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder(WhisperModel(SMALL_WHISPER), WhisperFeatureExtractor(chunk_length=4)).eval()


@pytest.fixture(scope="module")
def video() -> VideoEncoder:
    torch.manual_seed(0)
    config = AVHubertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        resnet_channels=(4, 4, 8, 8), conv_pos_kernel=8, conv_pos_groups=4,
    )  # fmt: skip
    return VideoEncoder(AVHubertModel(config)).eval()


def speech(num_samples: int) -> torch.Tensor:
    return torch.randn(num_samples, generator=torch.Generator().manual_seed(num_samples)) * 0.1


def test_log_mel_equals_whispers_own_extractor(audio: AudioEncoder) -> None:
    samples = speech(4 * 16_000)
    normalised = ((samples - samples.mean()) / samples.std(unbiased=False)).numpy()
    expected = WhisperFeatureExtractor(chunk_length=4)(normalised, sampling_rate=16_000).input_features[0]
    np.testing.assert_allclose(log_mel(samples, audio.filters_KM).numpy(), expected, atol=1e-4)


@torch.inference_mode()
def test_a_clip_of_full_length_equals_whispers_own_encoder(audio: AudioEncoder) -> None:
    samples = speech(4 * 16_000)
    expected = audio.encoder(log_mel(samples, audio.filters_KM)[None]).last_hidden_state
    torch.testing.assert_close(audio([samples])[0], expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_checkpoint_in_half_precision_hears_as_one_in_single_precision(
    audio: AudioEncoder, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    whisper = WhisperModel(audio.encoder.config)
    whisper.half().save_pretrained(tmp_path)
    WhisperFeatureExtractor(chunk_length=4).save_pretrained(tmp_path)
    loaded = AudioEncoder.load(tmp_path)
    expected = AudioEncoder(whisper.float(), WhisperFeatureExtractor(chunk_length=4)).eval()
    clip = speech(20_000)
    assert loaded([clip])[0].dtype == torch.float32
    torch.testing.assert_close(loaded([clip])[0], expected([clip])[0], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_with_30_s_of_padding_features_are_those_of_whisper_as_published() -> None:
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64,
        decoder_layers=1, decoder_attention_heads=1, decoder_ffn_dim=4, vocab_size=4, max_target_positions=4,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    whisper, extractor = WhisperModel(config).eval(), WhisperFeatureExtractor()
    clips = [speech(n) for n in (33_920, 5_000, 16_000)]  # 53 video frames, less than half a second, 1 s
    published = []
    for clip in clips:
        normalised = ((clip - clip.mean()) / (clip.var(unbiased=False) + 1e-8).sqrt()).numpy()
        mel = extractor(normalised, sampling_rate=16_000, return_tensors="pt").input_features
        assert mel.shape == (1, 80, 3000)
        published.append(whisper.encoder(mel).last_hidden_state[0, : max(50 * len(clip) // 16_000, 25)])
    features, lengths = AudioEncoder(whisper, extractor, "30s").eval()(clips)
    assert lengths == [106, 25, 50]
    for row, length, expected in zip(features, lengths, published, strict=True):
        torch.testing.assert_close(row[:length], expected, atol=2e-4, rtol=1e-4)
    plain, _ = AudioEncoder(whisper, extractor).eval()(clips[:1])
    assert not torch.allclose(plain[0], published[0], atol=1e-2), "silence is heard, too"


@pytest.mark.parametrize("num_samples", [0, 100, 319])
@pytest.mark.parametrize("padding", ["none", "30s"])
def test_sound_of_less_than_a_frame_is_refused(audio: AudioEncoder, padding: str, num_samples: int) -> None:
    encoder = AudioEncoder(
        WhisperModel(audio.encoder.config), WhisperFeatureExtractor(chunk_length=4), padding
    )
    with pytest.raises(MediaError, match=f"{num_samples} samples of sound, but the audio encoder needs 320"):
        encoder([speech(16_000), torch.zeros(num_samples)])


def test_a_clip_longer_than_the_position_table_is_refused(audio: AudioEncoder) -> None:
    with pytest.raises(MediaError, match="4 s at most"):
        audio([speech(5 * 16_000)])


@torch.inference_mode()
def test_audio_clips_of_mixed_length_encode_as_one_by_one(audio: AudioEncoder) -> None:
    clips = [speech(n) for n in (16_000, 40_123, 23_456)]
    features, lengths = audio(clips)
    assert lengths == [50, 125, 73]
    for clip, row, length in zip(clips, features, lengths, strict=True):
        torch.testing.assert_close(row[:length], audio([clip])[0][0], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_video_clips_of_mixed_length_encode_as_one_by_one(video: VideoEncoder) -> None:
    clips = [torch.randint(0, 256, (n, 96, 96), dtype=torch.uint8) for n in (5, 20, 11)]
    features, lengths = video(clips)
    assert lengths == [5, 20, 11]
    for clip, row, length in zip(clips, features, lengths, strict=True):
        torch.testing.assert_close(row[:length], video([clip])[0][0], atol=1e-5, rtol=1e-5)


def test_lora_beside_queries_and_values_of_the_video_encoder_is_the_papers_sum(video: VideoEncoder) -> None:
    clips = [torch.randint(0, 256, (n, 96, 96), dtype=torch.uint8) for n in (9, 20)]
    adapted = copy.deepcopy(video).requires_grad_(False)
    adapted.add_lora(4)
    with torch.inference_mode():
        torch.testing.assert_close(adapted(clips)[0], video(clips)[0], atol=0, rtol=0)
    lora = {name: each for name, each in adapted.named_parameters() if each.requires_grad}
    layers = {name.split(".lora_")[0].split("encoder.layers.")[1] for name in lora}
    assert layers == {f"{layer}.self_attn.{part}" for layer in range(2) for part in ("q_proj", "v_proj")}
    assert not any(each.any() for name, each in lora.items() if ".lora_A." in name)
    assert all(each.all() for name, each in lora.items() if ".lora_B." in name)
    for each in lora.values():
        torch.nn.init.normal_(each, std=0.1)
    by_hand = copy.deepcopy(video)
    for layer in range(2):
        for part in ("q_proj", "v_proj"):
            place = f"avhubert.base_model.model.encoder.layers.{layer}.self_attn.{part}"
            down, up = (lora[f"{place}.lora_{side}.default.weight"] for side in "AB")
            weight = getattr(by_hand.avhubert.encoder.layers[layer].self_attn, part).weight
            weight.data += 2 * (up @ down).data
    with torch.inference_mode():
        torch.testing.assert_close(adapted(clips)[0], by_hand(clips)[0], atol=1e-5, rtol=1e-5)
        assert not torch.allclose(adapted(clips)[0], video(clips)[0], atol=1e-2)


@torch.inference_mode()
def test_the_centre_is_looked_at_of_a_frame_that_is_larger(video: VideoEncoder) -> None:
    clip = torch.randint(0, 256, (6, 96, 96), dtype=torch.uint8)
    assert video.picture_side == 88
    centre, corner = clip[:, 4:92, 4:92], clip[:, :88, :88]
    torch.testing.assert_close(video([clip])[0], video([centre])[0], atol=0, rtol=0)
    assert not torch.allclose(video([clip])[0], video([corner])[0])


def test_the_default_video_encoder_has_the_size_of_avhubert_large() -> None:
    with torch.device("meta"):
        model = AVHubertModel(AVHubertConfig())
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    resnet = sum(size for name, size in sizes.items() if ".resnet." in name)
    assert resnet / 1e6 == pytest.approx(11.18, abs=0.02)
    assert sum(sizes.values()) / 1e6 == pytest.approx(324.5, abs=0.1)
