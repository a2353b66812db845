"""When each word is said: a linear head on an encoder's frames, taught beside the model, and a best path."""

from mome.alignment.aligner import ALIGNER_FILE, Aligner

__all__ = ["ALIGNER_FILE", "Aligner"]
