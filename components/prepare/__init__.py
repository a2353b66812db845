"""The step ``prepare``."""
