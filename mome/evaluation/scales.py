"""Which scales are judged: those that the model was trained for, and others that somebody asks for."""

from __future__ import annotations

from mome.config import EvaluateParams
from mome.errors import UnknownScaleError
from mome.model.avsr import AVSRModel
from mome.scales import Scale

__all__ = ["judged_scales"]


def judged_scales(model: AVSRModel, params: EvaluateParams) -> tuple[Scale, ...]:
    """Return the trained scales, and then those of ``params.more_scales`` that are others.

    Raises:
        UnknownScaleError: If the model cannot read one of them.
    """
    more = [Scale.parse(text) for text in params.more_scales]
    if unread := [str(scale) for scale in more if not model.reads(scale)]:
        raise UnknownScaleError(
            f"evaluate.more_scales has {', '.join(unread)}, but stacked frames are read at trained rates "
            f"only; the model has {', '.join(map(str, model.scales))}"
        )
    return tuple(dict.fromkeys([*model.scales, *more]))
