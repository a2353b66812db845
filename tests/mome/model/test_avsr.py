"""The recogniser: what the LLM reads, and batches of mixed scales, lengths and modalities."""

import pytest
from peft import get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from mome.errors import CheckpointError, MediaError, UnknownScaleError
from mome.foundation.tokenizer import new_tokenizer
from mome.model.avsr import AVSRModel, Task
from mome.model.tokens import TextTokens
from mome.scales import Scale
from mome.tuners.mome import MomeConfig
from tests.small_recognisers import SCALES, clip, small_recogniser


@pytest.fixture(scope="module")
def tokens() -> TextTokens:
    return TextTokens(new_tokenizer(0))


@pytest.fixture(scope="module")
def model() -> AVSRModel:
    return small_recogniser()


def test_the_loss_of_a_batch_is_the_mean_over_its_text_tokens(model: AVSRModel, tokens: TextTokens) -> None:
    tasks = [
        Task(clip(40), SCALES[0], tokens.encode("bin blue at f two now")),
        Task(clip(25).only("audio"), SCALES[1], tokens.encode("seven")),
        Task(clip(33).only("video"), SCALES[1], tokens.encode("lay red by a one again")),
    ]
    one_by_one = [model([task]).language.item() for task in tasks]
    counts = [len(task.text or ()) + 1 for task in tasks]
    expected = sum(loss * count for loss, count in zip(one_by_one, counts, strict=True)) / sum(counts)
    assert model(tasks).language.item() == pytest.approx(expected, rel=1e-4)


def test_a_mixed_batch_gives_the_texts_of_its_clips_one_by_one(model: AVSRModel) -> None:
    tasks = [
        Task(features, scale)
        for features in (clip(40), clip(25).only("audio"), clip(33).only("video"))
        for scale in SCALES
    ]
    assert model.transcribe(tasks, 6) == [model.transcribe([task], 6)[0] for task in tasks]


def test_an_untrained_scale_and_a_clip_below_one_token_are_refused(model: AVSRModel) -> None:
    with pytest.raises(UnknownScaleError, match="a8v2 was not trained; the model has a4v2, a16v5"):
        model.transcribe([Task(clip(40), Scale(8, 2))], 4)
    with pytest.raises(MediaError, match="too short"):
        model.transcribe([Task(clip(7), Scale(16, 5))], 4)


def test_experts_and_projectors_train_and_nothing_else(model: AVSRModel) -> None:
    names = model.trained_parameters()
    assert names
    assert all("mome_experts" in name or name.startswith(("audio_proj", "video_proj")) for name in names)


def test_any_word_can_be_written_and_read_back(tokens: TextTokens) -> None:
    texts = ["bin blue at f two now", "it's a xylophone quiz", "z"]
    assert tokens.decode([[*tokens.encode(text), tokens.eos_id, 5, 6] for text in texts]) == texts


def test_frequent_words_are_one_token(tokens: TextTokens) -> None:
    assert len(tokens.encode("place white with q seven please")) == 6


def test_a_tokenizer_without_the_special_rows_is_refused(tokens: TextTokens) -> None:
    bare = new_tokenizer(0)
    vocabulary = {token: index for token, index in bare.get_vocab().items() if token != "<video>"}
    bare.get_vocab = lambda: vocabulary
    with pytest.raises(CheckpointError, match="lacks <video>"):
        TextTokens(bare)


def test_an_llm_without_the_special_rows_is_refused(tokens: TextTokens) -> None:
    short = LlamaForCausalLM(
        LlamaConfig(vocab_size=500, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                    num_attention_heads=2, pad_token_id=0)
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="500 rows of embeddings, but the tokenizer needs 640"):
        AVSRModel(get_peft_model(short, MomeConfig()), tokens, SCALES, audio_width=6, video_width=5)
