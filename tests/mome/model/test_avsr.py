"""The recogniser: what the LLM reads, and batches of mixed scales, lengths and modalities."""

from pathlib import Path

import pytest
from peft import get_peft_model
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

from mome.config import load_params
from mome.errors import CheckpointError, MediaError, UnknownScaleError
from mome.foundation.tokenizer import new_tokenizer
from mome.methods import METHODS
from mome.model.adaptation import adapt
from mome.model.avsr import AVSRModel, Task
from mome.model.tokens import TextTokens
from mome.scales import Scale
from mome.tuners.mome import MomeConfig
from tests.small_recognisers import AUDIO_WIDTH, SCALES, VIDEO_WIDTH, clip, small_recogniser


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
        for scale in (*SCALES, Scale(8, 3), Scale(1, 1))
    ]
    assert model.transcribe(tasks, 6) == [model.transcribe([task], 6)[0] for task in tasks]


@pytest.mark.parametrize("count", [1, 3])
def test_a_prefix_is_compared_with_all_tokens_in_one_product(model: AVSRModel, count: int) -> None:
    tasks = [Task(clip(40), SCALES[0])] * count
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        model.transcribe(tasks, 3)
    products = [
        event.name
        for event in profiled.events()
        if event.name in ("aten::mm", "aten::bmm") and any(640 in shape for shape in event.input_shapes)
    ]
    assert products == ["aten::mm"] * 3  # row by row would be bmm


class Mean(nn.Module):
    """What two modules say, half and half."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.both = nn.ModuleList([one, other])

    def forward(self, tokens: Tensor) -> Tensor:
        return (self.both[0](tokens) + self.both[1](tokens)) / 2


def test_a_rate_never_trained_is_read_by_the_projectors_of_its_neighbours(
    model: AVSRModel, tokens: TextTokens
) -> None:
    # Eight is halfway between four and sixteen, as the ratio goes; seven is beyond two and five.
    near, text = Scale(8, 7), tokens.encode("bin blue at f two now")
    trained = small_recogniser(scales=[near])  # with the same weights, but projectors of its own
    trained.audio_projectors["8"] = Mean(model.audio_projectors["4"], model.audio_projectors["16"])
    trained.video_projectors["7"] = model.video_projectors["5"]
    tasks = [
        Task(features, near, text) for features in (clip(40), clip(25).only("audio"), clip(33).only("video"))
    ]
    assert model(tasks).language.item() == pytest.approx(trained(tasks).language.item(), rel=1e-6)
    assert model.transcribe(tasks, 6) == trained.transcribe(tasks, 6)


def test_a_rate_never_trained_is_read_with_as_many_experts_as_the_nearest() -> None:
    model = small_recogniser(top_k=[4, 1])
    model([Task(clip(80), Scale(12, 3), [5]), Task(clip(80), Scale(3, 1), [5])])
    assert model.readers_RL is not None
    rows = model.readers_RL.shape[0]
    kept = [each.chosen_NE.unflatten(0, (rows, -1)).sum(-1) for each in model.llm.base_model.routings()]
    assert all((coarse[0] == 1).all() and (fine[0] == 4).all() for coarse, fine in map(tuple, kept))


def test_a_rate_never_trained_is_read_with_the_adapter_of_the_nearest(tokens: TextTokens) -> None:
    train = load_params(Path("params.yaml")).train
    params = train.model_copy(update={"method": "mtsk-mss", "lora_rank": 2})
    config = LlamaConfig(
        vocab_size=640, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=tokens.pad_id,
    )  # fmt: skip
    scales = [Scale.parse(text) for text in params.scales]
    method = METHODS["mtsk-mss"]
    model = AVSRModel(adapt(LlamaForCausalLM(config), params), tokens, scales, 6, 5, method=method).eval()
    for features, scale, name in (
        (clip(40), Scale(12, 3), "a16v2"),
        (clip(40).only("audio"), Scale(5, 9), "a4"),
        (clip(40).only("video"), Scale(1, 9), "v5"),
    ):
        model.transcribe([Task(features, scale)], 2)
        assert model.llm.active_adapters == ["shared", name]


def test_stacked_frames_of_a_rate_never_trained_are_refused(model: AVSRModel, tokens: TextTokens) -> None:
    stacked = AVSRModel(
        model.llm, tokens, SCALES, audio_width=AUDIO_WIDTH, video_width=VIDEO_WIDTH, compression="stack"
    ).eval()
    assert len(stacked.transcribe([Task(clip(40), Scale(4, 5))], 4)) == 1, "each of the two rates was trained"
    with pytest.raises(UnknownScaleError, match=r"a8v2 was not trained, .*; the model has a4v2, a16v5"):
        stacked.transcribe([Task(clip(40), Scale(8, 2))], 4)


def test_a_clip_below_one_token_is_refused(model: AVSRModel) -> None:
    with pytest.raises(MediaError, match="too short"):
        model.transcribe([Task(clip(40), Scale(99, 5))], 4)
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
