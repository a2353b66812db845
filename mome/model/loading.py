"""Loads a model of transformers from safetensors, whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mome.errors import CheckpointError
from mome.model.hub import explain

__all__ = ["load_model"]

_NAMED = 8  # tensors in a message


def load_model(kind: Any, source: str | Path, what: str, unused: str = r"(?!)", **options: Any) -> Any:
    """Return ``kind.from_pretrained(source)``; every tensor is there, none is left over, all shapes fit.

    Left to itself transformers draws a missing tensor at random, with nothing but a log line to show.

    Args:
        kind: Class of the model.
        source: Folder, or name on a hub if ``options`` allow it.
        what: For the message, such as "a Whisper model".
        unused: Pattern of names that a checkpoint may hold beyond the model.
        options: Further ones of ``from_pretrained``.

    Raises:
        CheckpointError: If there is no such model in safetensors, or its tensors do not fit its settings.
    """
    try:
        model, loading = kind.from_pretrained(
            source,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # refused below, with names and both shapes
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{source}: expected {what} in safetensors: {explain(error)}") from error
    problems = [
        *(f"{name} is missing" for name in sorted(loading["missing_keys"])),
        *(
            f"{name} is not part of it"
            for name in sorted(loading["unexpected_keys"])
            if not re.fullmatch(unused, name)
        ),
        *(
            f"{name} is {tuple(found)}, expected {tuple(expected)}"
            for name, found, expected in sorted(loading["mismatched_keys"])
        ),
    ]
    if problems:
        more = f" and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        raise CheckpointError(
            f"{source}: tensors of {what} do not fit its config.json: {'; '.join(problems[:_NAMED])}{more}"
        )
    return model
