"""The sentences and the tables follow the numbers, in both directions, and say no more than they carry."""

import re

import pytest

from mome.compare.markdown import clock, markdown
from mome.compare.picture import picture
from mome.compare.records import Attempt, Cell, Comparison, Gap, Row, Rung, Tuned
from mome.compare.sentences import pair, sentences
from mome.records import WordErrors

SCALES, SNRS = ["a4v2", "a16v5"], ["7.5", "-5"]
CONDITIONS = ["a4v2/clean", "a16v5/clean", *(f"{scale}/{snr}" for scale in SCALES for snr in SNRS)]
NAMES = {"llama-avsr": "Llama-AVSR†", "mtsk-ms": "MTSK MS", "mome-layer": "MoME-23/4-LAYER"}
METHODS = list(NAMES)


# The models of one scale take four times as long in all.
LENGTHS = {
    "llama-avsr": [(5, 4.0), (10, 8.0), (20, 16.0)],
    "mtsk-ms": [(5, 1.0), (10, 2.0), (20, 4.0)],
    "mome-layer": [(5, 1.2), (10, 2.4), (20, 4.8)],
}


def tuned(method: str) -> Tuned:
    attempts = [
        Attempt(learning_rate=rate, factor=factor, validation_loss=loss)
        for rate, factor, loss in [(1e-3, 0.25, 0.9), (1e-3, 1.0, 0.8), (2e-3, 0.25, 0.7), (2e-3, 1.0, 0.75)]
    ]
    return Tuned(method=method, learning_rate=2e-3, factor=0.25, steps=5, attempts=attempts)


def rung(method: str, steps: int, seconds: float) -> Rung:
    return Rung(
        method=method,
        steps=steps,
        utterances=steps * 12,
        validation_loss=1 / steps,
        training_s=seconds,
        rates=dict.fromkeys(CONDITIONS, steps / 1000),
    )


def comparison(
    errors: dict[str, list[int]], told: set[tuple[str, str, str]], seeds: tuple[int, ...] = (1, 2)
) -> Comparison:
    """Errors of 1000 words per condition; ``told`` names the differences whose interval leaves out zero."""
    rows = [
        Row(
            method=method,
            name=NAMES[method],
            lora_rank=27 if method != "mome-layer" else None,
            trained=4000,
            active=1980 if method != "mome-layer" else 2000,
            models=2 if method == "llama-avsr" else 1,
            utterances=120,
            seconds=61.0,
            cells={
                condition: Cell(
                    total=WordErrors(
                        errors=count, words=1000, low=count / 1000 - 0.01, high=count / 1000 + 0.012
                    ),
                    by_seed=dict.fromkeys(seeds, count / 1000),
                )
                for condition, count in zip(CONDITIONS, errors[method], strict=True)
            },
        )
        for method in METHODS
    ]
    gaps = []
    for at, condition in enumerate(CONDITIONS):
        for i, first in enumerate(METHODS):
            for second in METHODS[i + 1 :]:
                rate = (errors[first][at] - errors[second][at]) / 1000
                half = abs(rate) / 2 if (first, second, condition) in told else abs(rate) * 2
                gaps.append(
                    Gap(
                        first=first,
                        second=second,
                        condition=condition,
                        rate=rate,
                        low=rate - half,
                        high=rate + half,
                        same_sign=True,
                    )
                )
    return Comparison(
        corpus="planted",
        revision="0" * 40,
        utterances=50,
        scales=SCALES,
        snrs=SNRS,
        seeds=list(seeds),
        steps=10,
        utterances_per_step=12,
        trained=["av"],
        levelled=True,
        bootstrap_samples=100,
        mome_active=2000,
        interrupted=False,
        seconds=183.0,
        tuned=[tuned(method) for method in METHODS],
        rungs=[rung(method, steps, seconds) for method in METHODS for steps, seconds in LENGTHS[method]],
        rows=rows,
        gaps=gaps,
    )


