"""The step ``train``."""
