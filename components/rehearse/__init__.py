"""The step ``rehearse``."""
