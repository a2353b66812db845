"""The step ``validate``."""
