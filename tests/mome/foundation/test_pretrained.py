"""Backbones from elsewhere: small ones with the published layout, as folders; nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    WhisperForConditionalGeneration,
)

from mome.config import FoundationParams, TrainParams, load_params, parse_section
from mome.errors import CheckpointError, ConfigError
from mome.foundation.encoders import new_audio_encoder, new_video_encoder
from mome.foundation.pretrained import take_audio, take_llm, take_video
from mome.foundation.run import run
from mome.inference import Transcriber
from mome.model.audio_encoder import AudioEncoder
from mome.model.tokens import SPECIAL_TOKENS, TextTokens
from mome.records import Decoding
from mome.speech.shards import read_split
from mome.training.run import run as train

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
}


def published_llm(folder: Path, family: str, *, tied: bool = True) -> Path:
    """Save an LLM as the hub holds it: bfloat16, a byte tokenizer, none of our rows."""
    torch.manual_seed(0)
    sizes = SIZES | {"tie_word_embeddings": tied}
    llm = (
        LlamaForCausalLM(LlamaConfig(**sizes))
        if family == "llama"
        else Qwen2ForCausalLM(Qwen2Config(**sizes))
    )
    llm.to(torch.bfloat16).save_pretrained(folder)
    vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    marks = {"<|begin_of_text|>": 256, "<|end_of_text|>": 257}
    tokenizer = Tokenizer(models.BPE(vocabulary | marks, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    begin = {"bos_token": "<|begin_of_text|>"} if family == "llama" else {}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end_of_text|>", **begin).save_pretrained(
        folder
    )
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("tied", [True, False])
def test_an_llm_gets_five_rows_that_can_be_told_apart_and_keeps_its_own(tmp_path: Path, tied: bool) -> None:
    source = published_llm(tmp_path / "published", "llama", tied=tied)
    for name in ("one", "two"):
        take_llm(str(source), tmp_path / name, seed=3)
    before, after = weights(source), weights(tmp_path / "one")
    tables = {"model.embed_tokens.weight"} | (set() if tied else {"lm_head.weight"})
    tokens = TextTokens.load(tmp_path / "one")
    ids = [tokens.pad_id, *tokens.delimiter_ids]
    assert ids == [258, 259, 260, 261, 262]
    for name, tensor in before.items():
        kept = [row for row in range(300) if row not in ids] if name in tables else slice(None)
        torch.testing.assert_close(after[name][kept], tensor[kept], atol=0, rtol=0)
    for name in tables:
        new = after[name][ids].float()
        assert new.std().item() == pytest.approx(0.02, rel=0.3)
        assert torch.cdist(new, new).fill_diagonal_(1).min() > 0.05
    assert all(torch.equal(after[name], weights(tmp_path / "two")[name]) for name in after)


def test_a_tokenizer_that_is_larger_than_the_table_grows_it(tmp_path: Path) -> None:
    source = published_llm(tmp_path / "published", "llama")
    LlamaForCausalLM(LlamaConfig(**SIZES | {"vocab_size": 258})).save_pretrained(source)
    take_llm(str(source), tmp_path / "taken", seed=3)
    assert len(weights(tmp_path / "taken")["model.embed_tokens.weight"]) == 263


def test_a_tokenizer_whose_ids_have_gaps_has_a_row_for_its_largest_id(tmp_path: Path) -> None:
    source = published_llm(tmp_path / "published", "llama")
    vocabulary = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    marks = {"<|begin_of_text|>": 256, "<|end_of_text|>": 257, "seldom": 400}
    tokenizer = Tokenizer(models.BPE(vocabulary | marks, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>"
    ).save_pretrained(source)
    take_llm(str(source), tmp_path / "taken", seed=3)
    taken = AutoTokenizer.from_pretrained(tmp_path / "taken")
    ids = taken.get_vocab()
    assert ids["seldom"] == 400
    assert len(taken) < 300, "by its length it would fit into the 300 rows of the LLM"
    rows = len(weights(tmp_path / "taken")["model.embed_tokens.weight"])
    assert rows == max(ids.values()) + 1
    assert len({ids[token] for token in SPECIAL_TOKENS} | {256, 257, 400}) == 8, "no id is given twice"
    tokens = TextTokens.load(tmp_path / "taken")
    tokens.check(rows)
    with pytest.raises(CheckpointError, match=rf"has {rows - 1} rows of embeddings, .* needs {rows}"):
        tokens.check(rows - 1)


@pytest.mark.parametrize("family", ["llama", "qwen"])
def test_a_foundation_of_taken_models_trains_and_transcribes(
    family: str, dataset: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    audio, whisper, extractor = new_audio_encoder()
    whisper.save_pretrained(tmp_path / "audio")
    extractor.save_pretrained(tmp_path / "audio")
    new_video_encoder().avhubert.save_pretrained(tmp_path / "video")
    llm = published_llm(tmp_path / "llm", family)
    sources = {"audio": str(tmp_path / "audio"), "video": str(tmp_path / "video"), "llm": str(llm)}
    run(_with(**sources), tmp_path / "foundation")
    train(train_params, dataset, tmp_path / "foundation", tmp_path / "checkpoint", tmp_path / "work")
    transcriber = Transcriber.load(
        tmp_path / "foundation",
        tmp_path / "checkpoint",
        Decoding(num_beams=1, max_new_tokens="by_duration"),
    )
    clips = [clip for _, clip in read_split(dataset, "test")]
    together = transcriber.transcribe(clips, transcriber.scales[0])
    assert together == [transcriber.transcribe([clip], transcriber.scales[0])[0] for clip in clips]
    assert audio.width == transcriber._encoders.audio.width
    begins = TextTokens.load(tmp_path / "foundation" / "llm").bos_id
    assert (begins is None) == (family == "qwen")


def test_what_cannot_be_taken_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"openai/whisper-small: expected a folder, or .* name@revision"):
        take_audio("openai/whisper-small", tmp_path / "audio")
    with pytest.raises(CheckpointError, match=r"^/models/whisper: no such folder .* is its volume mounted\?"):
        take_audio("/models/whisper", tmp_path / "audio")
    with pytest.raises(CheckpointError, match=r"^large\.pt: no such file .*mounted\? .*video: /models/"):
        take_video("large.pt", tmp_path / "video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="expected a causal LLM in safetensors"):
        take_llm(str(tmp_path / "empty"), tmp_path / "llm", seed=0)
    source = published_llm(tmp_path / "published", "llama")
    (source / "model.safetensors").rename(source / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="expected a causal LLM in safetensors"):
        take_llm(str(source), tmp_path / "llm", seed=0)


def test_a_whisper_is_taken_as_it_is_published_with_its_head(tmp_path: Path) -> None:
    _, whisper, extractor = new_audio_encoder()
    published = WhisperForConditionalGeneration(whisper.config)
    published.save_pretrained(tmp_path / "published")
    extractor.save_pretrained(tmp_path / "published")
    take_audio(str(tmp_path / "published"), tmp_path / "audio")
    taken = AudioEncoder.load(tmp_path / "audio").encoder.state_dict()
    for name, tensor in published.model.encoder.state_dict().items():
        torch.testing.assert_close(taken[name], tensor, atol=0, rtol=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), "norm.weight is missing"),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), "extra is not part of it"),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.zeros(7)}),
            r"norm.weight is \(7,\), expected \(32,\)",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named_with_both_sides(
    change: Callable[[dict[str, torch.Tensor]], object], said: str, tmp_path: Path
) -> None:
    source = published_llm(tmp_path / "published", "llama")
    tensors = weights(source)
    change(tensors)
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=said):
        take_llm(str(source), tmp_path / "llm", seed=0)


def test_the_marks_are_those_of_the_papers() -> None:
    assert SPECIAL_TOKENS == ("<pad>", "<audio>", "</audio>", "<video>", "</video>")


def _with(**sources: str) -> FoundationParams:
    values = load_params(Path("params.yaml")).foundation.model_dump(mode="json")
    return parse_section(FoundationParams, values | sources)
