"""The step ``promote``."""
