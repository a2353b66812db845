"""The benchmark of validation: what it plants, and what it measures of a real process."""

from pathlib import Path

from data.benchmark import measure_validation, plant_manifest
from data.probe import read_frame
from mome.records import ValidationReport


def test_a_planted_corpus_is_validated_in_a_process_of_its_own(tmp_path: Path) -> None:
    plant_manifest(tmp_path, 20_000)
    took = measure_validation(tmp_path, tmp_path / "report", Path("params.yaml"))
    assert (took.rows, took.set_aside) == (20_000, 40)
    assert took.processor_s > 0
    assert 0.1 < took.peak_gib < 2
    report = ValidationReport.read(tmp_path / "report" / "validation.json")
    (noisy,) = (result for result in report.results if result.name == "snr")
    found = read_frame(tmp_path)
    quiet = found[(found["snr_db"] < 10) & (found["snr_db"] != 0)]
    assert noisy.failing_utterances == list(quiet["utterance_id"])
