"""The step ``notify``."""
