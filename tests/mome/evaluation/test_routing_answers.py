"""What experts answer for: planted counts, a loop over tokens, true phonemes, and the page read back."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import entropy

from mome.alignment import Aligner
from mome.alignment.aligner import Span
from mome.alignment.head import Head
from mome.config import TrainParams, load_params
from mome.errors import UnknownScaleError
from mome.evaluation.routing.association import associate
from mome.evaluation.routing.factors import TOKEN_KINDS, Counts, HeardClip, count_by_factor
from mome.evaluation.routing.phonemes import MANNERS, frame_manners
from mome.evaluation.routing.run import run
from mome.evaluation.routing.statistics import RoutingStatistics
from mome.evaluation.scales import judged_scales
from mome.model.avsr import Task
from mome.scales import Scale
from mome.synthesis.phonemes import phoneme_class
from mome.synthesis.speech import Voice, speak
from mome.training.checkpoint import new_recogniser, write_checkpoint
from tests.planted import evaluation, table
from tests.small_recognisers import SCALES, clip, small_recogniser

VOWELS = {"i", "I", "u", "U", "E", "a", "A", "V", "O", "@", "3", "eI", "aI", "OI", "oU", "aU"}


def counts(chosen_VE: list[list[float]]) -> Counts:
    chosen = np.array(chosen_VE)[:, None]
    tokens = chosen.sum(axis=(1, 2)).astype(int)
    return Counts("noise", "sound", tuple(f"value {v}" for v in range(len(chosen))), tokens, chosen)


def test_tokens_are_counted_by_what_they_are_as_a_loop_over_single_clips_counts_them() -> None:
    model = small_recogniser()
    rng = np.random.default_rng(0)
    clips = [
        HeardClip(clip(frames), text, noise, rng.integers(0, 6, 2 * frames), rng.integers(0, 6, frames))
        for frames, text, noise in ((40, [9, 8, 7], "clean"), (25, [6], "clean"), (33, [5, 4], "babble_0"))
    ]
    found = {each.factor: each for each in count_by_factor(model, clips, SCALES, batch_size=2)}
    expected: dict[tuple[str, str], np.ndarray] = {}
    for heard in clips:
        for scale in SCALES:
            frames = len(heard.features.video_TC)
            sound, lips = 2 * frames // scale.audio_rate, frames // scale.video_rate
            model([Task(heard.features, scale, heard.text)])
            layers = [each.chosen_NE.numpy() for each in model.llm.base_model.routings()]
            names = [
                "mark", "mark", *["sound"] * sound, "mark", "mark", *["lips"] * lips, "mark",
                *["prompt"] * len(model.tokens.prompt("av")), *["text"] * len(heard.text),
            ]  # fmt: skip
            assert len(names) == len(layers[0])
            place = {"sound": 0, "lips": 0}
            for position, name in enumerate(names):
                told = [("modality", name)]
                if name == "sound":
                    told += [("audio rate", f"a{scale.audio_rate}"), ("noise", heard.noise)]
                if name == "lips":
                    told += [("video rate", f"v{scale.video_rate}")]
                if name in place:
                    rate = scale.audio_rate if name == "sound" else scale.video_rate
                    manners = heard.audio_manners_T if name == "sound" else heard.video_manners_T
                    part = manners[place[name] * rate :][:rate].tolist()
                    place[name] += 1
                    most = min(range(6), key=lambda m, part=part: (-part.count(m), m))
                    told.append(("phoneme heard" if name == "sound" else "phoneme seen", MANNERS[most]))
                for key in told:
                    chosen = np.stack([layer[position] for layer in layers])
                    expected[key] = expected.get(key, 0) + chosen
    assert {(factor, value) for factor, each in found.items() for value in each.values} == set(expected)
    for (factor, value), chosen_LE in expected.items():
        index = found[factor].values.index(value)
        np.testing.assert_array_equal(found[factor].chosen_VLE[index], chosen_LE)
        assert found[factor].tokens_V[index] * 4 == chosen_LE[0].sum()
    assert found["modality"].values == TOKEN_KINDS


def test_what_is_unknown_and_what_never_differs_is_no_factor() -> None:
    heard = HeardClip(clip(40).only("audio"), [5], "clean", None, None)
    found = count_by_factor(small_recogniser(), [heard], SCALES, batch_size=2)
    assert [each.factor for each in found] == ["modality", "audio rate"]
    assert found[0].values == ("mark", "sound", "prompt", "text")


def test_information_is_what_the_entropies_of_both_and_of_the_pair_leave() -> None:
    chosen = np.random.default_rng(1).integers(0, 50, (3, 7)).astype(float)
    found = associate(counts(chosen.tolist()))
    whole = entropy(chosen.sum(1), base=2) + entropy(chosen.sum(0), base=2) - entropy(chosen.ravel(), base=2)
    assert found.information_bits == pytest.approx([whole])
    assert found.entropy_bits == pytest.approx(entropy(chosen.sum(1), base=2))
    share = chosen[1] / chosen[1].sum() / (chosen.sum(0) / chosen.sum())
    assert found.lift[0][1] == pytest.approx(share.tolist())


def test_experts_of_one_value_tell_all_and_experts_of_everybody_nothing() -> None:
    alone = associate(counts([[10, 0, 0], [0, 30, 0]]))
    assert alone.information_bits == pytest.approx([alone.entropy_bits])
    assert alone.lift[0] == [[4.0, 0.0, 1.0], [0.0, pytest.approx(4 / 3), 1.0]]
    assert associate(counts([[10, 20, 30], [20, 40, 60]])).information_bits == pytest.approx([0.0], abs=1e-12)


def test_chance_is_what_tokens_show_that_draw_their_experts_blindly() -> None:
    rng = np.random.default_rng(2)
    drawn = [
        associate(counts(np.stack([rng.multinomial(400, [0.1] * 10) for _ in range(4)]).tolist()))
        for _ in range(50)
    ]
    mean = np.mean([each.information_bits[0] for each in drawn])
    assert mean == pytest.approx(drawn[0].chance_bits, rel=0.1)


def test_phonemes_lie_in_their_words_about_where_another_voice_speaks_them() -> None:
    same = total = 0
    for text in ("bin blue at f two now", "place white with q seven please", "set green in m nine soon"):
        spoken = speak(text, Voice("gmw/en", "m3", words_per_minute=120))
        spans = [Span(word.start_s, word.end_s) for word in spoken.words]
        manners_T = frame_manners(
            text.split(), spans, int(50 * len(spoken.samples) / spoken.sampling_rate), 50
        )
        for frame, manner in enumerate(manners_T):
            middle = (frame + 0.5) / 50
            said = next((p.symbol for p in spoken.phonemes if p.start_s <= middle < p.end_s), "_")
            if any(span.start_s <= middle < span.end_s for span in spans):
                same += (phoneme_class(said) in VOWELS) == (MANNERS[manner] == "vowel")
                total += 1
    assert total > 200
    assert same / total > 0.75, "of two accents and two paces; by chance it is a half"


def test_outside_of_words_is_silence() -> None:
    manners_T = frame_manners(["zoo"], [Span(0.2, 0.6)], 50, 50)
    assert [MANNERS[each] for each in (manners_T[0], manners_T[10], manners_T[29], manners_T[30])] == [
        "silence", "fricative", "vowel", "silence",
    ]  # fmt: skip


def test_the_report_says_what_every_expert_answers_for_and_where_untrained_rates_lie(
    dataset: Path, foundation: Path, train_params: TrainParams, tmp_path: Path
) -> None:
    recogniser = new_recogniser(foundation, train_params)
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(27, recogniser.encoders.audio.width)).astype(np.float32)
    head = Head(weight, np.zeros(27, np.float32))
    aligner = Aligner("abcdefghijklmnopqrstuvwxyz", head, None)
    write_checkpoint(tmp_path / "checkpoint", recogniser, foundation, train_params, {}, [], aligner)
    rates = table({scale: {"clean": n} for n, scale in enumerate(["a4v2", "a4v5", "a16v2", "a16v5", "a8v3"])})
    evaluation({"av": rates}, untrained=["a8v3"]).write(tmp_path / "evaluation.json")
    params = load_params(Path("params.yaml")).evaluate
    params = params.model_copy(update={"more_scales": ["a8v3"], "snrs_db": [None, 0.0]})
    found = run(params, dataset, foundation, tmp_path / "checkpoint", tmp_path / "out", evaluation=tmp_path)
    assert found == RoutingStatistics.read(tmp_path / "out" / "routing.json")
    assert (found.untrained, found.wer["a8v3"]) == (["a8v3"], 0.04)
    told = {each.factor: each for each in found.answers}
    assert list(told) == ["modality", "audio rate", "video rate", "phoneme heard", "phoneme seen", "noise"]
    assert told["noise"].values == ["clean", "babble_0"]
    assert told["noise"].num_tokens[0] == told["noise"].num_tokens[1], "the same clips at every level"
    assert told["audio rate"].values == ["a4", "a16"], "of the trained scales"
    text = (tmp_path / "out" / "routing.html").read_text()
    for each in found.answers:
        assert all(f"<small>{bits:.3f}</small>" in text for bits in each.information_bits)
        layer = int(np.argmax(each.information_bits))
        for value, row in zip(each.values, each.lift[layer], strict=True):
            for expert, lift in enumerate(row, start=1):
                assert f"{value.replace('_', ' ')}, expert {expert}: {lift:.2f} times" in text
    maps = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    assert len(maps) == 5 + 1 + 6  # scales, rates never trained, factors
    said = [circle[0].text for circle in maps[5].findall("circle")]
    apart = min(found.distance["a8v3"][other] for other in ("a4v2", "a4v5", "a16v2", "a16v5"))
    assert f"a8v3: distance {apart:.3f}, 4.0 %" in said and len(said) == 5
    assert found.between_scales is not None and "a8v3" not in found.between_scales.between


def test_a_rate_that_nothing_reads_is_refused() -> None:
    model = small_recogniser()
    params = load_params(Path("params.yaml")).evaluate.model_copy(update={"more_scales": ["a4v5", "a8v3"]})
    assert judged_scales(model, params) == (*SCALES, Scale(4, 5), Scale(8, 3))
    model.compression = "stack"
    with pytest.raises(UnknownScaleError, match=r"more_scales has a8v3, but stacked .* the model has a4v2"):
        judged_scales(model, params)
