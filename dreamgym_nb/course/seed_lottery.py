"""The seed lottery: how often luck alone looks like a better method.

Several variants of a method are tried on some seeds and compared with a baseline. A seed is a
world: some are easy for everybody, and each run has luck of its own. `draw` makes one such
experiment, `lottery_html` is its static picture, and `SeedLottery` the widget that draws again and
counts who was deceived.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import numpy as np

from ..errors import UserError
from ..experiments.compare import Comparison, difference
from .figures import PALETTE
from .widgets import _NEEDS_KERNEL, _button

MEAN, WORLDS, LUCK = 0.6, 0.08, 0.04
"""Success of the baseline, how much worlds differ, and how much equal runs in one world."""
_WIDE, _ROW, _LEFT = 420, 30, 110  # of the picture, in pixels


@dataclass(frozen=True)
class Draw:
    """One experiment.

    Attributes:
        baseline: Success by seed, shape (seeds,).
        variants: The same for each variant, shape (variants, seeds).
    """

    baseline: np.ndarray
    variants: np.ndarray

    @property
    def best(self) -> int:
        """The variant with the highest mean."""
        return int(self.variants.mean(axis=1).argmax())

    @property
    def comparison(self) -> Comparison | None:
        """The best variant against the baseline, paired by seed; None for one seed."""
        best, base = self.variants[self.best], self.baseline
        return difference(dict(enumerate(best.tolist())), dict(enumerate(base.tolist())))


def draw(seeds: int, variants: int, better: float, paired: bool, rng: np.random.Generator) -> Draw:
    """Run the experiment once.

    Args:
        seeds: Of each method.
        variants: How many are tried; all are equally good.
        better: By how much each of them truly is better than the baseline.
        paired: Whether a seed is the same world for all of them.
        rng: Where the luck comes from.

    Raises:
        UserError: There is no seed or no variant.
    """
    if min(seeds, variants) < 1:
        raise UserError("The lottery needs at least one seed and one variant.")
    worlds = rng.normal(0, WORLDS, (1 if paired else variants + 1, seeds))
    runs = MEAN + worlds + rng.normal(0, LUCK, (variants + 1, seeds))
    runs[1:] += better
    runs = runs.clip(0, 1)
    return Draw(runs[0], runs[1:])


def verdicts(drawn: Draw) -> tuple[bool, bool]:
    """Whether the best variant beats the baseline by its mean, and by the whole interval."""
    found = drawn.comparison
    by_mean = bool(drawn.variants[drawn.best].mean() > drawn.baseline.mean())
    return by_mean, found is not None and found.low > 0


def summary(drawn: Draw) -> str:
    """What the means say of a draw, and what the interval says."""
    by_mean, by_interval = verdicts(drawn)
    gain = drawn.variants[drawn.best].mean() - drawn.baseline.mean()
    many = len(drawn.variants)
    name = "The variant" if many == 1 else f"The best of {many} variants, number {drawn.best + 1},"
    told = f"{name} is {abs(gain):.3f} {'above' if by_mean else 'below'} the baseline. "
    found = drawn.comparison
    if found is None:
        return told + "One seed has no interval."
    told += f"Its 95% interval goes from {found.low:+.3f} to {found.high:+.3f}: "
    return told + ("it says better." if by_interval else "no difference is shown.")


def lottery_html(drawn: Draw) -> str:
    """Return every seed of every method as a dot, and the means as lines."""
    rows = {"baseline": drawn.baseline}
    rows |= {f"variant {i + 1}": v for i, v in enumerate(drawn.variants)}
    parts = []
    for i, (name, values) in enumerate(rows.items()):
        middle = i * _ROW + _ROW / 2
        mark = " ←" if i == drawn.best + 1 else ""
        mean = _LEFT + _WIDE * float(values.mean())
        color = PALETTE[0] if i == 0 else PALETTE[1]
        parts.append(f'<text x="0" y="{middle + 4}" fill="currentColor">{name}{mark}</text>')
        parts += [
            f'<circle cx="{_LEFT + _WIDE * v:.1f}" cy="{middle}" r="3.5" fill="{color}" '
            'fill-opacity="0.6"/>'
            for v in values.tolist()
        ]
        parts.append(
            f'<line x1="{mean:.1f}" x2="{mean:.1f}" y1="{middle - 9}" y2="{middle + 9}" '
            'stroke="currentColor" stroke-width="2"/>'
        )
    high = len(rows) * _ROW
    scale = "".join(
        f'<text x="{_LEFT + _WIDE * v}" y="{high + 16}" text-anchor="middle" '
        f'fill="currentColor">{v:g}</text>'
        for v in (0, 0.5, 1)
    )
    told = "; ".join(f"{name}: mean {values.mean():.3f}" for name, values in rows.items())
    return (
        f'<svg viewBox="0 0 {_LEFT + _WIDE + 20} {high + 40}" role="img" '
        f'aria-label="{escape(told)}" style="width:100%;max-width:{_LEFT + _WIDE + 20}px;'
        f'font-size:12px">{"".join(parts)}{scale}<text x="{_LEFT}" y="{high + 34}" '
        'fill="currentColor">success; dots: seeds, lines: means, ←: the best variant</text></svg>'
    )


class SeedLottery:
    """Draws experiments, and counts how often means and intervals say "better".

    Args:
        seed: Of the luck.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        seeds, variants, better: The sliders.
        paired: Whether a seed is one world for all.
        again, many: The buttons: one more draw, and two hundred.
        status: The line of text.
        page: The picture.
        draws, by_mean, by_interval: The counts since the sliders were moved.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        style = {"description_width": "11em"}
        wide = ipywidgets.Layout(width="28em")
        self.seeds, self.variants = (
            ipywidgets.IntSlider(
                value=value, min=low, max=10, description=name, style=style, layout=wide
            )
            for value, low, name in ((3, 2, "Seeds"), (1, 1, "Variants tried"))
        )
        self.better = ipywidgets.FloatSlider(
            value=0.0,
            min=0.0,
            max=0.2,
            step=0.01,
            description="Truly better by",
            style=style,
            layout=wide,
        )
        self.paired = ipywidgets.Checkbox(value=True, description="a seed is one world for all")
        self.again = _button("Draw again", "Run the whole experiment once more")
        self.many = _button("Draw 200 times", "Run it two hundred times more")
        self.status, self.page = ipywidgets.HTML(), ipywidgets.HTML()
        for control in (self.seeds, self.variants, self.better, self.paired):
            control.observe(self.on_change, names="value")
        self.again.on_click(self.on_again)
        self.many.on_click(self.on_many)
        self.widget = ipywidgets.VBox(
            [
                self.seeds,
                self.variants,
                self.better,
                self.paired,
                ipywidgets.HBox([self.again, self.many]),
                self.status,
                self.page,
            ]
        )
        self.on_change()

    def on_change(self, change: dict[str, Any] | None = None) -> None:
        """Begin to count anew, with a first draw."""
        self.draws = self.by_mean = self.by_interval = 0
        self.on_again()

    def on_again(self, button: Any = None) -> None:
        """Draw once more."""
        self._draw(1)

    def on_many(self, button: Any = None) -> None:
        """Draw two hundred times more; the last one is shown."""
        self._draw(200)

    def _draw(self, times: int) -> None:
        for _ in range(times):
            drawn = draw(
                self.seeds.value,
                self.variants.value,
                self.better.value,
                self.paired.value,
                self._rng,
            )
            by_mean, by_interval = verdicts(drawn)
            self.draws += 1
            self.by_mean += by_mean
            self.by_interval += by_interval
        told = (
            f"{summary(drawn)} In {self.draws} draws the mean said better {self.by_mean} times, "
            f"the interval {self.by_interval} times; the truth is "
            f"{'no difference' if math.isclose(self.better.value, 0) else 'better'}."
        )
        self.status.value = f'<div role="status" style="line-height:1.45">{escape(told)}</div>'
        self.page.value = lottery_html(drawn)

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)
