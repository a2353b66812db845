"""What validation looks at, against plain loops over the records."""

from collections import Counter

import numpy as np
import pytest

from data.probe import corpus_facts, probe_splits, probe_utterances, read_frame
from mome.speech.media import Clip
from mome.speech.shards import write_manifest
from tests.planted import utterance

CLIP = Clip(samples=np.zeros(16_000, np.float32), mouth=None)


@pytest.fixture
def rows():
    rng = np.random.default_rng(5)
    return [
        utterance(
            f"u{i}",
            str(rng.choice(["train", "validation", "test"])),
            CLIP,
            speaker=f"s{rng.integers(20)}",
            rms_db=-float(rng.integers(40)),  # few, so that some are copies
            snr_db=float(rng.integers(3)),
            decodable=bool(rng.random() < 0.8),
            native_sampling_rate=int(rng.choice([8000, 16_000])),
            transcript=str(rng.choice(["bin blue", "42 é", ""])),
            problem="lost",
        )
        for i in range(100)
    ]


def test_columns_are_those_of_a_loop_over_records(rows, tmp_path, validate_params):
    write_manifest(tmp_path, rows)
    found = probe_utterances(read_frame(tmp_path), validate_params)

    def content(u):
        return (u.num_samples, u.num_frames, u.rms_db, u.peak, u.snr_db)

    usable = [u for u in rows if u.decodable]
    copies = Counter(content(u) for u in usable)
    for u, row in zip(rows, found.to_dict("records"), strict=True):
        assert row["splits_of_speaker"] == len({v.split for v in rows if v.speaker == u.speaker})
        assert row["outside_alphabet"] == {"bin blue": "", "42 é": "42é", "": ""}[u.transcript]
        assert row["not_decodable"] == ("" if u.decodable else "lost")
        assert row["without_video"] == ("has no video" if u.decodable else "")
        assert bool(row["without_speech"]) == (u.decodable and not u.snr_db)
        assert np.isnan(row["native_fps"])
        if u.decodable:
            assert row["copies_of_recording"] == copies[content(u)]
            splits = {v.split for v in usable if content(v) == content(u)}
            assert row["splits_of_recording"] == len(splits)
            assert row["peak"] == u.peak
        else:
            assert np.isnan([row[c] for c in ("copies_of_recording", "splits_of_recording", "peak")]).all()
    assert set(copies.values()) > {1}, "nothing was copied: the test asks nothing"


def test_facts_and_splits_are_counted(rows, tmp_path, validate_params):
    write_manifest(tmp_path, rows)
    manifest = read_frame(tmp_path)
    rates = Counter(u.native_sampling_rate for u in rows if u.decodable)
    assert corpus_facts(manifest, True).sampling_rate == rates.most_common(1)[0][0]
    unusable = np.arange(100) < 10
    (found,) = probe_splits(manifest, unusable, validate_params, "talk").to_dict("records")
    assert found["unusable_share"] == 0.1
    assert found["train_utterances"] == sum(u.split == "train" for u in rows[10:])


def test_what_validation_compares_is_compared_by_the_column(rows, tmp_path, validate_params):
    """Great Expectations asks one value after the other of any other type of number."""
    write_manifest(tmp_path, rows)
    numbers = probe_utterances(read_frame(tmp_path), validate_params).select_dtypes("number")
    assert "peak" in numbers
    assert set(numbers.dtypes.astype(str)) <= {"int64", "float64"}
