"""Which adapters read what: planted from the papers, method by method."""

import pytest

from mome.methods import METHODS, MethodName
from mome.records import Modality
from mome.scales import Scale

FINE, COARSE = Scale(4, 2), Scale(16, 5)


@pytest.mark.parametrize(
    ("name", "modality", "scale", "expected"),
    [
        ("mome-layer", "av", FINE, ()),
        ("llama-avsr", "av", FINE, ("shared",)),
        ("mtsk-ms", "audio", COARSE, ("shared",)),
        ("mtsk-ss", "av", COARSE, ("a16v5",)),
        ("mtsk-ss", "audio", COARSE, ("a16",)),
        ("mtsk-ss", "video", FINE, ("v2",)),
        ("mtsk-mss", "av", FINE, ("shared", "a4v2")),
        ("omni-s", "video", FINE, ("shared",)),
        ("omni-t", "video", FINE, ("video",)),
        ("omni-st", "av", COARSE, ("shared", "av")),
    ],
)
def test_a_task_is_read_by_its_adapters(
    name: MethodName, modality: Modality, scale: Scale, expected: tuple[str, ...]
) -> None:
    assert METHODS[name].adapters(modality, scale) == expected


@pytest.mark.parametrize(
    ("name", "count"),
    [("mtsk-ms", 1), ("mtsk-ss", 4), ("mtsk-mss", 5), ("omni-t", 1), ("mome-layer", 0)],
)
def test_four_pairs_have_as_many_adapters_as_the_papers_train(name: MethodName, count: int) -> None:
    pairs = [Scale(a, v) for a in (4, 16) for v in (2, 5)]
    assert len(METHODS[name].all_adapters(["av"], pairs)) == count


def test_every_task_of_omni_has_an_adapter_of_its_own() -> None:
    tasks: list[Modality] = ["audio", "video", "av"]
    assert METHODS["omni-st"].all_adapters(tasks, [FINE, COARSE]) == ("shared", "audio", "video", "av")


def test_independent_methods_take_one_scale_and_omni_samples() -> None:
    assert {name for name, method in METHODS.items() if method.sampled} == {"omni-s", "omni-t", "omni-st"}
    assert {name for name, method in METHODS.items() if method.one_scale} == {
        "mome-mhsa-i", "llama-avsr", "llama-smop-dedr", "llama-smop-jedr", "llama-smop-jejr",
    }  # fmt: skip
