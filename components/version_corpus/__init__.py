"""The step ``version_corpus``."""
