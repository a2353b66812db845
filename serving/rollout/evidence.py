"""Evidence that grows while it is looked at, and still keeps its rate of false alarms."""

from __future__ import annotations

import math

__all__ = ["Evidence", "interval"]

# Shares of the wealth that are put on each value. Several, because the best one depends on how far the mean
# is from its bound, which is what nobody knows; they cost a factor of at most their number.
_STAKES = (0.05, 0.1, 0.2, 0.4, 0.8, 0.95)


class Evidence:
    """How strongly values speak for a mean above a bound: the wealth of who bets on it, beginning with 1.

    If the mean, whatever the past, is at most the bound, no bet gains on average, and by Ville's inequality
    the wealth ever reaches ``1 / alpha`` with a probability of at most ``alpha``: a test that may stop at
    any moment, because it held at all of them (betting, Waudby-Smith and Ramdas, arXiv:2010.09686).

    Args:
        bound: What the mean is compared with, in 0..1, both excluded.
        log_wealth: Of each stake, as `log_wealth` was when it was kept; None for a beginning.

    Raises:
        ValueError: If the bound is not between 0 and 1.
    """

    def __init__(self, bound: float, log_wealth: list[float] | None = None) -> None:
        if not 0 < bound < 1:
            raise ValueError(f"expected a bound between 0 and 1, got {bound}")
        self._bound = bound
        self.log_wealth = list(log_wealth) if log_wealth else [0.0] * len(_STAKES)

    def add(self, value: float) -> None:
        """Bet on one value in 0..1."""
        for index, stake in enumerate(_STAKES):
            self.log_wealth[index] += math.log1p(stake * (value / self._bound - 1))

    def reaches(self, alpha: float) -> bool:
        """Tell whether the mean is above the bound, with a false alarm in ``alpha`` of all sequences."""
        most = max(self.log_wealth)
        mean = sum(math.exp(each - most) for each in self.log_wealth) / len(_STAKES)
        return most + math.log(mean) >= -math.log(alpha)


def interval(total: float, number: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a mean of values in 0..1, (0, 1) if there are none.

    It is exact enough for shares and too wide for values between; and it is for readers, who look once.

    Args:
        total: Sum of the values.
        number: How many they are.
    """
    if not number:
        return 0.0, 1.0
    z, mean = 1.96, total / number
    middle = mean + z * z / (2 * number)
    half = z * math.sqrt(mean * (1 - mean) / number + z * z / (4 * number * number))
    size = 1 + z * z / number
    return max(0.0, (middle - half) / size), min(1.0, (middle + half) / size)
