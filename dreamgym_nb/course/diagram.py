"""The DreamGym loop as a picture, with the part that a lesson is about lit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UserError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDE, _HIGH = 9.5, 4.2  # the page, in inches; all lengths below are inches too
_BOX_HIGH = 0.72
_GAP = 0.05  # between an arrow and the box that it touches

_INK, _QUIET, _PAPER = "#1b2733", "#5b6875", "#eef3f7"
_LIT = "#0072B2"


class _Part(NamedTuple):
    """A box: its centre, its width, and what the part does in a few words."""

    x: float
    y: float
    wide: float
    does: str


_PARTS = {
    "offline log": _Part(0.95, 3.62, 1.62, "left in the real world"),
    "replay buffer": _Part(0.95, 2.05, 1.62, "remembers, grows"),
    "experience model": _Part(3.42, 2.05, 1.72, "reasons, then imagines"),
    "task generator": _Part(5.97, 3.62, 1.62, "varies what teaches"),
    "dream": _Part(5.97, 2.05, 1.62, "a world made of text"),
    "policy (RL)": _Part(8.5, 2.05, 1.72, "acts and learns"),
    "real world (S2R)": _Part(8.5, 0.48, 1.72, "the test, a few steps"),
}

LOOP_PARTS = tuple(_PARTS)
"""The parts that `loop_diagram` can light."""


@dataclass(frozen=True)
class _Arrow:
    """A line through points, with its head at the last one and a label beside it."""

    points: tuple[tuple[float, float], ...]
    label: str
    at: tuple[float, float]
    align: str = "center"


def _arrows() -> list[_Arrow]:
    """Lay out the arrows: one per thing that flows, named on it."""
    log, buffer, model, tasks, dream, policy, real = _PARTS.values()
    low, high = buffer.y - 0.14, buffer.y + 0.14  # the two lanes between neighbours in the row
    top, bottom = buffer.y + _BOX_HIGH / 2 + _GAP, buffer.y - _BOX_HIGH / 2 - _GAP

    def lane(left: _Part, right: _Part, y: float) -> tuple[tuple[float, float], ...]:
        return ((left.x + left.wide / 2 + _GAP, y), (right.x - right.wide / 2 - _GAP, y))

    def middle(left: _Part, right: _Part) -> float:
        return (left.x + left.wide / 2 + right.x - right.wide / 2) / 2

    under_upper_row = log.y - _BOX_HIGH / 2 - _GAP
    real_top = real.y + _BOX_HIGH / 2 + _GAP
    under = 1.12  # the lane by which dreamed transitions go home
    return [
        _Arrow(((log.x, under_upper_row), (log.x, top)), "fills", (log.x + 0.09, 2.85), "left"),
        _Arrow(
            ((log.x + log.wide / 2 + _GAP, log.y), (model.x, log.y), (model.x, top)),
            "trains",
            ((log.x + log.wide / 2 + model.x) / 2, log.y + 0.11),
        ),
        _Arrow(lane(buffer, model, buffer.y), "memories", (middle(buffer, model), buffer.y + 0.11)),
        _Arrow(
            lane(model, dream, high), "next state,\nreward", (middle(model, dream), high + 0.11)
        ),
        _Arrow(lane(model, dream, low)[::-1], "action", (middle(model, dream), low - 0.24)),
        _Arrow(
            lane(dream, policy, high), "observation,\nreward", (middle(dream, policy), high + 0.11)
        ),
        _Arrow(lane(dream, policy, low)[::-1], "action", (middle(dream, policy), low - 0.24)),
        _Arrow(
            ((tasks.x, under_upper_row), (tasks.x, top)),
            "new tasks",
            (tasks.x + 0.09, 2.85),
            "left",
        ),
        _Arrow(
            ((policy.x, top), (policy.x, tasks.y), (tasks.x + tasks.wide / 2 + _GAP, tasks.y)),
            "which tasks teach",
            (tasks.x + tasks.wide / 2 + 0.86, tasks.y + 0.11),
        ),
        _Arrow(
            ((dream.x, bottom), (dream.x, under), (buffer.x, under), (buffer.x, bottom)),
            "dreamed transitions",
            ((buffer.x + dream.x) / 2, under + 0.09),
        ),
        _Arrow(
            ((policy.x - 0.14, bottom), (policy.x - 0.14, real_top)),
            "action",
            (policy.x - 0.23, (bottom + real_top) / 2 - 0.05),
            "right",
        ),
        _Arrow(
            ((policy.x + 0.14, real_top), (policy.x + 0.14, bottom)),
            "reward",
            (policy.x + 0.23, (bottom + real_top) / 2 - 0.05),
            "left",
        ),
    ]


def loop_diagram(lit: str | None = None) -> Figure:
    """Draw the DreamGym loop.

    Args:
        lit: The part that today's lesson is about, one of `LOOP_PARTS`; None for the whole loop.

    Returns:
        The figure; show it with `figures.show`, which asks for its alternative text.

    Raises:
        UserError: If there is no such part.
    """
    if lit is not None and lit not in _PARTS:
        raise UserError(f"The loop has no part {lit!r}: light one of {', '.join(LOOP_PARTS)}.")
    from matplotlib import pyplot

    fig = pyplot.figure(figsize=(_WIDE, _HIGH), layout="none")
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, _WIDE), ylim=(0, _HIGH))
    ax.axis("off")
    for arrow in _arrows():
        _draw_arrow(ax, arrow)
    for name, part in _PARTS.items():
        _draw_part(ax, name, part, lit == name)
    return fig


def _draw_part(ax: Axes, name: str, part: _Part, lit: bool) -> None:
    """Draw a box with its name; a lit one is dark, outlined and tagged, not only coloured."""
    from matplotlib.patches import FancyBboxPatch

    left, bottom = part.x - part.wide / 2, part.y - _BOX_HIGH / 2
    ax.add_patch(
        FancyBboxPatch(
            (left, bottom),
            part.wide,
            _BOX_HIGH,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=_LIT if lit else _PAPER,
            edgecolor=_INK if lit else "#9fb0bf",
            linewidth=2.4 if lit else 1.0,
        )
    )
    colour = "white" if lit else _INK
    ax.text(
        part.x,
        part.y + 0.13,
        name,
        ha="center",
        va="center",
        color=colour,
        size=10.5,
        weight="bold",
    )
    ax.text(part.x, part.y - 0.15, part.does, ha="center", va="center", color=colour, size=8.8)
    if lit:
        ax.text(
            left + 0.1,
            bottom + _BOX_HIGH + 0.02,
            " today ",
            va="center",
            size=8.5,
            weight="bold",
            color=_INK,
            bbox={"boxstyle": "round,pad=0.18", "facecolor": "#ffd86b", "edgecolor": _INK},
        )


def _draw_arrow(ax: Axes, arrow: _Arrow) -> None:
    """Draw a line with a head at its end and its label."""
    xs, ys = zip(*arrow.points, strict=True)
    ax.plot(xs[:-1], ys[:-1], color=_QUIET, linewidth=1.5, solid_joinstyle="round")
    ax.annotate(
        "",
        xy=arrow.points[-1],
        xytext=arrow.points[-2],
        arrowprops={
            "arrowstyle": "-|>",
            "color": _QUIET,
            "linewidth": 1.5,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 13,
        },
    )
    ax.text(*arrow.at, arrow.label, ha=arrow.align, va="bottom", color=_INK, size=8.8)
