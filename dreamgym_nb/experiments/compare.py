"""Means over seeds, and comparisons paired by seed: the same world, log and start.

A ratio of two means has the interval of Fieller (1954): the ratios ρ for which a
paired t-test of ``a − ρ b`` finds nothing.  It needs no logarithm, so a
success of 0 may occur, and it says so where b is too near to 0 for any bound.

Three seeds may agree by chance, and a t-interval then is narrower than one exam can
be exact.  So a comparison of successes is told what an exam's episodes leave open
(`exam_error`), and takes the wider of both intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from dreamgym_nb.errors import UserError
from dreamgym_nb.experiments.grid import Run
from dreamgym_nb.experiments.store import Record
from dreamgym_nb.intervals import mean_and_interval

Cell = tuple[str, str, str]
Measure = Callable[[Record], float | None]
LEVEL, NORMAL = 0.975, 1.96  # two-sided 95%
Noise = tuple[Mapping[int, float], Mapping[int, float]]  # standard errors of both sides, by seed


def success(record: Record) -> float:
    """Success on test tasks in the real world."""
    return float(record["exam"]["real"]["success"])


def success_error(exam: Mapping[str, Any]) -> float | None:
    """Standard error of a success that the number of the exam's episodes alone leaves.

    √(p (1 − p) / n) with two successes and two failures added (Agresti and Coull), so
    that it is not 0 where all episodes ended alike; None if the number is not recorded.
    """
    if not (n := exam.get("episodes")):
        return None
    p = (exam["success"] * n + 2) / (n + 4)
    return math.sqrt(p * (1 - p) / (n + 4))


def exam_error(record: Record) -> float | None:
    """`success_error` of the exam in the real world."""
    return success_error(record["exam"]["real"])


class Recorded:
    """Records by cell and seed.

    Args:
        records: by run; see `Records.all`.
    """

    def __init__(self, records: Mapping[Run, Record]) -> None:
        self._cells: dict[Cell, dict[int, Record]] = {}
        read: dict[Cell, dict[int, Any]] = {}
        for run in sorted(records):
            self._cells.setdefault(run.cell, {})[run.seed] = records[run]
            read.setdefault(run.cell, {})[run.seed] = run.read_by(records[run]["settings"])
        for cell, found in read.items():
            first = next(iter(found.values()))
            odd = [seed for seed, settings in found.items() if settings != first]
            if odd:
                raise UserError(
                    f"Seeds {odd} of {' '.join(filter(None, cell))} were run with other settings "
                    f"than seed {next(iter(found))}: run them again with --redo --seeds "
                    f"{','.join(map(str, odd))}, or delete their records."
                )

    def seeds(self, world: str, method: str, variant: str = "") -> dict[int, Record]:
        """The records of a cell by seed; empty if there are none."""
        return self._cells.get((world, method, variant), {})

    def values(
        self, world: str, method: str, variant: str = "", measure: Measure = success
    ) -> dict[int, float]:
        """What each seed of a cell measured; seeds that did not measure it are left out."""
        told = {seed: measure(r) for seed, r in self.seeds(world, method, variant).items()}
        return {seed: float(v) for seed, v in told.items() if v is not None}

    def errors(
        self, world: str, method: str, variant: str = "", measure: Measure = exam_error
    ) -> dict[int, float]:
        """The standard error of each seed of a cell, of its exam or of another."""
        return self.values(world, method, variant, measure)


def mean_text(values: Iterable[float], form: str = ".2f") -> str:
    """A mean with its 95% t-interval as text; "–" for none, no interval for one or equal ones."""
    values = list(values)
    if not values:
        return "–"
    mean, half = mean_and_interval(values)
    text = format(float(mean), form)
    if len(set(values)) == 1:
        return text
    return f"{text} ± {format(float(half), form.replace('+', ''))}"


@dataclass(frozen=True)
class Comparison:
    """A against b, paired by seed.

    Attributes:
        seeds: those that both have.
        a, b: their means.
        value: the ratio of the means, or their difference.
        low, high: its 95% interval; infinite where there is no bound.
        kind: ``"ratio"`` or ``"difference"``.
    """

    seeds: tuple[int, ...]
    a: float
    b: float
    value: float
    low: float
    high: float
    kind: str

    def __str__(self) -> str:
        form = ".3f" if self.kind == "ratio" else "+.3f"
        interval = f"{format(self.low, form)} to {format(self.high, form)}"
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            interval = "no bounds: the divisor is too near to 0"
        sign = "/" if self.kind == "ratio" else "−"
        return f"{_three(self.a)} {sign} {_three(self.b)} = {format(self.value, form)} ({interval})"


def _three(value: float) -> str:
    """A share with three digits after the point, something smaller with two that count."""
    return f"{value:.3f}" if abs(value) >= 0.1 or not value else f"{value:#.2g}"


def ratio(
    a: Mapping[int, float], b: Mapping[int, float], noise: Noise | None = None
) -> Comparison | None:
    """The ratio of the means of a and b over the seeds that both have.

    Args:
        a: one side, by seed.
        b: the other.
        noise: what each exam leaves open; the interval is at least as wide as that of two
            independent exams.  (Exams on the same tasks leave a little less open.)

    Returns:
        The comparison with Fieller's interval, or None for fewer than two seeds.
    """
    seeds, x, y = _paired(a, b)
    if len(seeds) < 2:
        return None
    low, high = fieller(x, y)
    if (open_ := _left_open(seeds, noise)) is not None:
        least, most = _fieller(x.mean(), y.mean(), np.diag(open_) * NORMAL**2)
        low, high = min(low, least), max(high, most)
    value = x.mean() / y.mean() if y.mean() else (math.inf if x.mean() else math.nan)
    return Comparison(seeds, x.mean(), y.mean(), float(value), low, high, "ratio")


def difference(
    a: Mapping[int, float], b: Mapping[int, float], noise: Noise | None = None
) -> Comparison | None:
    """The mean of a − b over the seeds of both, with its t-interval; None for fewer than two.

    Args:
        a: one side, by seed.
        b: the other.
        noise: see `ratio`.
    """
    seeds, x, y = _paired(a, b)
    if len(seeds) < 2:
        return None
    mean, half = (float(v) for v in mean_and_interval(x - y))
    if (open_ := _left_open(seeds, noise)) is not None:
        half = max(half, NORMAL * math.sqrt(open_.sum()))
    return Comparison(seeds, x.mean(), y.mean(), mean, mean - half, mean + half, "difference")


def of_successes(
    kind: Callable[..., Comparison | None],
    recorded: Recorded,
    one: Sequence[str],
    other: Sequence[str],
) -> Comparison | None:
    """The successes of two cells compared, with what their exams leave open.

    Args:
        kind: `ratio` or `difference`.
        recorded: all records.
        one: world and method, and perhaps a variant.
        other: the same for the other side.
    """
    noise = recorded.errors(*one), recorded.errors(*other)
    return kind(recorded.values(*one), recorded.values(*other), noise)


def fieller(
    x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray
) -> tuple[float, float]:
    """Fieller's 95% interval for mean(x) / mean(y) of n ≥ 2 pairs.

    The ratios ρ with ``|mean(x − ρ y)| ≤ t(0.975, n−1) s(x − ρ y) / √n``; a
    quadratic inequality in ρ.  Without bounds where mean(y) is not apart from 0.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    n = len(x)
    spread = np.cov(x, y, ddof=1) * stdtrit(n - 1, LEVEL) ** 2 / n
    return _fieller(x.mean(), y.mean(), spread)


def _fieller(x: float, y: float, spread: np.ndarray) -> tuple[float, float]:
    """The roots in ρ of ``(x − ρ y)² = s₀₀ − 2ρ s₀₁ + ρ² s₁₁``."""
    a = y**2 - spread[1, 1]
    b = x * y - spread[0, 1]
    c = x**2 - spread[0, 0]
    if a <= 0:
        return -math.inf, math.inf
    root = math.sqrt(max(0.0, b * b - a * c))  # below 0 by rounding only
    return float((b - root) / a), float((b + root) / a)


def _left_open(seeds: Sequence[int], noise: Noise | None) -> np.ndarray | None:
    """Variances of both means that the exams leave, (2,); None if that is not known of all."""
    if noise is None or not all(set(seeds) <= set(side) for side in noise):
        return None
    return np.array([sum(side[s] ** 2 for s in seeds) / len(seeds) ** 2 for side in noise])


def _paired(
    a: Mapping[int, float], b: Mapping[int, float]
) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    seeds = tuple(sorted(set(a) & set(b)))
    return seeds, np.array([a[s] for s in seeds]), np.array([b[s] for s in seeds])
