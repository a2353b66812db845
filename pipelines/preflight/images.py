"""Whether the images of the steps are where the nodes will look for them."""

from __future__ import annotations

from functools import partial

from components.images import FOLDERS, image
from pipelines.calls import Patience, ServerError
from pipelines.preflight.check import Answer, Check, Hidden, right, to_do
from pipelines.submit.images import check_images

__all__ = ["checks"]


def checks(patience: Patience) -> list[Check]:
    """Return a look for each image.

    Args:
        patience: With a registry that fails.
    """
    return [Check(f"image {name}", partial(_image, name, patience)) for name in FOLDERS]


def _image(name: str, patience: Patience) -> Answer:
    address = image(name)
    if "@sha256:" not in address:
        return to_do(f"{address} is a tag: push it and lock its digest (docs/operations.md, step 1)")
    try:
        check_images([address], patience)
    except ServerError as error:
        raise Hidden(f"{error}; the nodes may reach it all the same") from error
    return right(f"{address} is in its registry")
