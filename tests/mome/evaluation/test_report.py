"""The report of a planted table is read back: every number is in it, and nothing outside is asked for."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mome.evaluation.report import heat_cell, write_report
from mome.records import Evaluation, WordErrors
from mome.reporting.charts import nice_ticks
from mome.wer import Difference
from tests.planted import condition

LEVELS = ("clean", "babble_10", "babble_-5")
ERRORS = {
    "av": {"a16v5": (31, 52, 263), "a4v2": (12, 19, 97)},
    "audio": {"a16v5": (33, 71, 512), "a4v2": (13, 27, 401)},
    "video": {"a16v5": (611, 612, 613), "a4v2": (577, 578, 579)},
}


def evaluation(corpus: str = "planted", modalities: tuple[str, ...] = ("audio", "video", "av")) -> Evaluation:
    wer = {
        modality: {
            scale: {
                key: WordErrors(errors=e, words=1200, low=e / 1200 - 0.01, high=e / 1200 + 0.013)
                for key, e in zip(LEVELS, row, strict=True)
            }
            for scale, row in ERRORS[modality].items()
        }
        for modality in modalities
    }
    return Evaluation.model_validate(
        {
            "corpus": corpus,
            "revision": "c0ffee" + "0" * 34,
            "modality": modalities[-1],
            "wer": wer,
            "conditions": [
                condition(snr_db=None, estimated_snr_db=31.4, low=22.0, high=38.0),
                condition(snr_db=10, estimated_snr_db=13.2, low=11.0, high=16.0),
                condition(snr_db=-5, estimated_snr_db=1.1, low=-1.0, high=3.0),
            ],
            "utterances": 200,
            "hypotheses": "hypotheses.jsonl",
            "noise": {"babble": "corpus"},
            "estimator": "network-1",
        }
    )


def written(
    tmp_path: Path, table: Evaluation, differences: dict[str, dict[str, Difference]] | None = None
) -> str:
    write_report(table, tmp_path / "evaluation.html", differences)
    return (tmp_path / "evaluation.html").read_text()


def test_every_rate_and_count_is_in_the_report_finest_scale_first(tmp_path: Path) -> None:
    text = written(tmp_path, evaluation())
    for row in (row for rows in ERRORS.values() for row in rows.values()):
        for errors in row:
            assert f"{errors / 1200:.1%}<small>{errors} / 1200</small>" in text
    assert text.index(">a4v2</th>") < text.index(">a16v5</th>")
    assert "c0ffee" in text
    assert text.index("Sound and lips</h2>") < text.index("Sound alone</h2>") < text.index("Lips alone</h2>")


def test_the_report_fetches_nothing_and_runs_nothing(tmp_path: Path) -> None:
    text = written(tmp_path, evaluation())
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "http" not in text


def test_the_drawings_are_well_formed_and_hold_a_point_per_cell(tmp_path: Path) -> None:
    drawings = [
        ElementTree.fromstring(svg)
        for svg in re.findall(r"<svg.*?</svg>", written(tmp_path, evaluation()), re.S)
    ]
    assert len(drawings) == 3
    assert [len(svg.findall("circle")) for svg in drawings] == [6, 6, 6]


def test_higher_rates_are_drawn_higher_and_noise_to_the_right(tmp_path: Path) -> None:
    svg = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", written(tmp_path, evaluation()), re.S)[0])
    points = {
        circle[0].text: (float(circle.get("cx", "0")), float(circle.get("cy", "0")))
        for circle in svg.findall("circle")
    }
    at = {text.split(":")[0]: point for text, point in points.items() if text}
    assert at["a4v2 at babble -5 dB"][1] < at["a4v2 at clean"][1]  # pixels count downwards
    assert at["a16v5 at babble -5 dB"][1] < at["a4v2 at babble -5 dB"][1]
    assert at["a4v2 at clean"][0] < at["a4v2 at babble 10 dB"][0] < at["a4v2 at babble -5 dB"][0]


def test_what_the_lips_add_has_its_interval_when_there_is_one(tmp_path: Path) -> None:
    plain = written(tmp_path, evaluation())
    assert "<td>-25.3</td>" in plain  # (97 - 401) / 1200
    assert "No intervals were computed" in plain
    differences = {
        "a4v2": {"babble_-5": Difference(-0.253, -0.281, -0.227), "clean": Difference(-0.001, -0.004, 0.003)}
    }
    tinted = written(tmp_path, evaluation(), differences)
    assert '"background:rgb(27 138 90 / .32)">-25.3<small>-28.1 to -22.7</small>' in tinted
    assert '"background:var(--panel)">-0.1<small>-0.4 to +0.3</small>' in tinted


def test_a_corpus_without_video_has_one_table(tmp_path: Path) -> None:
    text = written(tmp_path, evaluation(modalities=("audio",)))
    assert "Sound alone" in text
    assert "lips add" not in text
    assert text.count("<svg") == 1


def test_names_of_a_corpus_stay_text(tmp_path: Path) -> None:
    text = written(tmp_path, evaluation(corpus="<img src=x onerror=alert(1)>"))
    assert "<img" not in text


def test_colour_grows_with_the_rate() -> None:
    def strength(errors: int) -> float:
        cell = heat_cell(WordErrors(errors=errors, words=100, low=0, high=1))
        return float(re.findall(r"/ ([\d.]+)\)", cell)[0])

    assert 0 == strength(0) < strength(4) < strength(16) < strength(100) == strength(150)
    assert strength(16) == pytest.approx(2 * strength(4))


@pytest.mark.parametrize("high", [0.0, 0.03, 0.9, 7, 23, 99.9, 100, 480])
def test_ticks_are_few_round_and_reach_the_top(high: float) -> None:
    ticks = nice_ticks(high)
    assert ticks[0] == 0
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 8
    assert f"{ticks[1]:.0e}"[0] in "125"


def test_scales_never_trained_are_marked_and_drawn_beside_the_others(
    tmp_path: Path,
) -> None:
    table = evaluation(modalities=("av",)).model_copy(update={"untrained": ("a16v5",)})
    text = written(tmp_path, table)
    assert ">a16v5, never trained</th>" in text and ">a4v2</th>" in text
    by_noise, by_tokens = (ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S))
    assert len(by_noise.findall("circle")) == 3, "of the trained scale alone"
    at = {circle[0].text: float(circle.get("cx", "0")) for circle in by_tokens.findall("circle")}
    assert set(at) == {
        f"{scale} at {name}: {errors / 1200:.1%}"
        for scale, row in ERRORS["av"].items()
        for name, errors in (("clean", row[0]), ("babble -5 dB", row[-1]))
    }
    cheap, dear = at["a16v5 at clean: 2.6%"], at["a4v2 at clean: 1.0%"]
    assert cheap < dear
