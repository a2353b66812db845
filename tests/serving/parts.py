"""The outputs of the stages before packaging, as small as they can be and still be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from mome.records import Condition, Evaluation, GateDecision, Modality, WordErrors

SCALES = ("a4v2", "a16v5")


def write_parts(folder: Path, *, passed: bool = True, modality: Modality = "av") -> dict[str, Path]:
    """Write foundation, checkpoint, evaluation and gate; return their folders by the stage's name."""
    folders = {name: folder / name for name in ("foundation", "checkpoint", "evaluation", "gate")}
    for name, path in folders.items():
        path.mkdir(parents=True)
        if name in ("foundation", "checkpoint"):
            save_file({"weight": np.arange(4, dtype=np.float32)}, path / "model.safetensors")
            (path / "config.json").write_text("{}\n")
    modalities: list[Modality] = ["audio"] if modality == "audio" else ["audio", "video", "av"]
    table = {scale: {"clean": WordErrors(errors=1, words=50, low=0.0, high=0.04)} for scale in SCALES}
    Evaluation(
        corpus="planted",
        revision="0" * 40,
        modality=modality,
        wer={name: table for name in modalities},
        conditions=[Condition(snr_db=None, estimated_snr_db=30.0, low=28.0, high=32.0)],
        utterances=10,
        hypotheses="hypotheses.jsonl",
    ).write(folders["evaluation"] / "evaluation.json")
    pd.DataFrame({"snr_db": [30.0], "condition": ["clean"]}).to_parquet(
        folders["evaluation"] / "baseline.parquet"
    )
    GateDecision(
        passed=passed,
        reason="within budget" if passed else "a16v5 is over budget",
        checks=["planted"],
        max_wer=dict.fromkeys(SCALES, 0.1),
    ).write(folders["gate"] / "gate.json")
    return folders
