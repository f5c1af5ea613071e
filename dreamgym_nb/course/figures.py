"""Every figure of the course goes through `show`: a finding, a picture, its numbers, its source.

A picture alone is closed to a reader who cannot see it, and to one who wants the value at a
point. So alternative text is required, the numbers stand underneath as text, and lines differ in
dash and marker as well as in colour.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..intervals import mean_and_interval
from .views import NO_MATHS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that stay apart under the common kinds of colour blindness (Okabe and Ito, 2008)."""

_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DPI = 144  # sharp on dense screens; the page scales it to the width given below
_PIXELS_PER_INCH = 96

Source = Literal["computed", "recorded", "paper", "diagram"]
Numbers = str | Mapping[str, object] | Sequence[Mapping[str, object]]

_NEED_DETAIL = ("recorded", "paper")
_SOURCES = {
    "computed": "Computed by this notebook",
    "recorded": "Recorded run",
    "paper": "From the paper",
    "diagram": "A diagram, without data",
}


def show(
    fig: Figure,
    *,
    title: str,
    alt: str,
    numbers: Numbers | None = None,
    source: Source = "computed",
    detail: str = "",
) -> None:
    """Display a figure with its finding, its numbers as text and where they come from.

    Args:
        fig: The matplotlib figure. It is closed, so that the notebook does not show it twice.
        title: The finding in one sentence, not the name of the axes.
        alt: What the picture shows, for a reader who cannot see it.
        numbers: The main numbers: a sentence, a mapping of names to values, or one mapping per
            row of a table, all with the same names.
        source: Where the numbers come from: `computed` here, `recorded` earlier, or the `paper`;
            a `diagram` has none.
        detail: For a recorded run its file, seeds and date; for the paper its table or figure.

    Raises:
        ValueError: If the title, the alternative text or a needed detail is empty, the source is
            unknown, or the rows of the table have different names.
    """
    from IPython.display import HTML, display
    from matplotlib import pyplot

    html = figure_html(fig, title=title, alt=alt, numbers=numbers, source=source, detail=detail)
    pyplot.close(fig)
    display(HTML(html))


def figure_html(
    fig: Figure,
    *,
    title: str,
    alt: str,
    numbers: Numbers | None = None,
    source: Source = "computed",
    detail: str = "",
) -> str:
    """Return the `<figure>` element that `show` displays; arguments and errors as there."""
    if not title.strip():
        raise ValueError("A figure needs a title that states the finding in one sentence.")
    if not alt.strip():
        raise ValueError("A figure needs alt text: say what a reader who cannot see it would miss.")
    if source not in _SOURCES:
        raise ValueError(f"The source {source!r} is unknown: use one of {', '.join(_SOURCES)}.")
    if source in _NEED_DETAIL and not detail.strip():
        raise ValueError(
            f"A figure with source={source!r} needs detail=...: the file, seeds and date of the "
            "recorded run, or the table or figure of the paper."
        )
    table = "" if numbers is None else _numbers_html(numbers)
    label = _SOURCES[source] + (f": {detail.strip()}" if detail.strip() else "") + "."
    _count_in_whole_numbers(fig)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=_DPI, facecolor="white")
    picture = base64.b64encode(buffer.getvalue()).decode("ascii")
    width = round(fig.get_figwidth() * _PIXELS_PER_INCH)
    return (
        f'<figure {NO_MATHS} style="margin:1em 0">'
        f'<img src="data:image/png;base64,{picture}" alt="{escape(alt.strip())}" '
        f'width="{width}" style="max-width:100%;height:auto">'
        f'<figcaption style="max-width:{max(width, 480)}px">'
        f"<strong>{escape(title.strip())}</strong>{table}"
        f'<div style="font-size:85%;opacity:.75">{escape(label)}</div>'
        "</figcaption></figure>"
    )


def _count_in_whole_numbers(fig: Figure) -> None:
    """Let an axis of iterations or seeds show no 2.5, unless the notebook chose its ticks."""
    from matplotlib.ticker import AutoLocator, MaxNLocator

    for ax in fig.axes:
        if not isinstance(ax.xaxis.get_major_locator(), AutoLocator):
            continue
        xs = np.concatenate([np.ravel(line.get_xdata()) for line in ax.lines] or [[]]).astype(float)
        if xs.size and xs.max() >= 2 and np.all(xs == np.round(xs)):
            ax.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def line_style(index: int) -> dict[str, object]:
    """Return colour, dash and marker of the line with this index, for `Axes.plot`.

    The first seven are distinct; after that they repeat, and a figure with more than seven lines
    should be two figures.
    """
    place = index % len(PALETTE)
    return {
        "color": PALETTE[place],
        "linestyle": _DASHES[place],
        "marker": _MARKERS[place],
        "markersize": 4.5,
    }


def curve_with_interval(
    ax: Axes,
    x: Sequence[float] | np.ndarray,
    ys_by_seed: Sequence[Sequence[float]] | np.ndarray,
    label: str,
    index: int,
) -> None:
    """Draw the mean over seeds as a line and its 95% interval as a band.

    Args:
        ax: The axes to draw on.
        x: The positions, shape (points,).
        ys_by_seed: One row per seed, shape (seeds, points).
        label: Name of the curve; the number of seeds is added to it.
        index: Which colour, dash and marker it gets, see `line_style`.

    Raises:
        ValueError: If the shapes do not fit.
    """
    positions, ys = np.asarray(x, dtype=float), np.asarray(ys_by_seed, dtype=float)
    if ys.ndim != 2 or positions.shape != ys.shape[1:]:
        raise ValueError(
            f"The curve {label!r} has positions of shape {positions.shape} and values of shape "
            f"{ys.shape}: give (points,) and (seeds, points)."
        )
    mean, half = mean_and_interval(ys)
    seeds = "1 seed" if len(ys) == 1 else f"{len(ys)} seeds"
    style = line_style(index)
    ax.plot(positions, mean, label=f"{label} ({seeds})", **style)
    if len(ys) > 1:
        ax.fill_between(
            positions, mean - half, mean + half, color=style["color"], alpha=0.18, linewidth=0
        )


def _numbers_html(numbers: Numbers) -> str:
    """Write the numbers as a paragraph or as a small table."""
    if isinstance(numbers, str):
        return f"<p>{escape(numbers)}</p>"
    rows = [numbers] if isinstance(numbers, Mapping) else list(numbers)
    if not rows:
        raise ValueError("numbers is empty: leave it out, or give at least one row.")
    names = list(rows[0])
    if any(list(row) != names for row in rows):
        raise ValueError("All rows of numbers need the same names in the same order.")
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_text(row[name]))}</td>" for name in names) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    """Write one value: numbers of any library with three digits at most, the rest as it is."""
    if isinstance(value, float | np.floating):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
