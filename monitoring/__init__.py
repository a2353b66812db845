"""Noise in, scale out: read the request log, compare it with the baseline, decide which scale to serve."""
