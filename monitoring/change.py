"""Has the noise changed? A sequential test that says how many requests lie between two false alarms.

A test at every look of a window has no such number: it is asked again and again, and some day says yes. This
is Page's CUSUM, in both directions, on sequential ranks: how each value lies among those before it. While
nothing changes, ranks are independent and equally likely whatever the values are like, half clean and half
noisy included; so the threshold follows from the run length alone.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from statistics import NormalDist

from scipy.optimize import brentq

__all__ = ["ChangeTest", "threshold"]

_NORMAL = NormalDist()
# Half of the shift that is found soonest, in standard deviations of the values: the estimates of one noise
# spread by 2 to 4 dB, and 5 dB are to be found.
_ALLOWANCE = 0.7


def threshold(run_length: float, allowance: float = _ALLOWANCE) -> float:
    """Return where a CUSUM of both directions on standard normal values has a run length.

    Siegmund's approximation for one direction, with half as many alarms in each: the run length is
    ``(exp(2kb) - 2kb - 1) / 2k²`` with ``b`` 1.166 above the threshold (Sequential Analysis, 1985).

    Args:
        run_length: Values between two false alarms, on average.
        allowance: ``k``, what each value has to exceed to count.
    """

    def excess(height: float) -> float:
        exponent = 2 * allowance * (height + 1.166)
        return (math.exp(exponent) - exponent - 1) / (2 * allowance**2) - 2 * run_length

    return float(brentq(excess, 0.0, 100.0 / allowance))


class ChangeTest:
    """Reads values one by one, and tells when they have begun to lie elsewhere.

    Args:
        run_length: Values between two false alarms, on average.
        memory: Values that a new one is compared with, at most.
    """

    def __init__(self, run_length: int, memory: int) -> None:
        self._threshold = threshold(run_length)
        self._values: deque[float] = deque(maxlen=memory)
        self._sorted: list[float] = []
        self._sums = [0.0, 0.0]  # evidence that values have grown, and that they have fallen
        self._since = [0, 0]  # how many values that evidence is from

    @property
    def evidence(self) -> float:
        """How near an alarm is: 0 without any evidence, 1 at an alarm."""
        return max(self._sums) / self._threshold

    def add(self, value: float) -> int:
        """Read one value.

        Returns:
            How many of the newest values, this one included, lie after a change; 0 if there was none. What
            lies before it is forgotten then.
        """
        score = self._score(value)
        if len(self._values) == self._values.maxlen:
            del self._sorted[bisect_left(self._sorted, self._values[0])]
        self._values.append(value)
        insort(self._sorted, value)
        for side, moved in enumerate((score, -score)):
            self._sums[side] = max(0.0, self._sums[side] + moved - _ALLOWANCE)
            self._since[side] = self._since[side] + 1 if self._sums[side] else 0
        if max(self._sums) <= self._threshold:
            return 0
        after = self._since[self._sums.index(max(self._sums))]
        newest = list(self._values)[-after:]
        self._values.clear()
        self._values.extend(newest)
        self._sorted = sorted(newest)
        self._sums, self._since = [0.0, 0.0], [0, 0]
        return len(newest)

    def _score(self, value: float) -> float:
        """Turn the rank of a value into that of a standard normal one; equal values share their ranks."""
        low, high = bisect_left(self._sorted, value), bisect_right(self._sorted, value)
        return _NORMAL.inv_cdf(((low + high) / 2 + 0.5) / (len(self._sorted) + 1))
