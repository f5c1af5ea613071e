"""The figures, from records only: every seed is drawn, and the mean with its 95% interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dreamgym_nb.course.figures import curve_with_interval, line_style
from dreamgym_nb.course.setup import STYLE
from dreamgym_nb.experiments.compare import Recorded, mean_text, success
from dreamgym_nb.experiments.grid import METHODS, SEEDS, TABLES
from dreamgym_nb.experiments.store import Record
from dreamgym_nb.experiments.tables import greedy_success, label, measured
from dreamgym_nb.intervals import mean_and_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")


@dataclass(frozen=True)
class Picture:
    """A figure that was written.

    Attributes:
        name: of its files, without ending.
        title: what it shows.
        alt: the same for a reader who cannot see it, its numbers included.
    """

    name: str
    title: str
    alt: str


def write_figures(recorded: Recorded, folder: Path) -> list[Picture]:
    """Write every figure for which there are records, as PNG and SVG.

    Args:
        recorded: the records.
        folder: where to.

    Returns:
        What was written, in order.
    """
    import matplotlib

    # Without a date and with fixed ids, equal records give equal files.
    style = {**STYLE, "svg.hashsalt": "dreamgym", "figure.constrained_layout.use": True}
    made = []
    with matplotlib.rc_context(style):
        from matplotlib.figure import Figure

        for world in SEEDS:
            made += _drawn(folder, _curves(recorded, world, Figure(figsize=(9.5, 4.0))))
        for name, table in TABLES.items():
            if table.axis:
                figure = Figure(figsize=(9.0, 3.8))
                made += _drawn(folder, _sweep(recorded, name, figure))
        for world in TABLES["table2"].worlds:
            made += _drawn(folder, _parts(recorded, world, Figure(figsize=(7.0, 3.2))))
    return made


def _drawn(folder: Path, what: tuple[Figure, Picture] | None) -> Iterator[Picture]:
    if what is None:
        return
    figure, picture = what
    folder.mkdir(parents=True, exist_ok=True)
    for form in FORMATS:
        metadata = {"Date": None} if form == "svg" else {"Software": None}
        path = folder / f"{picture.name}.{form}"
        draft = path.with_name(f".{path.name}")
        figure.savefig(draft, format=form, dpi=144, facecolor="white", metadata=metadata)
        draft.replace(path)
    yield picture


# ---- success against real transitions -------------------------------------------------------

_LINES = (
    ("grpo_real", "grpo_real"),
    ("ppo_real", "ppo_real"),
    ("grpo_s2r", "grpo_s2r"),
    ("ppo_s2r", "ppo_s2r"),
    ("grpo_real_small", "grpo_small"),
    ("ppo_real_small", "ppo_small"),
)
_LEVELS = {"dpo": (0, (6, 2)), "grpo_dream": (0, (1, 1)), "start": (0, (4, 2, 1, 2))}


def points(records: Sequence[Record], stage: str) -> tuple[np.ndarray, np.ndarray]:
    """The curve of a stage: mean transitions (points,), success (seeds, points).

    The first and the last point are exams, those between are looks at fewer test tasks.
    Budgets end at a number of transitions, so seeds may have a look more or less; the first
    ones are taken, as many as all have.
    """
    curves = [r["curve"][stage] for r in records]
    n = min(len(c) for c in curves)
    same = [[*c[: n - 1], c[-1]] for c in curves]
    x = np.array([[p["transitions"] for p in c] for c in same], float).mean(axis=0)
    return x, np.array([[p["success"] for p in c] for c in same])


def _curves(recorded: Recorded, world: str, figure: Figure) -> tuple[Figure, Picture] | None:
    """All budgets on the right, the small one alone on the left."""
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
    told, small = [], 0.0
    for index, (method, stage) in enumerate(_LINES):
        records = list(recorded.seeds(world, method).values())
        if not records:
            continue
        x, ys = points(records, stage)
        short = not method.endswith("_real")
        small = max(small, x[-1]) if short else small
        for axes in (left, right) if short else (right,):
            for y in ys:
                axes.plot(x, y, color=line_style(index)["color"], linewidth=0.6, alpha=0.4)
            curve_with_interval(axes, x, ys, METHODS[method], index)
        told.append(f"{METHODS[method]} {mean_text(ys[:, -1])} after {x[-1]:,.0f} real steps")
    if not told:
        return None
    told += _beside(recorded, world, (left, right))
    left.set(xlabel="real transitions in RL, small budget", ylabel="success on test tasks")
    right.set(xlabel="real transitions in RL", ylim=(0, None))
    left.set_xlim(0, 1.04 * small or None)
    figure.legend(*right.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    title = f"Success against real transitions, the {world}"
    return figure, Picture(f"real_transitions_{world}", title, f"{title}. {'; '.join(told)}.")


def _beside(recorded: Recorded, world: str, panels: Sequence[Axes]) -> list[str]:
    """Levels that took no real step of RL, as lines across the panels."""
    told = []
    for method, dashes in _LEVELS.items():
        values = list(recorded.values(world, method).values())
        if values:
            mean = float(np.mean(values))
            for axes in panels:
                axes.axhline(mean, color="0.35", linewidth=1, linestyle=dashes)
            panels[-1].plot([], [], color="0.35", linestyle=dashes, label=METHODS[method])
            told.append(f"{METHODS[method]} {mean_text(values)} without any")
    return told


# ---- sweeps and ablations -------------------------------------------------------------------


def _scatter(axes: Axes, x: float, values: Sequence[float], index: int) -> None:
    """One point for each seed, then their mean with its interval."""
    style = line_style(index)
    beside = [x - 0.06] * len(values)
    axes.plot(beside, values, "o", color=style["color"], markersize=3, alpha=0.45)
    mean, half = (float(v) for v in mean_and_interval(values))
    half = 0.0 if np.isnan(half) else half
    axes.errorbar(x, mean, yerr=half, fmt=style["marker"], color=style["color"], capsize=3)


def _seeds(values: Sequence[float]) -> str:
    return f"{len(values)} seed{'s' if len(values) > 1 else ''}"


def _sweep(recorded: Recorded, name: str, figure: Figure) -> tuple[Figure, Picture] | None:
    table, (world, *_) = TABLES[name], TABLES[name].worlds
    left, right = figure.subplots(1, 2)
    told, there, examined = [], 0, False
    # Numbers that lie far apart, such as sizes of logs, stand at equal distances.
    names = [
        label(variant).replace(" ", "\n") if name == "size" else f"{point:g}"
        for (_, variant), point in zip(table.rows, table.points, strict=True)
    ]
    for place, (method, variant) in enumerate(table.rows):
        cell = (world, method, variant)
        values = list(recorded.values(*cell).values())
        if not values:
            continue
        there += 1
        _scatter(left, place, values, 0)
        text = f"{names[place]}: success {mean_text(values)} ({_seeds(values)})"
        greedy = list(recorded.values(*cell, greedy_success).values())
        if len(greedy) == len(values):
            _scatter(left, place + 0.12, greedy, 3)
            examined = True
            text += f", greedy {mean_text(greedy)}"
        for index, (kind, words) in enumerate((("valid", "next state"), ("reward", "reward"))):
            right_values = list(recorded.values(*cell, measured(kind)).values())
            if right_values:
                _scatter(right, place + 0.12 * index, right_values, 1 + index)
                text += f", {words} {mean_text(right_values, '.3f')}"
        told.append(text.replace("\n", " "))
    if there < 2:  # one point is no sweep
        return None
    left.set(ylabel="success on test tasks", ylim=(0, 1))
    right.set(ylabel="share that the dream gets right", ylim=(None, 1.02))
    for axes in (left, right):
        axes.set_xticks(range(len(names)), names)
        axes.set_xlabel(table.axis)
    shown = [(right, 1, "next state"), (right, 2, "reward at the end")]
    if examined:
        shown += [(left, 0, "sampled actions"), (left, 3, "the likeliest action")]
    for axes, index, words in shown:
        style = line_style(index)
        axes.plot([], [], style["marker"], color=style["color"], label=words)
        axes.legend(fontsize=9)
    alt = f"{table.title}, the {world}, by {table.axis}. {'; '.join(told)}."
    return figure, Picture(f"sweep_{name}", f"{table.title} (the {world})", alt)


def _parts(recorded: Recorded, world: str, figure: Figure) -> tuple[Figure, Picture] | None:
    axes, told, names = figure.subplots(), [], []
    for method, variant in TABLES["table2"].rows:
        values = list(recorded.values(world, method, variant, success).values())
        if values:
            _scatter(axes, len(names), values, 0)
            names.append(label(variant))
            told.append(f"{label(variant)} {mean_text(values)} ({_seeds(values)})")
    if len(names) < 2:
        return None
    axes.set(ylabel="success on test tasks", ylim=(0, None), xlim=(-0.5, len(names) - 0.5))
    axes.set_xticks(range(len(names)), [n.replace(" ", "\n", 1) for n in names], fontsize=9)
    title = f"One part of the method left out, the {world}"
    return figure, Picture(f"parts_{world}", title, f"{title}. Success: {'; '.join(told)}.")
