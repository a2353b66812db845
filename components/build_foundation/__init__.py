"""The step ``build_foundation``."""

from components.build_foundation.component import build_foundation

__all__ = ["build_foundation"]
