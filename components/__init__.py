"""Kubeflow components, one folder per step: artifacts in, artifacts out; each converts and calls.

The packages import nothing themselves: a running step reaches the code beside its component through
them, and inside a step ``kfp.dsl`` has no decorators. `components.catalogue` has all components.
"""
