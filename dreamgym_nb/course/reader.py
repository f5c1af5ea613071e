"""What went wrong, and where: episodes sorted by their outcome, to be counted, drawn and read.

An outcome is read off the last step by the shop's own rule: what was wanted against what was got.
`draw_outcomes` is the static picture and `EpisodeReader` the widget that opens single episodes.
Only what ipywidgets 7.7 (Colab) and 8 share is used; each callback is a named method with a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..errors import UserError
from ..worlds.base import WANTED
from .figures import PALETTE
from .views import NO_MATHS, episode_html
from .widgets import _button

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..experience import Trajectory
    from ..worlds.base import World

SUCCESS, ITEM, OPTION, UNCHOSEN, PRICE, STUCK, LOST = (
    "success",
    "bought the wrong thing",
    "bought a wrong option",
    "bought without choosing",
    "bought too dear",
    "cut, most actions failed",
    "cut, still looking",
)
OUTCOMES = (SUCCESS, ITEM, OPTION, UNCHOSEN, PRICE, STUCK, LOST)
"""How an episode in the shop can end, the best first."""

EVERY = "all outcomes"
_NEEDS_KERNEL = "The lists and the buttons below work while the notebook is running."
_HATCHES = ("", "//", "\\\\", "xx", "..", "--", "++")


def outcome_of(world: World, trajectory: Trajectory) -> str:
    """How an episode in the shop ended, one of `OUTCOMES`.

    Of several things that are wrong with a purchase the first counts: the thing itself, then its
    options, then its price.

    Args:
        world: The shop, whose teacher says what was wanted and what was got.
        trajectory: The episode.

    Raises:
        UserError: If the episode is not over.
    """
    if trajectory.success:
        return SUCCESS
    steps = trajectory.transitions
    if trajectory.truncated:
        failed = sum(t.failed for t in steps)
        return STUCK if 2 * failed > len(steps) else LOST
    if not steps or not steps[-1].terminated:
        raise UserError("This episode is not over, so it has no outcome: play it to its end.")
    wrong = wrong_lines(world, trajectory)
    options = tuple(f"{WANTED} {name} " for name in trajectory.task.goal["options"])
    about = [line for line in wrong if line.startswith(options)]
    if any(not line.startswith((*options, f"{WANTED} at most ")) for line in wrong):
        return ITEM
    if about:
        return UNCHOSEN if all(" got nothing " in line for line in about) else OPTION
    return PRICE


def wrong_lines(world: World, trajectory: Trajectory) -> list[str]:
    """What was wanted and not got in the last step, as the world's teacher writes it."""
    last = trajectory.transitions[-1]
    said = world.teacher(trajectory.task, last.state, last.action).split("\n")
    return [line for line in said if line.startswith(WANTED) and line.endswith(" no")]


def count_outcomes(world: World, episodes: Sequence[Trajectory]) -> dict[str, int]:
    """How many episodes ended in each way; all of `OUTCOMES`, in that order."""
    found = [outcome_of(world, t) for t in episodes]
    return {outcome: found.count(outcome) for outcome in OUTCOMES}


def draw_outcomes(
    ax: Axes, world: World, shelves: Mapping[str, Sequence[Trajectory]]
) -> list[dict[str, Any]]:
    """Draw the shares of the outcomes, a bar for each shelf, and return the counts as rows.

    Args:
        ax: The axes to draw on.
        world: The shop.
        shelves: What a bar is called, to its episodes; none of them empty.
    """
    rows = []
    names = list(shelves)
    left = [0.0] * len(names)
    counts = {name: count_outcomes(world, shelves[name]) for name in names}
    for index, outcome in enumerate(OUTCOMES):
        shares = [counts[name][outcome] / len(shelves[name]) for name in names]
        ax.barh(
            names,
            shares,
            left=left,
            label=outcome,
            color=PALETTE[index],
            hatch=_HATCHES[index],
            edgecolor="white",
        )
        left = [a + b for a, b in zip(left, shares, strict=True)]
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of episodes")
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.25), ncols=3, fontsize=9)
    for name in names:
        rows.append({"": name, **counts[name], "episodes": len(shelves[name])})
    return rows


