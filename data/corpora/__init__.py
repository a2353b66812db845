"""Readers of corpora, one file per kind; `open_corpus` chooses."""

from data.corpora.raw import Corpus, MediaFile, RawMedia, RawUtterance
from data.corpora.source import open_corpus

__all__ = ["Corpus", "MediaFile", "RawMedia", "RawUtterance", "open_corpus"]
