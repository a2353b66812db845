"""What is said of a foundation agrees with the models themselves."""

import json
import math
from pathlib import Path
from shutil import copytree

import pytest
from torch import nn

from mome.config import load_params
from mome.errors import CheckpointError
from mome.foundation.describe import describe
from mome.foundation.encoders import new_audio_encoder, new_video_encoder
from mome.foundation.language import new_language_model
from mome.foundation.tokenizer import new_tokenizer
from tests.page_text import page_text

TAUGHT = {"audio_frame_accuracy": 0.8342, "video_frame_accuracy": 0.6, "language_loss": math.log(5)}


def described(foundation: Path, folder: Path, taught: dict[str, float], **sources: str) -> str:
    copytree(foundation, folder / "foundation")
    params = load_params().foundation.model_dump(mode="json") | sources
    about = {"taught": taught, "params": params}
    (folder / "foundation" / "foundation.json").write_text(json.dumps(about))
    assert describe(folder / "foundation", folder / "page") == {
        "audio": "embedded",
        "video": "embedded",
        "llm": "embedded",
        **sources,
        **taught,
        "precision_bits": 32.0,
    }
    return page_text(folder / "page")


def millions(module: nn.Module) -> str:
    return f"{sum(parameter.numel() for parameter in module.parameters()) / 1e6:.2f} M"


def test_parameters_are_those_that_the_models_use(foundation: Path, tmp_path: Path) -> None:
    said = described(foundation, tmp_path, TAUGHT)
    _, whisper, _ = new_audio_encoder()
    models = {
        "audio encoder": whisper.get_encoder(),
        "video encoder": new_video_encoder().avhubert,
        "LLM": new_language_model(new_tokenizer(0)),
    }
    for name, model in models.items():
        assert f"taught here | {millions(model)} |" in next(
            line for line in said.splitlines() if line.startswith(f"| {name} |")
        )
    assert f"- parameters: {millions(nn.ModuleList(models.values()))}" in said


def test_what_was_taught_says_how_well_it_was_learnt(foundation: Path, tmp_path: Path) -> None:
    said = described(foundation, tmp_path, TAUGHT)
    assert "**taught here** all three models" in said
    assert "| heard right | 83.4% |" in said
    assert "| seen right | 60.0% |" in said
    assert "as between 5.0 equal choices" in said


def test_what_was_taken_says_from_where_and_at_which_revision(foundation: Path, tmp_path: Path) -> None:
    said = described(
        foundation, tmp_path, {}, audio="openai/whisper-medium@abc", video="avhubert", llm="llama@1f2e"
    )
    assert "**taken** all three models" in said
    assert "taken from openai/whisper-medium@abc" in said
    assert "How well they learnt" not in said


def test_a_folder_that_is_no_foundation_is_refused(foundation: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a foundation: .*No such file"):
        describe(tmp_path, tmp_path / "page")
