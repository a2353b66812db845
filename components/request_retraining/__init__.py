"""The step ``request_retraining``."""

from components.request_retraining.component import request_retraining

__all__ = ["request_retraining"]
