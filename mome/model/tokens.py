"""Text to tokens and back, with the five rows that mark sound and video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from mome.errors import CheckpointError
from mome.records import Modality

__all__ = ["PROMPTS", "SPECIAL_TOKENS", "TextTokens", "rows_needed"]

SPECIAL_TOKENS = ("<pad>", "<audio>", "</audio>", "<video>", "</video>")

# The prompts of Llama-AVSR, by what the model is given.
PROMPTS: dict[Modality, str] = {
    "audio": "Transcribe speech to text.",
    "video": "Transcribe video to text.",
    "av": "Transcribe speech and video to text.",
}


def rows_needed(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many rows of embeddings a tokenizer asks for: one more than its largest id.

    That is not its length: ids may have gaps, as those have that were reserved and never given.
    """
    return max(tokenizer.get_vocab().values()) + 1


class TextTokens:
    """A tokenizer: its end, its begin if it has one (Qwen has none), and the marks of the prefix.

    Raises:
        CheckpointError: If the tokenizer lacks one of them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        missing = [token for token in SPECIAL_TOKENS if token not in tokenizer.get_vocab()]
        if missing or tokenizer.eos_token_id is None:
            raise CheckpointError(
                f"the tokenizer lacks {', '.join(missing) or 'an end token'}; "
                f"expected an end token and {', '.join(SPECIAL_TOKENS)}"
            )
        self._tokenizer = tokenizer
        self.bos_id: int | None = tokenizer.bos_token_id
        self.eos_id: int = tokenizer.eos_token_id
        vocabulary = tokenizer.get_vocab()
        self.pad_id, *self.delimiter_ids = (int(vocabulary[token]) for token in SPECIAL_TOKENS)

    def check(self, rows: int) -> None:
        """Raise unless an LLM with so many rows of embeddings knows every token.

        Raises:
            CheckpointError: If it does not.
        """
        needed = rows_needed(self._tokenizer)
        if rows < needed:
            raise CheckpointError(
                f"the LLM has {rows} rows of embeddings, but the tokenizer needs {needed}; "
                f"{', '.join(SPECIAL_TOKENS)} need rows, too, which building the foundation adds"
            )

    @classmethod
    def load(cls, folder: Path) -> TextTokens:
        """Load the tokenizer that was saved beside the LLM.

        Raises:
            CheckpointError: If there is none.
        """
        try:
            return cls(AutoTokenizer.from_pretrained(folder, local_files_only=True))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{folder}: expected a tokenizer: {error}") from error

    def prompt(self, modality: Modality) -> list[int]:
        """Return the prompt's tokens."""
        return self.encode(PROMPTS[modality])

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without begin and end."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts, up to each one's end token; single spaces."""
        texts = []
        for row in ids:
            until = list(row).index(self.eos_id) if self.eos_id in row else len(row)
            text = self._tokenizer.decode(list(row[:until]), skip_special_tokens=True)
            texts.append(" ".join(str(text).split()))
        return texts