def reading_html(world: World, trajectory: Trajectory) -> str:
    """Return an episode as a table, and below it what its purchase lacked."""
    outcome = outcome_of(world, trajectory)
    lines = wrong_lines(world, trajectory) if outcome in (ITEM, OPTION, UNCHOSEN, PRICE) else []
    why = "".join(f"<li>{escape(line)}</li>" for line in lines)
    note = f"<ul {NO_MATHS}>{why}</ul>" if why else ""
    return f"{episode_html(trajectory)}<div><strong>Outcome:</strong> {escape(outcome)}</div>{note}"


def show_reading(world: World, trajectory: Trajectory) -> None:
    """Display `reading_html`: the static picture of the widget."""
    from IPython.display import HTML, display

    display(HTML(reading_html(world, trajectory)))


class EpisodeReader:
    """Opens the episodes of one agent or another, those of one outcome if that is asked for.

    Args:
        world: The shop.
        shelves: What an agent is called, to its episodes.

    Attributes:
        widget: The whole, to be placed in a layout of one's own.
        shelf: Whose episodes.
        outcome: Which of them, with their number.
        previous, next: The buttons; after the last episode comes the first.
        status: The line of text.
        page: The episode.

    Raises:
        UserError: If there is no shelf, or an empty one.
    """

    def __init__(self, world: World, shelves: Mapping[str, Sequence[Trajectory]]) -> None:
        if not shelves or not all(shelves.values()):
            raise UserError("EpisodeReader needs episodes, and on each shelf at least one.")
        self.world = world
        self.shelves = {
            name: [(outcome_of(world, t), t) for t in episodes]
            for name, episodes in shelves.items()
        }
        self.at = 0
        wide = ipywidgets.Layout(width="22em")
        self.shelf = ipywidgets.Dropdown(options=list(self.shelves), description="Agent")
        self.outcome = ipywidgets.Dropdown(description="Outcome", layout=wide)
        self.previous = _button("Previous", "Show the episode before")
        self.next = _button("Next", "Show the next episode")
        self.status, self.page = ipywidgets.HTML(), ipywidgets.HTML()
        self._offer()
        self.shelf.observe(self.on_shelf, names="value")
        self.outcome.observe(self.on_outcome, names="value")
        self.previous.on_click(self.on_previous)
        self.next.on_click(self.on_next)
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        controls = [self.shelf, self.outcome, self.previous, self.next]
        self.widget = ipywidgets.VBox(
            [ipywidgets.HBox(controls, layout=row), self.status, self.page]
        )

    @property
    def episodes(self) -> list[Trajectory]:
        """Those that can be paged through now."""
        wanted = self.outcome.value
        return [t for found, t in self.shelves[self.shelf.value] if wanted in (EVERY, found)]

    def show(self) -> None:
        """Display the widget, and a line for those who read a saved page, where it is dead."""
        from IPython.display import HTML, display

        display(HTML(f"<div>{_NEEDS_KERNEL}</div>"), self.widget)

    def on_shelf(self, change: dict[str, Any] | None = None) -> None:
        """Go to the first episode of another agent, with the same outcome if it has any."""
        self._offer()

    def on_outcome(self, change: dict[str, Any] | None = None) -> None:
        """Go to the first episode with that outcome."""
        self._go(0)

    def on_previous(self, button: Any = None) -> None:
        """Go one episode back."""
        self._go(self.at - 1)

    def on_next(self, button: Any = None) -> None:
        """Go one episode on."""
        self._go(self.at + 1)

    def _offer(self) -> None:
        """List the outcomes that this agent has, with their numbers."""
        found = [outcome for outcome, _ in self.shelves[self.shelf.value]]
        before = self.outcome.value
        options = [(f"{EVERY} ({len(found)})", EVERY)]
        options += [(f"{o} ({found.count(o)})", o) for o in OUTCOMES if o in found]
        self.outcome.options = options  # the first one is chosen by that
        self.outcome.value = before if before in found else EVERY
        self._go(0)

    def _go(self, at: int) -> None:
        if self.outcome.value is None:  # for a moment, while its options change
            return
        self.at = at % len(self.episodes)
        trajectory = self.episodes[self.at]
        line = (
            f"Episode {self.at + 1} of {len(self.episodes)}: "
            f"{outcome_of(self.world, trajectory)} after {len(trajectory.transitions)} steps."
        )
        self.status.value = f'<div role="status" style="line-height:1.45">{escape(line)}</div>'
        self.page.value = reading_html(self.world, trajectory)
