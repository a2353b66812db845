"""Kubeflow pipelines: which steps, in which order; compiled for a cluster and run on one machine alike."""
