"""Nothing is timed before both sides were seen to compute the same."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mome.errors import MomeError

__all__ = ["ResultsDifferError", "check_equal"]


class ResultsDifferError(MomeError, RuntimeError):
    """Two sides of a comparison do not compute the same, so their times cannot be compared."""


def check_equal(
    what: str,
    found: Mapping[str, Tensor],
    expected: Mapping[str, Tensor],
    tolerance: float,
    *,
    unit: float = 0.0,
) -> None:
    """Compare tensors by name; a difference counts relative to the largest value of the tensor.

    Args:
        what: For the message.
        found: Of this project's code.
        expected: Of the reference recipe.
        tolerance: Largest difference, relative.
        unit: Added to the largest value of a tensor, where the values have a scale of their own.

    Raises:
        ResultsDifferError: If a tensor is missing, is not finite, or differs by more.
    """
    if set(found) != set(expected):
        odd = ", ".join(sorted(set(found) ^ set(expected)))
        raise ResultsDifferError(f"{what}: only one side has {odd}")
    for name, wanted in expected.items():
        got = found[name]
        if got.shape != wanted.shape:
            raise ResultsDifferError(
                f"{what}: {name} is {tuple(got.shape)}, in the reference recipe {tuple(wanted.shape)}"
            )
        largest = unit + float(wanted.abs().max())
        difference = float((got.to(wanted) - wanted).abs().max())
        # Not "greater than": a value that is not a number is a difference too.
        if not difference <= tolerance * largest:
            raise ResultsDifferError(
                f"{what}: {name} differs from the reference recipe by {difference:.2e}, with values up to "
                f"{largest:.2e}; at most {tolerance:g} of that was expected"
            )
