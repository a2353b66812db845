"""Networks in TFLite's format, as OpenCV reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2

__all__ = ["read_network"]


def read_network(path: Path, outputs: Sequence[str]) -> cv2.dnn.Net:
    """Return the network of a file.

    Args:
        path: Of the file.
        outputs: Names of what it gives; another network has others.

    Raises:
        ValueError: If it is another network.
    """
    network = cv2.dnn.readNetFromTFLite(str(path))
    found = network.getUnconnectedOutLayersNames()
    if sorted(found) != sorted(outputs):
        raise ValueError(f"expected the outputs {' and '.join(outputs)}, got {', '.join(found)}")
    return network
