"""The audio-visual speech recogniser: frozen encoders, token compression, projectors, frozen LLM."""

import warnings

from transformers.utils import logging

# Loading and saving small models takes milliseconds; their bars would only tear our own apart.
logging.disable_progress_bar()

# peft reads an attribute that transformers has renamed: nothing that a caller could mend.
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
