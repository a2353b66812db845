"""Drift is compared with scipy's own Kolmogorov-Smirnov test on planted shifts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from mome.errors import MonitorError
from mome.records import RequestRecord
from monitoring.drift import FEATURES, compare, read_baseline
from tests import planted

pytest.importorskip("evidently", reason="the monitoring extra is not installed")


WER = "estimated_wer_av_a4v2"
COLUMNS = {name: WER if name == "estimated_wer" else name for name in FEATURES}


def baseline(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "snr_db": rng.normal(30, 5, rows),
            "level_db": rng.normal(-25, 3, rows),
            "speech_share": rng.uniform(0.6, 1.0, rows),
            "mouth_sharpness": rng.normal(12, 2, rows),
            WER: rng.beta(1, 20, rows),
            "condition": "clean",
        }
    )


def requests(table: pd.DataFrame) -> list[RequestRecord]:
    return [
        planted.request(
            f"r{number}",
            modality="av",
            **{name: None if pd.isna(row[key]) else float(row[key]) for name, key in COLUMNS.items()},
        )
        for number, row in table.iterrows()
    ]


def test_only_the_shifted_feature_drifts_and_the_p_values_are_scipys() -> None:
    before, now = baseline(), baseline(40, seed=1)
    now["snr_db"] -= 15
    found = compare(requests(now), before, min_requests=12, p_value=0.01)
    assert found.drifted == ("snr_db",)
    assert found.skipped == {}
    assert found.snapshot is not None
    values = {metric["config"]["column"]: metric["value"] for metric in found.snapshot.dict()["metrics"]}
    assert values == {
        name: pytest.approx(ks_2samp(before[key], now[key]).pvalue) for name, key in COLUMNS.items()
    }


def test_estimated_word_errors_are_compared_at_the_scale_that_most_requests_have() -> None:
    before, now = baseline(), baseline(40, seed=1)
    now[WER] += 0.2
    coarse = [each.model_copy(update={"scale": "a16v5", "estimated_wer": 0.9}) for each in requests(now)[:15]]
    well = requests(baseline(40, seed=2))
    assert compare([*well, *coarse], before, min_requests=12, p_value=0.01).drifted == ()
    assert compare(requests(now), before, min_requests=12, p_value=0.01).drifted == ("estimated_wer",)
    found = compare(requests(now), before.drop(columns=WER), min_requests=12, p_value=0.01)
    assert found.skipped == {"estimated_wer": "0 measurements in the baseline, 12 needed"}


def test_an_unshifted_window_rarely_drifts() -> None:
    flagged = [
        feature
        for seed in range(1, 26)
        for feature in compare(
            requests(baseline(20, seed)), baseline(), min_requests=12, p_value=0.01
        ).drifted
    ]
    assert len(flagged) <= 5  # 100 comparisons at p < 0.01


def test_what_cannot_be_compared_is_left_out_and_says_why() -> None:
    before, now = baseline(), baseline(20, seed=1)
    now["mouth_sharpness"] = np.nan  # audio only
    before["speech_share"] = 1.0
    before.loc[5:, "level_db"] = np.inf
    found = compare(requests(now), before, min_requests=12, p_value=0.01)
    assert found.skipped == {
        "mouth_sharpness": "0 measurements, 12 needed",
        "speech_share": "one and the same value throughout: there is no distribution to compare",
        "level_db": "5 measurements in the baseline, 12 needed",
    }
    assert found.snapshot is not None
    assert len(found.snapshot.dict()["metrics"]) == 2


def test_an_empty_window_and_a_baseline_without_columns_compare_nothing(tmp_path: Path) -> None:
    assert compare([], baseline(), 12, 0.01).snapshot is None
    found = compare(requests(baseline(20)), baseline()[["snr_db", "condition"]], 12, 0.01)
    assert set(found.skipped) == {"level_db", "speech_share", "mouth_sharpness", "estimated_wer"}
    compare([], baseline(), 12, 0.01).write_json(tmp_path / "drift.json")
    assert (tmp_path / "drift.json").read_text() == "{}\n"


def test_the_report_is_one_file_that_needs_nothing_from_outside(tmp_path: Path) -> None:
    compare(requests(baseline(20, seed=1)), baseline(), 12, 0.01).write_html(tmp_path / "drift.html")
    text = (tmp_path / "drift.html").read_text()
    assert "snr_db" in text
    assert "<script src=" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["drift.html"]


def test_the_baseline_is_the_clean_rows(tmp_path: Path) -> None:
    noisy = baseline().assign(condition="0")
    pd.concat([baseline(7), noisy]).to_parquet(tmp_path / "baseline.parquet")
    assert len(read_baseline(tmp_path / "baseline.parquet")) == 7
    noisy.to_parquet(tmp_path / "noisy.parquet")
    with pytest.raises(MonitorError, match="no row with condition 'clean'"):
        read_baseline(tmp_path / "noisy.parquet")


def test_a_missing_or_broken_baseline_is_named(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match=r"baseline\.parquet: no such file"):
        read_baseline(tmp_path / "baseline.parquet")
    (tmp_path / "baseline.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(MonitorError, match="not a parquet file"):
        read_baseline(tmp_path / "baseline.parquet")
