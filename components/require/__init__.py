"""The step ``require``."""
