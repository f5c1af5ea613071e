"""Does a dream pay? A widget that sets the price of a real step against what the dream computes.

Two ways lead to the same success: practice in the real world alone, and a dream with a little
practice after it. Each costs its real steps times their price, and the time that it computes.
`ways_html` is the static picture of both, and `BreakEven` the sliders over it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import UserError
from .figures import PALETTE
from .lesson08 import break_even
from .widgets import _NEEDS_KERNEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST, MOST = -5.0, 2.0  # of a real step's price, powers of ten in seconds
_WIDE, _ROW, _LEFT = 380, 30, 150  # of the bars, in pixels


@dataclass(frozen=True)
class Way:
    """A way to an agent that succeeds as often as it should.

    Attributes:
        name: Of the way.
        real_steps: That it takes in the real world.
        seconds: That it computes, whatever a real step costs.
    """

    name: str
    real_steps: int
    seconds: float

    def cost(self, price: float) -> float:
        """Seconds in all, where a real step costs `price` seconds."""
        return self.seconds + self.real_steps * price


def duration(seconds: float) -> str:
    """A duration that spans from seconds to days, in words.

    Examples: 45 s, 12 min, 3.5 h, 4.2 days.
    """
    for most, unit, name, form in ((90, 1, "s", ".0f"), (5400, 60, "min", ".0f")):
        if seconds < most:
            return f"{seconds / unit:{form}} {name}"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:,.1f} days"


def summary(scratch: Way, warm: Way, price: float) -> str:
    """Which way is cheaper at a price, by how much, and where that changes."""
    a, b = scratch.cost(price), warm.cost(price)
    cheap, dear = (warm, scratch) if b < a else (scratch, warm)
    told = f"A real step costs {price:.3g} s. {cheap.name} is cheaper: "
    told += f"{duration(cheap.cost(price))} against {duration(dear.cost(price))}. "
    even = break_even(scratch.real_steps, scratch.seconds, warm.real_steps, warm.seconds)
    if math.isinf(even):
        return told + f"{warm.name} saves no real step, so it pays at no price."
    if even == 0:
        return told + f"{warm.name} pays at any price."
    return told + f"{warm.name} pays from {even:.3g} s a real step on."


def ways_html(ways: Sequence[Way], price: float) -> str:
    """Return bars of what each way costs at a price: computing, then real steps."""
    most = max(way.cost(price) for way in ways) or 1.0
    parts = []
    for row, way in enumerate(ways):
        top, computing = row * _ROW, _WIDE * way.seconds / most
        practice = _WIDE * way.real_steps * price / most
        end = _LEFT + computing + practice
        parts.append(
            f'<text x="0" y="{top + 17}" fill="currentColor">{escape(way.name)}</text>'
            f'<rect x="{_LEFT}" y="{top + 4}" width="{computing:.1f}" height="18" '
            f'fill="{PALETTE[0]}"/>'
            f'<rect x="{_LEFT + computing:.1f}" y="{top + 4}" width="{practice:.1f}" height="18" '
            f'fill="{PALETTE[1]}" stroke="currentColor"/>'
            f'<text x="{end + 6:.1f}" y="{top + 17}" fill="currentColor">'
            f"{duration(way.cost(price))}</text>"
        )
    high, wide = len(ways) * _ROW + 22, _LEFT + _WIDE + 90
    told = "; ".join(
        f"{way.name}: {duration(way.seconds)} of computing and {way.real_steps:,} real steps, "
        f"{duration(way.cost(price))} in all"
        for way in ways
    )
    return (
        f'<svg viewBox="0 0 {wide} {high}" role="img" aria-label="{escape(told)}" '
        f'style="width:100%;max-width:{wide}px;font-size:12px">{"".join(parts)}'
        f'<text x="{_LEFT}" y="{high - 6}" fill="currentColor">without a rim: computing; with a '
        "rim: real steps</text></svg>"
    )


def draw(ax: Axes, ways: Sequence[Way], marks: Mapping[str, float]) -> None:
    """Draw what each way costs over the price of a real step, on two log scales.

    Args:
        ax: The axes to draw on.
        ways: The ways.
        marks: Prices that somebody pays, by name, drawn as vertical lines.
    """
    from .figures import line_style

    prices = [10 ** (LEAST + i * (MOST - LEAST) / 60) for i in range(61)]
    for index, way in enumerate(ways):
        style = {**line_style(index), "marker": ""}
        ax.plot(prices, [way.cost(p) / 60 for p in prices], label=way.name, **style)
    ax.set(xscale="log", yscale="log", xlabel="price of a real step, s", ylabel="minutes in all")
    for name, price in marks.items():
        ax.axvline(price, color="grey", linewidth=0.8)
        ax.annotate(
            name,
            (price, 0.98),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="right",
            va="top",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},  # curves cross it
        )
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)


class BreakEven:
    """Sets the price of a real step, and what each way takes, and says which way is cheaper.

    Args:
        scratch: Practice in the real world alone.
        warm: A dream, and practice after it.
        log: Real steps in the log that the dream was learned from.
        price: Of a real step to begin with, seconds.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        price: The slider of the price.
        scratch, warm: The sliders of the real steps.
        minutes: The slider of what the dream computes.
        log: Whether the log's steps are counted for the dream.
        status: The line of text.
        page: The bars.

    Raises:
        UserError: The dream computes for no time at all.
    """

    def __init__(self, scratch: Way, warm: Way, log: int, price: float = 0.01) -> None:
        if warm.seconds <= 0:
            raise UserError("A dream computes for a while: give its seconds, above 0.")
        self._scratch, self._warm, self._log = scratch, warm, log
        most = max(scratch.real_steps, warm.real_steps, 1)
        wide = ipywidgets.Layout(width="30em")
        style = {"description_width": "12em"}
        self.price = ipywidgets.FloatLogSlider(
            value=min(max(price, 10**LEAST), 10**MOST),
            min=LEAST,
            max=MOST,
            step=0.05,
            description="Real step, seconds",
            readout_format=".2g",
            layout=wide,
            style=style,
        )
        self.scratch, self.warm = (
            ipywidgets.IntSlider(
                value=way.real_steps,
                min=0,
                max=10 * most,
                step=max(1, most // 100),
                description=f"Real steps, {name}",
                layout=wide,
                style=style,
            )
            for way, name in ((scratch, "practice alone"), (warm, "after the dream"))
        )
        self.minutes = ipywidgets.FloatSlider(
            value=warm.seconds / 60,
            min=0.1,
            max=max(10 * warm.seconds / 60, 1.0),
            step=0.1,
            description="Minutes of computing",
            layout=wide,
            style=style,
        )
        self.log = ipywidgets.Checkbox(
            value=False, description=f"the dream alone pays for the log ({log:,} steps)"
        )
        self.status, self.page = ipywidgets.HTML(), ipywidgets.HTML()
        controls = [self.price, self.scratch, self.warm, self.minutes, self.log]
        for control in controls:
            control.observe(self.on_change, names="value")
        self.widget = ipywidgets.VBox([*controls, self.status, self.page])
        self.on_change()

    def ways(self) -> tuple[Way, Way]:
        """Practice alone, and the dream with practice, as the sliders stand."""
        scratch = replace(self._scratch, real_steps=self.scratch.value)
        # Computing for practice grows with the steps; the rest of it is none.
        if self._scratch.real_steps:
            share = self.scratch.value / self._scratch.real_steps
            scratch = replace(scratch, seconds=self._scratch.seconds * share)
        steps = self.warm.value + (self._log if self.log.value else 0)
        return scratch, replace(self._warm, real_steps=steps, seconds=60 * self.minutes.value)

    def on_change(self, change: dict[str, Any] | None = None) -> None:
        """Compute both ways again."""
        ways = self.ways()
        told = escape(summary(*ways, self.price.value))
        self.status.value = f'<div role="status" style="line-height:1.45">{told}</div>'
        self.page.value = ways_html(ways, self.price.value)

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)
