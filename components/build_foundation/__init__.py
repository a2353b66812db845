"""The step ``build_foundation``."""
