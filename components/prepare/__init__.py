"""The step ``prepare``."""

from components.prepare.component import prepare

__all__ = ["prepare"]
