"""What every report of a corpus shows alike, against counts by hand."""

import numpy as np
import pandas as pd
import pytest

from data.pictures import SPLITS_HEAD, count_speakers, durations, noise, split_rows
from mome.speech.media import Clip
from tests.planted import utterance

CLIP = Clip(samples=np.zeros(16_000, np.float32), mouth=None)


def manifest(rows):
    return pd.DataFrame([row.model_dump() for row in rows])


@pytest.mark.parametrize(
    ("members", "disjoint", "said"),
    [
        ([("train", "a"), ("train", "a"), ("test", "b")], False, "2, none of them in more than one split"),
        (
            [("train", "a"), ("test", "b")],
            True,
            "2, none of them in more than one split, as the corpus promises",
        ),
        ([("train", "a"), ("test", "a"), ("test", "b")], True, "2, 1 of them in more than one split"),
        ([("train", "a"), ("test", "a")], False, "1, all of them in more than one split"),
        ([], False, "0, none of them in more than one split"),
    ],
)
def test_speakers_of_several_splits_are_counted(members, disjoint, said):
    assert count_speakers(members, disjoint=disjoint) == said


def test_minutes_are_those_of_what_can_be_used():
    rows = [
        utterance("a", "train", CLIP, duration_s=60.0, speaker="x"),
        utterance("b", "train", CLIP, duration_s=30.0, speaker="y"),
        utterance("c", "train", CLIP, duration_s=600.0, speaker="z", decodable=False),
    ]
    assert len(SPLITS_HEAD) == 5
    assert split_rows(manifest(rows)) == [
        ["train", "3", "2", "1.5", "3"],
        ["validation", "0", "0", "0.0", "0"],
        ["test", "0", "0", "0.0", "0"],
    ]


def test_what_was_not_measured_is_not_drawn():
    rows = [utterance("a", "train", CLIP, snr_db=0.0), utterance("b", "test", CLIP, decodable=False)]
    assert "nothing could be measured" in noise(manifest(rows))
    assert "nothing could be measured" in durations(manifest(rows[1:]))
    assert "share of recordings per split" in durations(manifest(rows))
