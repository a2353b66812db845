"""The embedded default's own frozen models, made once from synthetic speech and text in minutes."""

from mome.foundation.run import run

__all__ = ["run"]
