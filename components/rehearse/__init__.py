"""The step ``rehearse``."""

from components.rehearse.component import rehearse

__all__ = ["rehearse"]
