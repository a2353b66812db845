"""The benchmark of reading: what it plants, and what it measures of a real process."""

from pathlib import Path

from data.benchmark_reading import measure_reading, plant_clips
from mome.speech.shards import read_split


def test_planted_clips_are_read_in_a_process_of_its_own(tmp_path: Path) -> None:
    plant_clips(tmp_path, 600)
    assert len(list((tmp_path / "shards").iterdir())) == 2
    expected = sum(len(clip.samples) == 1600 for _, clip in read_split(tmp_path, "train"))
    took = measure_reading(str(tmp_path), "split")
    assert took.clips == expected > 500
    assert took.seconds > 0
    assert 50 < took.peak_mib < 2_000
