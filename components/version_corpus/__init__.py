"""The step ``version_corpus``."""

from components.version_corpus.component import version_corpus

__all__ = ["version_corpus"]
