"""Dreams held against reality: how they part, and a widget to look at those that paid for nothing.

An episode is dreamed, its actions are played again in the real world (`episodes.replay`), and the
two are a pair. Lesson 06 asks of such pairs where they part, and compares the recorded runs of
practice in the dream with those of practice in the real world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import UserError
from ..experiments.compare import Recorded, difference, mean_text, of_successes
from ..experiments.grid import METHODS
from .episodes import first_difference
from .figures import PALETTE, line_style
from .widgets import _NEEDS_KERNEL, EpisodeStepper

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..experience import Trajectory

Pair = tuple["Trajectory", "Trajectory"]  # the dream, and its actions in the real world


def what_differed(dream: Trajectory, real: Trajectory, step: int) -> str:
    """Say in a few words how dream and reality parted at a step, see `episodes.first_difference`.

    Args:
        dream: The dreamed episode.
        real: The same actions in the real world.
        step: From 0.
    """
    if step >= len(dream.transitions) or step >= len(real.transitions):
        return "one was already over"
    mine, true = dream.transitions[step], real.transitions[step]
    if mine.terminated and true.terminated:
        return "an end is judged differently"
    if true.failed and not mine.failed:
        return "what is impossible works"
    if mine.failed and not true.failed:
        return "what is possible fails"
    return "another page is shown"


def recorded_success(recorded: Recorded, world: str, methods: Sequence[str]) -> dict[str, Any]:
    """Success in the real exam of some methods of the grid, by seed; those without are left out.

    Args:
        recorded: All records.
        world: `"shop"`, `"house"` or `"web"`.
        methods: Of `experiments.grid.METHODS`.
    """
    found = {method: recorded.values(world, method) for method in methods}
    return {method: values for method, values in found.items() if values}


def recorded_rows(recorded: Recorded, world: str, methods: Sequence[str]) -> list[dict[str, Any]]:
    """The same as a table: mean success with its interval, and the mean real steps of training.

    Args:
        recorded: All records.
        world: As above.
        methods: Each recorded at least once, see `recorded_success`.
    """
    rows = []
    for method in methods:
        marks = recorded.values(world, method).values()
        steps = recorded.values(world, method, measure=lambda r: r["transitions"]["real"]).values()
        rows.append(
            {
                "method": METHODS[method],
                "success": mean_text(marks),
                "real steps": round(sum(steps) / len(steps)),
                "seeds": len(marks),
            }
        )
    return rows


def draw_seeds(ax: Axes, found: Mapping[str, Mapping[int, float]]) -> None:
    """Draw each seed as a line over the methods, and the means above.

    Args:
        ax: The axes to draw on.
        found: Success by method and seed, see `recorded_success`.
    """
    places = range(len(found))
    for seed in sorted({s for values in found.values() for s in values}):
        pairs = [(i, v[seed]) for i, v in zip(places, found.values(), strict=True) if seed in v]
        label = None if ax.lines else "one seed"
        ax.plot(*zip(*pairs, strict=True), **{**line_style(0), "alpha": 0.35}, label=label)
    means = [sum(v.values()) / len(v) for v in found.values()]
    ax.plot(places, means, color=PALETTE[1], marker="D", linestyle="", label="mean over seeds")
    ax.set(xticks=list(places), xticklabels=[METHODS[m] for m in found])
    ax.set(ylabel="success on test tasks", ylim=(0, 1), xlim=(-0.4, len(found) - 0.6))
    ax.legend(loc="lower right")


def compared(recorded: Recorded, world: str, a: str, b: str) -> str:
    """The paired difference of two methods in a world as a sentence, or why there is none."""
    told = of_successes(difference, recorded, (world, a), (world, b))
    if told is None:
        return f"{METHODS[a]} and {METHODS[b]} are not both recorded for two seeds yet."
    return f"{METHODS[a]} − {METHODS[b]}, paired by seed: {told}"


class PairPicker:
    """Chooses one pair of many, and steps through it from its first difference on.

    Args:
        pairs: Dreams and what reality answered to their actions.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        choice: Which pair; its words say how the two part, and in which task.
        stepper: The stepper of the chosen pair.

    Raises:
        UserError: There is no pair.
    """

    def __init__(self, pairs: Sequence[Pair]) -> None:
        if not pairs:
            raise UserError("There is no pair to look at: let the agent dream more episodes.")
        self.pairs = list(pairs)
        options = [(_words(number, *pair), number) for number, pair in enumerate(self.pairs)]
        wide = ipywidgets.Layout(width="auto")
        self.choice = ipywidgets.Dropdown(options=options, description="Episode", layout=wide)
        self.choice.observe(self.on_choice, names="value")
        self.widget = ipywidgets.VBox([self.choice])
        self.on_choice()

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)

    def on_choice(self, change: dict[str, Any] | None = None) -> None:
        """Show the chosen pair at its first difference, if it has one."""
        self.stepper = EpisodeStepper(*self.pairs[self.choice.value])
        self.stepper.on_jump()
        self.widget.children = (self.choice, self.stepper.widget)


def _words(number: int, dream: Trajectory, real: Trajectory) -> str:
    step = first_difference(dream, real)
    how = "no difference" if step is None else what_differed(dream, real, step)
    return f"{number + 1}: {how} ({dream.task.instruction})"
