"""The step ``gate``."""
