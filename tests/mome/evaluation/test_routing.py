"""Expert statistics: planted routers, a plain loop over tokens, SciPy's distance, and the page read back."""

import math
import re
import runpy
import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from peft import get_peft_model
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from mome.config import TrainParams
from mome.errors import EvaluationError
from mome.evaluation.routing.report import write_report
from mome.evaluation.routing.run import spread
from mome.evaluation.routing.selections import Selections, count_selections
from mome.evaluation.routing.statistics import RoutingStatistics, summarise
from mome.foundation.tokenizer import new_tokenizer
from mome.model.avsr import AVSRModel, Features, Task
from mome.model.tokens import TextTokens
from mome.scales import Scale
from mome.training.checkpoint import new_recogniser, write_checkpoint
from mome.tuners.mome import MomeConfig
from mome.tuners.mome.experts import Experts

SCALES = [Scale(4, 2), Scale(16, 5)]
TEXTS = ["bin blue at f two now", "seven", "lay red by a one again"]
EXPERTS, KEPT, LAYERS = 7, 2, 3


def new_model(*, with_experts: bool = True, top_k: int | list[int] = KEPT) -> AVSRModel:
    torch.manual_seed(0)
    tokens = TextTokens(new_tokenizer(0))
    config = LlamaConfig(
        vocab_size=640, hidden_size=16, intermediate_size=32, num_hidden_layers=LAYERS, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=tokens.pad_id,
    )  # fmt: skip
    llm = LlamaForCausalLM(config)
    mome = MomeConfig(num_experts=EXPERTS, top_k=top_k, init_std=0.3, bottleneck_dim=2)
    tuned = get_peft_model(llm, mome) if with_experts else llm
    return AVSRModel(tuned, tokens, SCALES, audio_width=6, video_width=5).eval()


@pytest.fixture(scope="module")
def model() -> AVSRModel:
    return new_model()


def clip(video_frames: int) -> Features:
    generator = torch.Generator().manual_seed(video_frames)
    return Features(
        torch.randn(2 * video_frames, 6, generator=generator),
        torch.randn(video_frames, 5, generator=generator),
    )


CLIPS = [clip(40), clip(25), clip(33)]


def experts_of(model: AVSRModel) -> list[Experts]:
    return [module for module in model.modules() if isinstance(module, Experts)]


class Forced(nn.Module):
    """A gate that scores the same experts highest for every token."""

    def __init__(self, experts: tuple[int, ...]) -> None:
        super().__init__()
        self.experts = list(experts)

    def forward(self, x_ND: Tensor) -> Tensor:
        scores = torch.zeros(len(x_ND), EXPERTS)
        scores[:, self.experts] = 5.0
        return scores


def length(frames: int, scale: Scale, text: list[int]) -> int:
    """Begin, two marks per modality, prompt, tokens of sound and lips, text; its end is never read."""
    prompt = len(TextTokens(new_tokenizer(0)).prompt("av"))
    return 1 + 4 + prompt + 2 * frames // scale.audio_rate + frames // scale.video_rate + len(text)


def test_forced_experts_get_exactly_their_share_and_every_token_is_counted() -> None:
    model = new_model()
    forced = [(0, 1), (1, 4), (2, 6)]
    for experts, kept in zip(experts_of(model), forced, strict=True):
        experts.router.gate = Forced(kept)
    counted = count_selections(model, CLIPS, TEXTS, SCALES, batch_size=2)
    assert [each.scale for each in counted] == SCALES
    for each in counted:
        expected = np.zeros((LAYERS, EXPERTS))
        for layer, kept in enumerate(forced):
            expected[layer, list(kept)] = 1 / KEPT
        np.testing.assert_array_equal(each.tokens_per_expert_LE, expected)
        assert each.num_tokens == sum(
            length(frames, each.scale, model.tokens.encode(text))
            for frames, text in zip((40, 25, 33), TEXTS, strict=True)
        )
    summary = summarise(counted, "planted", "0" * 40, "av", len(CLIPS))
    assert summary.between_scales is not None and summary.between_layers is not None
    assert (summary.between_scales.mean, summary.between_scales.max) == (0, 0)
    # Layers 1 and 2 share one of two experts, layer 3 shares none.
    assert summary.between_layers.max == pytest.approx(1)
    assert summary.between_layers.mean == pytest.approx((math.sqrt(0.5) + 1 + 1) / 3)


def test_a_slot_that_a_scale_does_not_use_is_no_selection() -> None:
    model = new_model(top_k=[2, 1])
    for experts in experts_of(model):
        experts.router.gate = Forced((3,))
    fine, coarse = count_selections(model, CLIPS, TEXTS, SCALES, batch_size=2)
    np.testing.assert_array_equal(fine.tokens_per_expert_LE[:, 3], [0.5] * LAYERS)
    np.testing.assert_array_equal(coarse.tokens_per_expert_LE, np.eye(EXPERTS)[[3] * LAYERS])


