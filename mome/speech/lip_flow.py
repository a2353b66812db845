"""How lips move: optical flow of small pictures of the mouth.

What a mouth looks like differs from person to person, a beard turns light and dark around; which way and how
fast things move does not. Whoever learns from the flow of one talker knows something of others.
"""

# Shape letters: T frames, H = W = 32 pixels, G = 8 places along each side.

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["NUM_FLOWS", "PICTURE_SIZE", "flow_of", "lip_flow"]

Array = npt.NDArray[np.float32]

PICTURE_SIZE = 32  # pixels
NUM_FLOWS = 3 * 64  # right, down and change at each of 8 x 8 places

_LIPS = slice(20, 84), slice(16, 80)  # of the crop, with the chin that follows them
_PLACE = 4  # pixels from place to place
_STEADIED = 0.1  # of the mean contrast: where nothing is seen, nothing moves
_NOTHING = 1e-3  # a square of gray levels: so that a black picture is one that does not move
_UNIT = 3.0  # brings a flow to about unit scale


def lip_flow(mouth: npt.NDArray[np.uint8]) -> Array:
    """Return the flow ``(T, 192)`` of mouth video ``(T, 96, 96)``."""
    lips = mouth[:, *_LIPS]
    # Sums of four pixels: as good as their mean, for contrast has no unit here.
    rows = lips[:, ::2].astype(np.float32) + lips[:, 1::2]
    return flow_of(rows[:, :, ::2] + rows[:, :, 1::2])


def flow_of(pictures_THW: Array) -> Array:
    """Return for every place how it moves ``(T, 192)``: in pixels a frame, by least squares, times three.

    The third number of a place is how much its picture changes, beside its contrast and less than on average.
    It does not depend on brightness or contrast of the pictures.

    Source: Lucas and Kanade 1981, over windows of 12 pixels.
    """
    smooth = _smoothed(pictures_THW)
    right, down = np.zeros_like(smooth), np.zeros_like(smooth)
    right[:, :, 1:-1] = 0.5 * (smooth[:, :, 2:] - smooth[:, :, :-2])
    down[:, 1:-1] = 0.5 * (smooth[:, 2:] - smooth[:, :-2])
    ends = np.concatenate([smooth[:1], smooth, smooth[-1:]])
    later = 0.5 * (ends[2:] - ends[:-2])
    xx, yy, xy = _around(right * right), _around(down * down), _around(right * down)
    xt, yt, tt = _around(right * later), _around(down * later), _around(later * later)
    steady = np.float32(_STEADIED / 2 * float((xx + yy).mean(dtype=np.float64)) + _NOTHING)
    xx, yy = xx + steady, yy + steady
    determinant = xx * yy - xy * xy
    change = np.sqrt(tt / (xx + yy))
    change -= change.mean(axis=0)
    flows = ((xy * yt - yy * xt) / determinant, (xy * xt - xx * yt) / determinant, change)
    return np.float32(_UNIT) * np.concatenate([flow.reshape(len(flow), -1) for flow in flows], axis=1)


def _smoothed(pictures_THW: Array) -> Array:
    """Return pictures blurred by (1, 2, 1) both ways, but for their edges."""
    return (_BLUR @ pictures_THW @ _BLUR.T).astype(np.float32, copy=False)


def _around(values_THW: Array) -> Array:
    """Return weighted sums around each place ``(T, G, G)``."""
    return (_WINDOWS @ values_THW @ _WINDOWS.T).astype(np.float32, copy=False)


def _blur() -> Array:
    inner = np.eye(PICTURE_SIZE)
    inner[1:-1] = 0.25 * np.eye(PICTURE_SIZE)[:-2] + 0.5 * inner[1:-1] + 0.25 * np.eye(PICTURE_SIZE)[2:]
    return inner.astype(np.float32)


def _windows() -> Array:
    """Return the weight of each pixel at each place: 1 in its own four, half in the four on either side."""
    own: npt.NDArray[Any] = np.repeat(np.eye(PICTURE_SIZE // _PLACE), _PLACE, axis=1)
    ends = np.concatenate([own[:1], own, own[-1:]])
    return (own + 0.5 * (ends[2:] + ends[:-2])).astype(np.float32)


_BLUR, _WINDOWS = _blur(), _windows()
