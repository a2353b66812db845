"""Speech to text with a trained model: what the service calls."""

from mome.inference.transcriber import Transcriber, token_budget

__all__ = ["Transcriber", "token_budget"]
