"""The step ``request_retraining``."""
