"""Fine-tuning: MoME and projectors on frozen encoders and a frozen LLM, resumable at any step."""

from mome.training.run import run

__all__ = ["run"]
