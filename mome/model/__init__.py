"""The audio-visual speech recogniser: frozen encoders, token compression, projectors, frozen LLM."""

from transformers.utils import logging

# Loading and saving small models takes milliseconds; their bars would only tear our own apart.
logging.disable_progress_bar()
