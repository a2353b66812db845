"""Speech to text with a trained model: what the service calls."""

from mome.inference.transcriber import Transcriber

__all__ = ["Transcriber"]
