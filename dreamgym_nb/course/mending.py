"""Lesson 10: check some entries of a dream against reality, and see what is left of the gap.

A check asks reality about one state and action and corrects the dream there. There are many
entries and few checks, so it matters by which rule they are chosen. `picture` and `numbers`
compare the rules, `MendingBoard` is the widget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np

from .. import theory
from ..errors import UserError
from ..tabular import Dreamed, Tabulated, mended, mistakes
from ..theory import Array
from .figures import line_style
from .widgets import _NEEDS_KERNEL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pair = tuple[int, int]
RULES = ("at random", "ends first", "where the shopper goes")
_SHOWN = 6  # mistakes that the widget lists
_POINTS = (0, 5, 10, 20, 40, 60, 80, 120, 160, 200)  # checks, in the picture


def order(real: Tabulated, dream: Dreamed, policy: Array, rule: str, seed: int = 0) -> list[Pair]:
    """Every entry of a table in the order in which a rule checks them.

    Args:
        real: The table.
        dream: The dream of it.
        policy: Of the shopper.
        rule: One of `RULES`. Ends are the entries that end an episode in either world; they
            come before all others. Within ends, and where the shopper goes, what is done more
            often (in reality, discounted) comes first.
        seed: Of the random order.

    Raises:
        UserError: There is no such rule.
    """
    if rule not in RULES:
        raise UserError(f"There is no rule {rule!r}; there are: {', '.join(RULES)}.")
    pairs = real.pairs
    lots = np.random.default_rng(seed).permutation(len(pairs))
    shuffled = [pairs[i] for i in lots]
    if rule == "at random":
        return shuffled
    often = theory.occupancy(real.table, policy)[:, None] * policy
    by_visits = sorted(shuffled, key=lambda pair: -often[pair])
    if rule == "where the shopper goes":
        return by_visits
    end = len(real.states)
    over = real.table.next[:, :, end] + dream.table.next[:, :, end] > 0
    return sorted(by_visits, key=lambda pair: not over[pair])


def gap_left(real: Tabulated, dream: Dreamed, policy: Array, checked: Sequence[Pair]) -> float:
    """Return in the dream minus return in reality, once these entries are corrected."""
    table = mended(real.table, dream.table, checked)
    there, here = theory.values(table, policy).total, theory.values(real.table, policy).total
    return there - here


def numbers(
    real: Tabulated, dream: Dreamed, policies: Mapping[str, Array], checks: int
) -> list[dict[str, Any]]:
    """The gap of each shopper before any check, and after some by each rule."""
    rows = []
    for name, policy in policies.items():
        row: dict[str, Any] = {
            "begins with": name,
            "no check": gap_left(real, dream, policy, ()),
        }
        for rule in RULES:
            some = order(real, dream, policy, rule)[:checks]
            row[f"{checks} checks, {rule}"] = gap_left(real, dream, policy, some)
        rows.append(row)
    return rows


def picture(real: Tabulated, dream: Dreamed, policies: Mapping[str, Array]) -> Figure:
    """The size of the gap that is left, over the number of checks; a panel for each shopper."""
    from matplotlib import pyplot

    fig, axes = pyplot.subplots(
        1, len(policies), figsize=(3.5 * len(policies), 2.7), sharey=True, squeeze=False
    )
    for ax, (name, policy) in zip(axes[0], policies.items(), strict=True):
        for i, rule in enumerate(RULES):
            pairs = order(real, dream, policy, rule)
            at = sorted({min(n, len(pairs)) for n in _POINTS})
            left = [abs(gap_left(real, dream, policy, pairs[:n])) for n in at]
            ax.plot(at, left, **line_style(i), label=rule)
        ax.set(title=f"begins with {name}", xlabel="entries checked")
    axes[0][0].set_ylim(bottom=0)  # once all lines are drawn: the panels share it
    axes[0][0].set_ylabel("gap that is left")
    fig.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(RULES)
    )
    return fig


class MendingBoard:
    """Choose a shopper, a rule and a number of checks, and see what is left of the gap.

    Args:
        real: The table.
        dream: The dream of it.
        policies: The shoppers by name.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        shopper, rule: The choices.
        checks: The slider.
        status: The line of text.
        page: The mistakes that the checks found.
    """

    def __init__(self, real: Tabulated, dream: Dreamed, policies: Mapping[str, Array]) -> None:
        self.real, self.dream, self.policies = real, dream, dict(policies)
        self._wrong = {m.pair: m.kind for m in mistakes(real, dream)}
        style = {"description_width": "9em"}
        wide = ipywidgets.Layout(width="28em")
        self.shopper = ipywidgets.Dropdown(
            options=list(self.policies), description="Begins with", style=style, layout=wide
        )
        self.rule = ipywidgets.Dropdown(
            options=list(RULES), description="Check", style=style, layout=wide
        )
        self.checks = ipywidgets.IntSlider(
            value=0,
            min=0,
            max=min(200, len(real.pairs)),
            description="Entries checked",
            continuous_update=False,
            style=style,
            layout=wide,
        )
        self.status, self.page = ipywidgets.HTML(), ipywidgets.HTML()
        for control in (self.shopper, self.rule, self.checks):
            control.observe(self.on_change, names="value")
        self.widget = ipywidgets.VBox(
            [self.shopper, self.rule, self.checks, self.status, self.page]
        )
        self.on_change()

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)

    def on_change(self, change: dict[str, Any] | None = None) -> None:
        """Check anew, by the rule and the number that are set."""
        policy = self.policies[self.shopper.value]
        pairs = order(self.real, self.dream, policy, self.rule.value)[: self.checks.value]
        found = [pair for pair in pairs if pair in self._wrong]
        left = gap_left(self.real, self.dream, policy, pairs)
        told = (
            f"{len(pairs)} of {len(self.real.pairs):,} entries checked, {len(found)} of them were "
            f"wrong. The dream is off by {left:+.3f} for this shopper."
        )
        self.status.value = f'<div role="status" style="line-height:1.45">{escape(told)}</div>'
        lines = [
            f"<li>{escape(self._wrong[s, a])}: {escape(self.real.actions[s][a])} on "
            f"{escape(self.real.states[s].partition(chr(10))[0])}</li>"
            for s, a in found[:_SHOWN]
        ]
        more = f"<p>and {len(found) - _SHOWN} more</p>" if len(found) > _SHOWN else ""
        self.page.value = f"<ul>{''.join(lines)}</ul>{more}" if lines else "<p>no mistake yet</p>"
