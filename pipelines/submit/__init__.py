"""Submit a pipeline to a Kubeflow server and bring back what the gate decided: for any CI.

``python -m pipelines.submit --help`` says what there is to give and what the exit code means.
"""

from pipelines.submit.outcome import Exit, Outcome, Submission

__all__ = ["Exit", "Outcome", "Submission"]
