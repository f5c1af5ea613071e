"""The training time machine: go to any iteration of a run and look at what was there.

A run is a row of moments. Of a run in the notebook a `Diary` keeps each group's outcomes and one
episode; of a recorded run there are the numbers only. `moment_html` is the static picture of a
moment, and `TrainingTimeMachine` the slider over it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..experiments.compare import Recorded
from ..experiments.figures import points
from ..experiments.grid import METHODS
from ..experiments.store import RUNS, Record, Records
from .figures import PALETTE, curve_with_interval
from .slideshow import Slideshow
from .views import episode_html
from .widgets import _ProgressLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..experience import Trajectory
    from ..grpo import IterationRecord
    from ..rollout import Episode

_WIDE, _HIGH, _LEFT, _TOP = 560, 150, 34, 10  # of the curve, in pixels
_CELL = "text-align:left;padding:.15em .9em .15em 0;border:0;vertical-align:top"
_TABLE = "border-collapse:collapse;margin:.75em 0;line-height:1.45;color:inherit;max-width:64em"


@dataclass(frozen=True)
class Group:
    """The tries of one task.

    Attributes:
        task: Its instruction.
        rewards: Of each try.
    """

    task: str
    rewards: tuple[float, ...]

    @property
    def spread(self) -> float:
        """V_τ, the mean squared distance of the rewards from their mean."""
        mean = sum(self.rewards) / len(self.rewards)
        return sum((r - mean) ** 2 for r in self.rewards) / len(self.rewards)


@dataclass(frozen=True)
class Moment:
    """One iteration of a run.

    Attributes:
        iteration: From 1.
        transitions: Since the start, in the world trained in.
        success: Share of the iteration's episodes that succeeded.
        spread: Mean of V_τ over its groups.
        mixed: Share of its groups with both success and failure.
        failed_actions: Share of its actions that failed.
        groups: Its groups; empty where they were not kept.
        episode: One of its episodes, if one was kept.
    """

    iteration: int
    transitions: int
    success: float
    spread: float
    mixed: float
    failed_actions: float
    groups: tuple[Group, ...] = ()
    episode: Trajectory | None = None


class Diary:
    """Keeps the moments of a run while it happens: ``real_rl(…, on_iteration=diary.note)``.

    Args:
        label: What is running, for the line that shows how far it is.
        group_size: Tries of a task.
        budget: The most real transitions.

    Attributes:
        moments: So far.
    """

    def __init__(self, label: str, group_size: int, budget: int) -> None:
        self.group_size, self.budget = group_size, budget
        self.moments: list[Moment] = []
        self._line = _ProgressLine(label, "real transitions")

    def note(self, record: IterationRecord, episodes: Sequence[Episode]) -> None:
        """Keep an iteration: its numbers, the outcome of every try, and its first episode."""
        n = self.group_size
        trajectories = [e.trajectory for e in episodes]
        groups = [trajectories[i : i + n] for i in range(0, len(trajectories), n)]
        kept = tuple(Group(g[0].task.instruction, tuple(t.reward for t in g)) for g in groups)
        [moment] = moments_of([record.to_json()])
        self.moments.append(replace(moment, groups=kept, episode=trajectories[0]))
        done = min(record.transitions, self.budget - 1)  # only `close` knows that it is over
        self._line.update(done, self.budget, f"success {record.success:.2f}")

    def close(self) -> list[Moment]:
        """Say that the run is over, and return its moments."""
        done = self.moments[-1].transitions if self.moments else 0
        self._line.update(done, done, f"{len(self.moments)} iterations")
        return self.moments


def moments_of(history: Sequence[Mapping[str, Any]]) -> list[Moment]:
    """The moments of a recorded run.

    Args:
        history: What each iteration did, as `grpo.IterationRecord.to_json` writes it.
    """
    return [
        Moment(
            iteration=row["iteration"],
            transitions=row["transitions"],
            success=row["success"],
            spread=row["value_spread"],
            mixed=row["mixed_groups"],
            failed_actions=row["failed_actions"],
        )
        for row in history
    ]


def recorded(world: str, methods: Sequence[str], folder: Path = RUNS) -> dict[str, list[Record]]:
    """The recorded runs of some methods in a world, by seed; methods without any are left out.

    Args:
        world: `"shop"`, `"house"` or `"web"`.
        methods: Of `experiments.grid.METHODS`.
        folder: Where the records lie.
    """
    found = Recorded(Records(folder).all())
    runs = {method: list(found.seeds(world, method).values()) for method in methods}
    return {method: records for method, records in runs.items() if records}


def draw_recorded(ax: Axes, kept: Mapping[str, Sequence[Record]]) -> list[dict[str, Any]]:
    """Draw success on test tasks over real transitions, and return the numbers of each seed.

    Args:
        ax: The axes to draw on.
        kept: Records by method, see `recorded`.
    """
    rows = []
    for index, (method, records) in enumerate(kept.items()):
        x, ys = points(records, method)
        curve_with_interval(ax, x, ys, METHODS[method], index)
        rows += [
            {
                "method": METHODS[method],
                "seed": record["seed"],
                "start": y[0],
                "end": y[-1],
                "real steps": record["transitions"]["real"],
                "date": record["date"],
            }
            for record, y in zip(records, ys, strict=True)
        ]
    ax.set(xlabel="real transitions", ylabel="success on test tasks", ylim=(0, 1))
    ax.legend()
    return rows


def summary(moments: Sequence[Moment], at: int) -> str:
    """Return the moment in a sentence."""
    m = moments[at]
    return (
        f"Iteration {m.iteration} of {moments[-1].iteration}, {m.transitions:,} transitions so "
        f"far: {m.success:.0%} of the episodes succeed, {m.failed_actions:.0%} of the actions "
        f"fail, mean V_τ {m.spread:.3f}, {m.mixed:.0%} of the groups teach something."
    )


def curve_svg(moments: Sequence[Moment], at: int) -> str:
    """Return success and mean V_τ over the transitions of a run, with a line at a moment."""
    most = max(m.transitions for m in moments)

    def x(m: Moment) -> float:
        return _LEFT + _WIDE * m.transitions / most

    def y(value: float) -> float:
        return _TOP + _HIGH * (1 - value)

    def line(values: Sequence[float], color: str, dash: str) -> str:
        pairs = zip(moments, values, strict=True)
        points = " ".join(f"{x(m):.1f},{y(v):.1f}" for m, v in pairs if not math.isnan(v))
        return (
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )

    here, bottom = moments[at], _TOP + _HIGH
    ticks = "".join(
        f'<text x="{_LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end" stroke="none">{v:g}</text>'
        f'<line x1="{_LEFT}" x2="{_LEFT + _WIDE}" y1="{y(v):.1f}" y2="{y(v):.1f}" opacity=".2"/>'
        for v in (0.0, 0.5, 1.0)
    )
    return (
        f'<svg role="img" aria-label="{escape(summary(moments, at))}" '
        f'viewBox="0 0 {_LEFT + _WIDE + 10} {bottom + 22}" '
        f'style="width:100%;max-width:{_LEFT + _WIDE + 10}px;font-size:11px" '
        f'stroke="currentColor" stroke-width="0"><g fill="currentColor" stroke-width="1">{ticks}'
        f'<line x1="{x(here):.1f}" x2="{x(here):.1f}" y1="{_TOP}" y2="{bottom}"/></g>'
        f"{line([m.success for m in moments], PALETTE[0], 'none')}"
        f"{line([m.spread for m in moments], PALETTE[1], '6 4')}"
        f'<circle cx="{x(here):.1f}" cy="{y(here.success):.1f}" r="4" fill="{PALETTE[0]}"/>'
        f'<text x="{_LEFT}" y="{bottom + 16}" fill="currentColor">solid: success, dashed: mean '
        f"V_τ (at most 0.25); 0 to {most:,} transitions</text></svg>"
    )


def groups_html(groups: Sequence[Group]) -> str:
    """Return a table of groups: a filled circle is a success, and V_τ says what it teaches."""
    head = "".join(
        f'<th scope="col" style="{_CELL}">{name}</th>' for name in ("Task", "Tries", "V_τ", "")
    )
    rows = "".join(
        f'<tr style="background:transparent"><td style="{_CELL};white-space:normal">'
        f'{escape(g.task)}</td><td style="{_CELL};white-space:nowrap" '
        f'aria-label="{sum(r >= 1 for r in g.rewards)} of {len(g.rewards)} succeed">'
        f"{''.join('●' if r >= 1 else '○' for r in g.rewards)}</td>"
        f'<td style="{_CELL}">{g.spread:.3f}</td>'
        f'<td style="{_CELL}">{"teaches" if g.spread else "all agree: nothing"}</td></tr>'
        for g in groups
    )
    return (
        f'<table style="{_TABLE}"><caption style="text-align:left;caption-side:top;color:inherit">'
        "The groups of this iteration (● success, ○ failure)</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def moment_html(moments: Sequence[Moment], at: int) -> str:
    """Return a moment as HTML: where it lies on the curve, its groups, one of its episodes.

    Args:
        moments: Of one run, in order.
        at: Which, from 0.

    Raises:
        UserError: The run has no such moment.
    """
    if not 0 <= at < len(moments):
        raise UserError(f"This run has {len(moments)} iterations: there is no number {at + 1}.")
    moment, html = moments[at], curve_svg(moments, at)
    if moment.groups:
        html += groups_html(moment.groups)
    if moment.episode is not None:
        html += (
            "<details><summary>The first episode of this iteration</summary>"
            f"{episode_html(moment.episode)}</details>"
        )
    return html


class TrainingTimeMachine(Slideshow[Moment]):
    """Goes through the iterations of one run or another.

    Args:
        runs: What a run is called, to its moments.

    Raises:
        UserError: There is no run, or one without iterations.
    """

    def told(self, iterations: list[Moment], at: int) -> tuple[str, str]:
        """The line and the moment of an iteration."""
        return summary(iterations, at), moment_html(iterations, at)
