"""The step ``configure``."""
