"""Synthetic speakers that are heard and seen: the embedded corpus and the embedded foundation's lessons."""

from mome.synthesis.corpus import (
    SYNTHESIS_VERSION,
    SyntheticClip,
    SyntheticUtterance,
    plan_corpus,
    render_all,
)

__all__ = ["SYNTHESIS_VERSION", "SyntheticClip", "SyntheticUtterance", "plan_corpus", "render_all"]