def test_a_batch_with_padding_counts_what_a_loop_over_the_tokens_of_each_clip_counts(
    model: AVSRModel,
) -> None:
    for each in count_selections(model, CLIPS, TEXTS, SCALES, batch_size=3):
        count, tokens = np.zeros((LAYERS, EXPERTS)), 0
        for features, text in zip(CLIPS, TEXTS, strict=True):
            model([Task(features, each.scale, model.tokens.encode(text))])
            for layer, experts in enumerate(experts_of(model)):
                assert experts.routing is not None
                for scores in experts.routing.scores_NE.tolist():
                    tokens += layer == 0
                    for expert in sorted(range(EXPERTS), key=lambda e, s=scores: -s[e])[:KEPT]:
                        count[layer, expert] += 1
        assert each.num_tokens == tokens
        np.testing.assert_allclose(each.tokens_per_expert_LE, count / tokens / KEPT, rtol=1e-12)
        assert len(set(count[0])) > 2  # else the router would have nothing to tell


def test_the_number_of_clips_per_pass_changes_nothing(model: AVSRModel) -> None:
    one_by_one = count_selections(model, CLIPS, TEXTS, SCALES, batch_size=1)
    for alone, together in zip(one_by_one, count_selections(model, CLIPS, TEXTS, SCALES, 3), strict=True):
        assert alone.num_tokens == together.num_tokens
        np.testing.assert_array_equal(alone.tokens_per_expert_LE, together.tokens_per_expert_LE)


@pytest.mark.parametrize(("clips", "texts"), [(0, 0), (2, 3)])
def test_clips_without_texts_are_refused(model: AVSRModel, clips: int, texts: int) -> None:
    with pytest.raises(EvaluationError, match=f"got {clips} clips and {texts} texts"):
        count_selections(model, CLIPS[:clips], TEXTS[:texts], SCALES, 1)


def test_a_model_without_experts_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no routed experts"):
        count_selections(new_model(with_experts=False), CLIPS, TEXTS, SCALES, 1)


def planted(scales: int = 4, layers: int = 3, experts: int = 5, noise: float = 0.1) -> list[Selections]:
    """Scales that differ by ``noise`` around a pattern of their own in each layer."""
    rng = np.random.default_rng(3)
    base_LE = rng.dirichlet(np.ones(experts), layers)
    chosen = []
    for index in range(scales):
        shares_LE = (1 - noise) * base_LE + noise * rng.dirichlet(np.ones(experts), layers)
        scale = [Scale(4, 2), Scale(4, 5), Scale(16, 2), Scale(16, 5)][index]
        chosen.append(Selections(scale, 1000 + index, shares_LE))
    return chosen


def summary(selections: list[Selections], corpus: str = "planted") -> RoutingStatistics:
    return summarise(selections, corpus, "c0ffee" + "0" * 34, "av", 64)


def test_distances_are_those_of_scipy_pair_by_pair() -> None:
    selections = planted()
    scales: dict[str, float] = {}
    layers: dict[str, float] = {}
    for one, other in combinations(selections, 2):
        for layer in range(3):
            p, q = one.tokens_per_expert_LE[layer], other.tokens_per_expert_LE[layer]
            scales[f"{one.scale} and {other.scale} in layer {layer + 1}"] = jensenshannon(p, q, base=2)
    for each in selections:
        for one, other in combinations(range(3), 2):
            p, q = each.tokens_per_expert_LE[[one, other]]
            layers[f"layers {one + 1} and {other + 1} at {each.scale}"] = jensenshannon(p, q, base=2)
    found = summary(selections)
    for distance, expected in ((found.between_scales, scales), (found.between_layers, layers)):
        assert distance is not None
        assert distance.mean == pytest.approx(np.mean(list(expected.values())))
        assert distance.max == pytest.approx(max(expected.values()))
        assert distance.between == max(expected, key=expected.__getitem__)
    for one, other in combinations(selections, 2):
        mean = np.mean([scales[f"{one.scale} and {other.scale} in layer {layer}"] for layer in (1, 2, 3)])
        assert found.distance[str(one.scale)][str(other.scale)] == pytest.approx(mean)
        assert found.distance[str(other.scale)][str(one.scale)] == pytest.approx(mean)
    assert all(found.distance[str(each.scale)][str(each.scale)] == 0 for each in selections)


def test_equal_and_almost_equal_shares_are_no_distance_apart() -> None:
    rng = np.random.default_rng(0)
    shares_LE = rng.dirichlet(np.ones(23), 50)
    almost_LE = shares_LE * (1 + 1e-15 * rng.normal(size=shares_LE.shape))
    found = summary([Selections(SCALES[0], 9, shares_LE), Selections(SCALES[1], 9, almost_LE)])
    assert found.between_scales is not None
    assert found.between_scales.max == pytest.approx(0, abs=1e-6)


def test_a_single_scale_or_layer_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    assert summary(planted(scales=1)).between_scales is None
    assert summary(planted(layers=1)).between_layers is None
    for said, selections in (("a single scale", planted(scales=1)), ("In the only layer", planted(layers=1))):
        assert said in written(tmp_path, summary(selections))


