"""The step ``check_drift``."""