FLAT = [50, 80, 100, 300, 150, 400]
LESS, MORE = [count - 20 for count in FLAT], [count + 20 for count in FLAT]
CLEAN = "Lowest word error rate by rate pair"
AGAINST = "Method against method, clean speech"


def everywhere(first: str, second: str) -> set[tuple[str, str, str]]:
    return {(first, second, condition) for condition in CONDITIONS}


def test_the_lowest_is_told_with_who_is_beyond_the_interval_and_who_is_not() -> None:
    errors = {"llama-avsr": MORE, "mtsk-ms": FLAT, "mome-layer": LESS}
    said = sentences(comparison(errors, everywhere("llama-avsr", "mome-layer")))
    assert said[CLEAN] == [
        "At (4,2): MoME-23/4-LAYER has the lowest rate, 3.0%. Higher beyond the interval: Llama-AVSR†."
        " Not told apart from it: MTSK MS.",
        "At (16,5): MoME-23/4-LAYER has the lowest rate, 6.0%. Higher beyond the interval: Llama-AVSR†."
        " Not told apart from it: MTSK MS.",
    ]
    assert said["Lowest word error rate by noise at (16,5)"][1].startswith(
        "At -5 dB: MoME-23/4-LAYER has the lowest rate, 38.0%."
    )


def test_the_same_sentences_turn_round_with_the_numbers() -> None:
    told = everywhere("llama-avsr", "mome-layer") | {("mtsk-ms", "mome-layer", "a16v5/clean")}
    better = sentences(comparison({"llama-avsr": FLAT, "mtsk-ms": FLAT, "mome-layer": LESS}, told))
    worse = sentences(comparison({"llama-avsr": FLAT, "mtsk-ms": FLAT, "mome-layer": MORE}, told))
    assert better[AGAINST] == [
        "MTSK MS against Llama-AVSR†: not told apart at (4,2) and (16,5).",
        "MoME-23/4-LAYER against Llama-AVSR†: fewer errors at (4,2) and (16,5).",
        "MoME-23/4-LAYER against MTSK MS: fewer errors at (16,5); not told apart at (4,2).",
    ]
    assert worse[AGAINST][1:] == [
        "MoME-23/4-LAYER against Llama-AVSR†: more errors at (4,2) and (16,5).",
        "MoME-23/4-LAYER against MTSK MS: more errors at (16,5); not told apart at (4,2).",
    ]
    # Two share the lowest rate, and only one of them is told apart from the third at (4,2).
    assert worse[CLEAN][0] == (
        "At (4,2): Llama-AVSR† and MTSK MS have the lowest rate, 5.0%."
        " Not told apart from it: MoME-23/4-LAYER."
    )
    assert worse[CLEAN][1].endswith("Higher beyond the interval: MoME-23/4-LAYER.")


def beside_mss(errors: dict[str, list[int]], told: set[tuple[str, str, str]]) -> Comparison:
    """The same with the rival of the paper's claims in the place of MTSK MS, and 0 dB in that of -5."""
    text = comparison(errors, told).model_dump_json()
    text = text.replace("mtsk-ms", "mtsk-mss").replace("MTSK MS", "MTSK MSS").replace("/-5", "/0")
    return Comparison.model_validate_json(text.replace('["7.5","-5"]', '["7.5","0"]'))


NOWHERE = "It is behind nowhere."
COARSE = "(16,5) and (16,5) 0 dB"


@pytest.mark.parametrize(
    ("mome", "told", "expected"),
    [
        (
            LESS,
            {"a4v2/clean", "a16v5/clean", "a16v5/-5"},
            f"{NOWHERE} Ahead at the coarse pairs it is, as the paper has it: {COARSE}.",
        ),
        (
            LESS,
            {"a16v5/-5"},
            f"{NOWHERE} Of the coarse pairs, where the paper has it ahead, it is so at (16,5) 0 dB alone.",
        ),
        (
            MORE,
            {"a4v2/-5"},
            "It is behind at (4,2) 0 dB. Ahead at the coarse pairs, as the paper has it, it is nowhere: "
            f"{COARSE}.",
        ),
    ],
)
def test_the_papers_claims_are_held_against_the_intervals(
    mome: list[int], told: set[str], expected: str
) -> None:
    errors = {"llama-avsr": FLAT, "mtsk-ms": FLAT, "mome-layer": mome}
    found = beside_mss(errors, {("mtsk-ms", "mome-layer", condition) for condition in told})
    (said,) = sentences(found)["The paper's claims, here"]
    assert said == f"MoME-23/4-LAYER against MTSK MSS, clean and at 0 dB: {expected}"