@pytest.mark.parametrize(("count", "most"), [(1, 64), (64, 64), (65, 64), (200, 64), (5000, 64)])
def test_clips_are_spread_over_the_whole_split(count: int, most: int) -> None:
    chosen = spread(count, most)
    assert len(chosen) == min(count, most)
    assert chosen[0] == 0 and chosen[-1] == count - 1
    steps = np.diff(chosen)
    assert len(steps) == 0 or max(steps) - min(steps) <= 1


def written(tmp_path: Path, statistics: RoutingStatistics) -> str:
    write_report(statistics, tmp_path / "routing.html")
    return (tmp_path / "routing.html").read_text()


def maps_of(text: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]


def test_every_share_and_distance_is_in_the_report(tmp_path: Path) -> None:
    statistics = summary(planted())
    text = written(tmp_path, statistics)
    for drawing, each in zip(maps_of(text), statistics.scales, strict=True):
        said = [rect[0].text for rect in drawing.findall("rect")]
        assert said == [
            f"{each.scale}, layer {layer}, expert {expert}: {share:.1%}"
            for layer, row in enumerate(each.tokens_per_expert, start=1)
            for expert, share in enumerate(row, start=1)
        ]
        assert f"{each.tokens:,} tokens" in text
    for one, other in combinations(statistics.distance, 2):
        assert text.count(f">{statistics.distance[one][other]:.3f}</td>") >= 2
    for distance in (statistics.between_scales, statistics.between_layers):
        assert distance is not None
        assert f"<td>{distance.mean:.3f}</td><td>{distance.max:.3f}</td><td>{distance.between}</td>" in text


def test_a_share_has_one_colour_on_all_maps_and_more_is_stronger(tmp_path: Path) -> None:
    shares_LE = np.array([[0.5, 0.3, 0.2]])
    other_LE = np.array([[0.1, 0.3, 0.6]])
    text = written(
        tmp_path, summary([Selections(SCALES[0], 9, shares_LE), Selections(SCALES[1], 9, other_LE)])
    )
    first, second = (
        [float(re.findall(r"/ ([\d.]+)\)", rect.get("style", ""))[0]) for rect in drawing.findall("rect")]
        for drawing in maps_of(text)
    )
    assert first[1] == second[1]
    assert second[0] < first[2] < first[1] < first[0] < second[2]
    assert first[0] == pytest.approx(5 * second[0], abs=0.01)


def test_the_first_sentence_follows_the_numbers(tmp_path: Path) -> None:
    alike = summary(planted(noise=0.05))
    assert alike.between_scales is not None and alike.between_layers is not None
    text = written(tmp_path, alike)
    assert (
        "Row by row the maps look alike: in the same layer the distance between two scales is"
        f" {alike.between_scales.mean:.3f} on average, between two layers of the same scale"
        f" {alike.between_layers.mean:.3f}." in text
    )
    pattern_E = np.array([0.9, 0.1, 0.0])
    unlike = [
        Selections(scale, 9, np.stack([pattern_E[order], pattern_E[order]]))
        for scale, order in zip(SCALES, ([0, 1, 2], [2, 1, 0]), strict=True)
    ]
    assert "do not look alike" in written(tmp_path, summary(unlike))


def test_the_page_fetches_nothing_runs_nothing_and_names_stay_text(tmp_path: Path) -> None:
    text = written(tmp_path, summary(planted(), corpus="<img src=x onerror=alert(1)>"))
    assert "<script" not in text and "<img" not in text and "http" not in text
    assert not re.search(r'(src|href)="(?!data:)', text)


def test_the_command_counts_on_the_test_split_and_leaves_other_files(
    dataset: Path,
    foundation: Path,
    train_params: TrainParams,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recogniser = new_recogniser(foundation, train_params)
    write_checkpoint(tmp_path / "checkpoint", recogniser, foundation, train_params, {}, [])
    output = tmp_path / "output"
    output.mkdir()
    (output / "evaluation.json").write_text("kept")
    arguments = {"dataset": dataset, "foundation": foundation, "checkpoint": tmp_path / "checkpoint"}
    given = [text for name, path in (arguments | {"output": output}).items() for text in (f"--{name}", path)]
    monkeypatch.setattr(sys, "argv", ["routing", *map(str, given)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("mome.evaluation.routing", run_name="__main__")
    assert ended.value.code == 0
    statistics = RoutingStatistics.read(output / "routing.json")
    assert (statistics.corpus, statistics.modality, statistics.utterances) == ("tiny", "av", 4)
    assert [each.scale for each in statistics.scales] == ["a4v2", "a4v5", "a16v2", "a16v5"]
    for each in statistics.scales:
        shares_LE = np.array(each.tokens_per_expert)
        assert shares_LE.shape == (4, train_params.num_experts)
        np.testing.assert_allclose(shares_LE.sum(axis=1), 1)
    tokens = [each.tokens for each in statistics.scales]
    assert tokens == sorted(tokens, reverse=True) and len(set(tokens)) == 4
    # Of the scales, and of modality, both rates and noise: nothing times words in this checkpoint.
    assert len(maps_of((output / "routing.html").read_text())) == 4 + 4
    assert (output / "evaluation.json").read_text() == "kept"
