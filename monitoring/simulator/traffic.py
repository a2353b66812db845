"""Traffic of which everything is known: when each request comes, and what noise there truly is."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mome.records import NoiseKind
from monitoring.simulator.world import CLEAN_DB, KINDS, World, measure

__all__ = ["SCENARIOS", "Traffic", "make"]

_HOUR, _DAY = 3600.0, 86400.0
_BABBLE, _STEADY, _BURSTS = range(len(KINDS))
_CLIPS_DB = 1.5  # how far the clips of one place spread around its level


class _Part(NamedTuple):
    """Requests of one origin: how many of all, and the level of their noise over time."""

    share: np.ndarray
    kind: int
    snr_db: np.ndarray


class Traffic(NamedTuple):
    """Requests in order of time; every array has one entry per request unless it says otherwise.

    Args:
        at: Seconds since the beginning, as they are.
        logged: The same as the clock of the service says.
        wer: True rate of every scale for the very request; shape (scales, requests).
        mean_wer: The same for requests that come at that time; what an oracle of the window knows.
        snr_db: As measured.
        kind: As measured.
    """

    at: np.ndarray
    logged: np.ndarray
    wer: np.ndarray
    mean_wer: np.ndarray
    snr_db: np.ndarray
    kind: list[NoiseKind]


Scenario = Callable[[np.ndarray, np.random.Generator], list[_Part]]


def make(name: str, days: float, world: World, seed: int) -> Traffic:
    """Return the traffic of a scenario.

    Args:
        name: Of `SCENARIOS`.
        days: How long.
        world: What is true.
        seed: Of all draws.
    """
    rng = np.random.default_rng(seed)
    at = _times(name, days, rng)
    parts = SCENARIOS[name](at, rng)
    shares = np.stack([part.share for part in parts])
    origin = (rng.random(len(at)) > np.cumsum(shares, axis=0)).sum(axis=0).clip(max=len(parts) - 1)
    snr_db = np.stack([part.snr_db for part in parts])[origin, np.arange(len(at))]
    snr_db = np.minimum(snr_db + _CLIPS_DB * rng.standard_normal(len(at)), CLEAN_DB)
    kinds = np.array([part.kind for part in parts])[origin]
    mean = sum(part.share * world.mean_wer(part.kind, part.snr_db, _CLIPS_DB) for part in parts)
    measured, named = measure(kinds, snr_db, rng)
    return Traffic(at, at + _clock(name, at), world.wer(kinds, snr_db), np.asarray(mean), measured, named)


def _times(name: str, days: float, rng: np.random.Generator) -> np.ndarray:
    """Draw moments: a request every 15 s by day, one every two minutes in the night."""
    seconds = np.arange(0.0, days * _DAY, 60.0)
    a_minute = 0.5 + 3.5 * _daylight(seconds)
    if name == "bursts of callers":
        a_minute *= np.where(_is_burst(seconds), 15.0, 1.0)
    if name == "gaps without traffic":
        hour, day = seconds / _HOUR % 24, (seconds // _DAY) % 7
        a_minute *= (hour >= 7) & (hour < 19) & (day < 5)
    counts = rng.poisson(a_minute)
    return np.sort(np.repeat(seconds, counts) + 60.0 * rng.random(counts.sum()))


def _daylight(at: np.ndarray) -> np.ndarray:
    return (1 - np.cos(2 * np.pi * at / _DAY)) / 2


def _is_burst(at: np.ndarray) -> np.ndarray:
    return (at + 4 * _HOUR) % (9.5 * _HOUR) < 0.25 * _HOUR


def _clock(name: str, at: np.ndarray) -> np.ndarray:
    """Return how far the service's clock is off: an hour behind on day 2, two hours ahead on day 4."""
    if name != "clock jumps":
        return np.zeros_like(at)
    hour = at / _HOUR
    return np.where(
        (hour >= 58) & (hour < 61), -_HOUR, np.where((hour >= 106) & (hour < 108), 2 * _HOUR, 0.0)
    )


def _day_and_night(at: np.ndarray, rng: np.random.Generator) -> list[_Part]:
    return [_Part(np.ones_like(at), _BABBLE, 17.0 - 14.0 * _daylight(at) + _wander(at, rng))]


def _slow_drift(at: np.ndarray, rng: np.random.Generator) -> list[_Part]:
    return [_Part(np.ones_like(at), _STEADY, 20.0 - 19.0 * at / at[-1] + _wander(at, rng))]


def _bursts_of_callers(at: np.ndarray, rng: np.random.Generator) -> list[_Part]:
    level = np.where(_is_burst(at), 3.0, 15.0)
    return [_Part(np.ones_like(at), _BABBLE, level + _wander(at, rng))]


def _broken_microphone(at: np.ndarray, rng: np.random.Generator) -> list[_Part]:
    broken = np.where((at > 2.3 * _DAY) & (at < 5.6 * _DAY), 0.25, 0.0)
    return [
        _Part(1 - broken, _STEADY, 18.0 + _wander(at, rng)),
        _Part(broken, _STEADY, np.full_like(at, -5.0)),
    ]


def _outliers(at: np.ndarray, rng: np.random.Generator) -> list[_Part]:
    one = np.full_like(at, 0.01)
    return [_Part(1 - one, _STEADY, 18.0 + _wander(at, rng)), _Part(one, _BABBLE, np.full_like(at, -5.0))]


def _mixed(at: np.ndarray, _rng: np.random.Generator) -> list[_Part]:
    half = np.full_like(at, 0.5)
    return [_Part(half, _STEADY, np.full_like(at, CLEAN_DB)), _Part(half, _BABBLE, np.full_like(at, -5.0))]


def _rooms(at: np.ndarray, rng: np.random.Generator) -> list[_Part]:
    """Every six hours the callers are elsewhere."""
    levels = rng.permutation(np.resize([18.0, 12.0, 8.0, 3.0, 2.0], int(at[-1] // (6 * _HOUR)) + 1))
    return [_Part(np.ones_like(at), _BABBLE, levels[(at // (6 * _HOUR)).astype(int)] + _wander(at, rng))]


def _wander(at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a level that is never quite the same: 0.5 dB, over half an hour."""
    points = np.arange(0.0, at[-1] + _HOUR, _HOUR / 2)
    return np.interp(at, points, 0.5 * rng.standard_normal(len(points)))


SCENARIOS: dict[str, Scenario] = {
    "day and night": _day_and_night,
    "slow drift": _slow_drift,
    "changing rooms": _rooms,
    "bursts of callers": _bursts_of_callers,
    "a broken microphone": _broken_microphone,
    "1 % outliers": _outliers,
    "half clean, half -5 dB": _mixed,
    "gaps without traffic": _day_and_night,
    "clock jumps": _day_and_night,
}