def test_without_differences_nothing_is_claimed() -> None:
    said = sentences(comparison({"llama-avsr": MORE, "mtsk-ms": FLAT, "mome-layer": LESS}, set()))
    text = " ".join(line for lines in said.values() for line in lines)
    assert "fewer" not in text
    assert "more errors" not in text
    assert "Higher" not in text
    # 3 couples in 6 conditions.
    assert "Of 18 differences between two methods in the tables, 0 are told." in text
    assert "about 1 intervals" in text
    assert "one seed" not in text


def test_one_seed_is_said_to_be_one() -> None:
    errors = dict.fromkeys(METHODS, FLAT)
    assert sentences(comparison(errors, set(), (1,)))["How much of it is chance"][0].endswith(
        "There is one seed: what another seed would give is not known."
    )


def test_the_document_holds_exactly_the_planted_tables() -> None:
    errors = {"llama-avsr": MORE, "mtsk-ms": FLAT, "mome-layer": LESS}
    lines = markdown(comparison(errors, set()), "python -m mome.compare").splitlines()
    assert "| method | active | (4,2) | (16,5) |" in lines
    assert "| Llama-AVSR† | 1,980 | 7.0 (6.0–8.2) | 10.0 (9.0–11.2) |" in lines
    assert "| MoME-23/4-LAYER | 2,000 | 3.0 (2.0–4.2) | 6.0 (5.0–7.2) |" in lines
    assert "| method | active | 7.5 dB | -5 dB |" in lines
    assert "| MTSK MS | 1,980 | 15.0 (14.0–16.2) | 40.0 (39.0–41.2) |" in lines
    assert "| Llama-AVSR† | 27 | 1,980 | 2,000 | -1.0% | 4,000 | 2 | 120 | 0:01:01 |" in lines
    assert "| MoME-23/4-LAYER | – | 2,000 | 2,000 | +0.0% | 4,000 | 1 | 120 | 0:01:01 |" in lines
    assert "| MTSK MS | 0.002 | 0.25 | 0.700 | 0.700 to 0.900 |" in lines
    assert "| MTSK MS | 0.200 | 0.100 | 0.050 |" in lines
    # In the four seconds that MTSK takes for twenty steps.
    assert "| Llama-AVSR† | 5 | 0:00:04 | 0.5 | 0.5 |" in lines
    assert "| MTSK MS | 20 | 0:00:04 | 2.0 | 2.0 |" in lines
    assert "| MoME-23/4-LAYER | 10 | 0:00:02 | 1.0 | 1.0 |" in lines
    assert "| MTSK MS | 5.0 / 5.0 | 8.0 / 8.0 |" in lines
    assert any("0:03:03" in line for line in lines)


def test_the_picture_has_a_bar_and_a_dot_for_every_cell() -> None:
    html = picture(comparison({"llama-avsr": MORE, "mtsk-ms": FLAT, "mome-layer": LESS}, set()))
    assert len(re.findall("<circle", html)) == 18
    assert len(re.findall('<path d="M[^"]*m-4', html)) == 18
    assert "MTSK MS at -5 dB: 40.0 (39.0–41.2) %" in html
    assert ">LAYER</text>" in html


@pytest.mark.parametrize(("seconds", "text"), [(59.6, "0:01:00"), (3725, "1:02:05")])
def test_times(seconds: float, text: str) -> None:
    assert clock(seconds) == text
    assert pair("a16v2") == "(16,2)"
