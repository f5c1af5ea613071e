"""How sure a number is: intervals for a share and for a mean over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit


def wilson(wins: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval for a share; 95% at z = 1.96.

    Unlike the normal interval it stays inside [0, 1] and is not empty at 0 or n wins.

    Args:
        wins: successes.
        n: trials, at least 1.
        z: quantile of the normal distribution.
    """
    if n < 1:
        raise ValueError("An interval for a share needs at least one trial.")
    p = wins / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)  # beyond by rounding only


def mean_and_interval(values: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over seeds and half the width of its 95% interval.

    The interval is Student's t: with s the sample deviation over n seeds, t(0.975, n-1) s / √n.
    It assumes seeds that are independent and roughly normal. One seed has no interval: NaN.

    Args:
        values: One row per seed; any further axes, such as iterations, are kept.

    Raises:
        ValueError: If there is no seed.
    """
    array = np.asarray(values, dtype=float)
    if array.ndim == 0 or array.shape[0] == 0:
        raise ValueError("An interval needs the values of at least one seed, one row per seed.")
    mean = array.mean(axis=0)
    seeds = array.shape[0]
    if seeds == 1:
        return mean, np.full_like(mean, np.nan)
    half = stdtrit(seeds - 1, 0.975) * array.std(axis=0, ddof=1) / np.sqrt(seeds)
    return mean, half
