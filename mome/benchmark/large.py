"""A bundle as large as the papers': another one's encoders and table, and an LLM of Llama-3.2-1B's shapes.

    python -m mome.benchmark.large BUNDLE OUTPUT [--max-new-tokens 16]

Its weights are random, so its texts are nonsense; how long they take does not depend on that. As nothing in
them ends a text, all are as long as they may be. What the table says of words holds for the other bundle.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from copy import deepcopy
from pathlib import Path

import torch
from transformers import AutoConfig, LlamaForCausalLM, PretrainedConfig

from mome.bundle import Bundle, read_bundle, write_bundle
from mome.cli import main
from mome.config import TrainParams, parse_section
from mome.model.backbones import llm_config
from mome.records import Decoding
from mome.training.checkpoint import CONFIG_FILE, new_recogniser, write_checkpoint
from mome.training.state import History

__all__ = ["write_large"]

_SEED = 23
_SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id")


def write_large(
    bundle: Bundle, output: Path, *, max_new_tokens: int, sizes: PretrainedConfig | None = None
) -> Bundle:
    """Write it; an older one is replaced.

    Args:
        bundle: Whose encoders, tokenizer, table and scales it has.
        output: Its folder.
        max_new_tokens: Of every text.
        sizes: Of the LLM; None for those of Llama-3.2-1B (model facts 1.5).
    """
    config = json.loads((bundle.checkpoint / CONFIG_FILE).read_text(encoding="utf-8"))
    # Encoders that were taught themselves belong to the other checkpoint; here nothing is to be read right.
    own = {"audio_steps": 0, "video_steps": 0}
    params = parse_section(TrainParams, config["train"]).model_copy(update=own)
    with tempfile.TemporaryDirectory(prefix="mome-large-", dir=output.parent) as temporary:
        parts = Path(temporary)
        foundation = parts / "foundation"
        shutil.copytree(bundle.foundation, foundation)
        _write_llm(foundation / "llm", sizes or llm_config("meta-llama/Llama-3.2-1B"))
        write_checkpoint(
            parts / "checkpoint",
            new_recogniser(foundation, params),
            foundation,
            params,
            config["corpus"],
            History(),
            face_models=bundle.face_models,
        )
        evaluation = bundle.evaluation.model_copy(
            update={"decoding": Decoding(num_beams=1, max_new_tokens=max_new_tokens), "calibration": None}
        )
        evaluation.write(parts / "evaluation.json")
        shutil.copyfile(bundle.baseline, parts / bundle.baseline.name)
        return write_bundle(
            name="large",
            default_scale=bundle.default_scale,
            foundation=foundation,
            checkpoint=parts / "checkpoint",
            evaluation=parts,
            gate=bundle.path,
            output=output,
            promise=bundle.promise,
        )


def _write_llm(folder: Path, sizes: PretrainedConfig) -> None:
    """Write random weights over those of a folder whose tokenizer stays."""
    before = AutoConfig.from_pretrained(folder)
    sizes = deepcopy(sizes)
    for name in _SPECIAL:
        setattr(sizes, name, getattr(before, name))
    torch.manual_seed(_SEED)
    LlamaForCausalLM._from_config(sizes, dtype=torch.bfloat16).save_pretrained(folder)


def _command() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m mome.benchmark.large",
        description="Write a bundle with an LLM of Llama-3.2-1B's shapes and random weights.",
    )
    parser.add_argument("bundle", type=Path, help="folder of the bundle whose encoders and table it has")
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument("--max-new-tokens", type=int, default=16, metavar="NUMBER", help="of every text")
    given = parser.parse_args()
    write_large(read_bundle(given.bundle), given.output, max_new_tokens=given.max_new_tokens)


if __name__ == "__main__":
    raise SystemExit(main(_command))
