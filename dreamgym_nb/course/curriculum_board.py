"""The curriculum board: which tasks an iteration tried, what they taught, and what was written.

A `Watch` stands between RL and a rule that picks tasks, and keeps a page for each iteration:
each task with its tries and V_τ, and each candidate of M_task with the filter's verdict.
`board_html` is the static picture of a page, and `CurriculumBoard` the slider over the pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from ..curriculum import judge_tasks
from ..errors import UserError
from ..task_writer import is_written
from .figures import PALETTE
from .slideshow import Slideshow
from .widgets import rl_progress

if TYPE_CHECKING:
    import numpy as np

    from ..experience import Task
    from ..rollout import Episode

JOINED, THROWN_OUT, EVERYTHING = "joined", "thrown out", "everything"
SHOWN = (EVERYTHING, JOINED, THROWN_OUT)
"""Which candidates the board shows."""

_WIDE, _HIGH, _LEFT, _TOP, _MOST = 560, 150, 40, 10, 0.25  # of the picture; the greatest V_τ
_CELL = "text-align:left;padding:.15em .9em .15em 0;border:0;vertical-align:top;white-space:normal"
_TABLE = "border-collapse:collapse;margin:.75em 0;line-height:1.45;color:inherit;max-width:64em"


@dataclass(frozen=True)
class Tried:
    """A task of an iteration.

    Attributes:
        task: Its instruction.
        rewards: Of each try.
        value: V_τ, of its own tries or of its cluster's.
        written_from: The instruction that it varies; empty for a task of the world.
    """

    task: str
    rewards: tuple[float, ...]
    value: float
    written_from: str = ""


@dataclass(frozen=True)
class Candidate:
    """What M_task wrote, and what became of it.

    Attributes:
        text: The instruction; None where it was unreadable.
        written_from: The instruction that it varies.
        why: Why it was thrown out; None where it joined the pool.
    """

    text: str | None
    written_from: str
    why: str | None

    @property
    def verdict(self) -> str:
        """In words."""
        return "joins the pool" if self.why is None else f"thrown out: {self.why}"


@dataclass(frozen=True)
class Page:
    """One iteration.

    Attributes:
        iteration: From 1.
        tried: Its tasks, the highest V_τ first.
        candidates: What was written after it.
        pool: How many written tasks may be picked now.
    """

    iteration: int
    tried: tuple[Tried, ...]
    candidates: tuple[Candidate, ...] = ()
    pool: int = 0

    @property
    def teaching(self) -> int:
        """How many of its tasks have V_τ above 0."""
        return sum(t.value > 0 for t in self.tried)

    @property
    def written(self) -> int:
        """How many of its tasks were written by M_task."""
        return sum(bool(t.written_from) for t in self.tried)


class Watch:
    """A rule that picks tasks, and a diary of what came of them: ``dream_rl(curriculum=watch)``.

    It changes nothing: what is picked, written and thrown out is what the rule alone would.

    Args:
        picks: A `grpo.PickTasks`: a `Curriculum`, `BandTasks` or a plain function.
        label: What is running, for the line that shows how far it is.
        iterations: How many there will be.

    Attributes:
        picks: The rule.
        pages: So far.
    """

    def __init__(self, picks: Any, label: str, iterations: int) -> None:
        self.picks, self.pages = picks, list[Page]()
        self._line = rl_progress(iterations, label)

    def __call__(self, n: int, rng: np.random.Generator) -> Sequence[Task]:
        """The n tasks of an iteration."""
        return self.picks(n, rng)

    def observe(self, episodes: Sequence[Episode], group_size: int) -> list[Task]:
        """Let the rule see the iteration, and write its page."""
        tried = self._tried(episodes, group_size)
        candidates, joined = self._written(episodes, group_size)
        pool = len(getattr(self.picks, "pool", ()))
        page = Page(len(self.pages) + 1, tried, candidates, pool)
        self.pages.append(page)
        success = sum(e.trajectory.success for e in episodes) / len(episodes)
        self._line(page.iteration, success, f"{page.teaching} of {len(tried)} groups teach")
        return joined

    def _tried(self, episodes: Sequence[Episode], group_size: int) -> tuple[Tried, ...]:
        rewards: dict[str, list[float]] = {}
        for e in episodes:
            rewards.setdefault(e.trajectory.task.id, []).append(e.trajectory.reward)
        mean_cluster = getattr(self.picks, "cluster_size", 8)
        tried = [
            Tried(j.task.instruction, tuple(rewards[j.task.id]), j.value, self._origin(j.task))
            for j in judge_tasks(episodes, group_size, mean_cluster)
        ]
        return tuple(sorted(tried, key=lambda t: -t.value))

    def _origin(self, task: Task) -> str:
        if not is_written(task):
            return ""
        known = {t.id: t.instruction for t in (*self.picks.tasks, *self.picks.accepted)}
        return known[task.goal["seeds"][0]]

    def _written(
        self, episodes: Sequence[Episode], group_size: int
    ) -> tuple[tuple[Candidate, ...], list[Task]]:
        observe = getattr(self.picks, "observe", None)
        if observe is None:
            return (), []
        judge = getattr(self.picks, "filter", None)
        if judge is None:
            return (), observe(episodes, group_size)
        noted: list[Candidate] = []
        self.picks.filter = _NotingFilter(judge, noted.append)
        try:
            joined = observe(episodes, group_size)
        finally:
            self.picks.filter = judge
        return tuple(noted), joined


class _NotingFilter:
    """A task filter that tells each of its verdicts."""

    def __init__(self, judge: Any, note: Callable[[Candidate], None]) -> None:
        self._judge, self._note = judge, note

    def reason(self, task: Task | None, seeds: Sequence[Task]) -> str | None:
        why = self._judge.reason(task, seeds)
        text = None if task is None else task.instruction
        self._note(Candidate(text, seeds[0].instruction, why))
        return why

    def __getattr__(self, name: str) -> Any:
        return getattr(self._judge, name)


# ---- the picture ------------------------------------------------------------------------------


def summary(pages: Sequence[Page], at: int) -> str:
    """Return a page in a sentence or two."""
    p = pages[at]
    mean = sum(t.value for t in p.tried) / len(p.tried)
    told = (
        f"Iteration {p.iteration} of {pages[-1].iteration}: {p.teaching} of {len(p.tried)} tasks "
        f"teach something, mean V_τ {mean:.3f}, {p.written} of them made up."
    )
    if p.candidates:
        counts = Counter(c.verdict for c in p.candidates)
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        told += f" {len(p.candidates)} written after it: {verdicts}; {p.pool} in the pool."
    return told


def spread_svg(pages: Sequence[Page], at: int) -> str:
    """Return the V_τ of every task over the iterations: dots for the world's, squares made up."""
    step, bottom = _WIDE / len(pages), _TOP + _HIGH

    def y(value: float) -> float:
        return _TOP + _HIGH * (1 - value / _MOST)

    marks = []
    for column, page in enumerate(pages):
        for place, t in enumerate(page.tried, start=1):
            x = _LEFT + step * (column + place / (len(page.tried) + 1))
            if t.written_from:
                marks.append(
                    f'<rect x="{x - 3.5:.1f}" y="{y(t.value) - 3.5:.1f}" width="7" height="7" '
                    f'fill="{PALETTE[1]}"/>'
                )
            else:
                marks.append(
                    f'<circle cx="{x:.1f}" cy="{y(t.value):.1f}" r="3.5" fill="{PALETTE[0]}"/>'
                )
    ticks = "".join(
        f'<text x="{_LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end" stroke="none">{v:g}</text>'
        f'<line x1="{_LEFT}" x2="{_LEFT + _WIDE}" y1="{y(v):.1f}" y2="{y(v):.1f}" opacity=".2"/>'
        for v in (0.0, _MOST / 2, _MOST)
    )
    here = (
        f'<rect x="{_LEFT + step * at:.1f}" y="{_TOP - 6}" width="{step:.1f}" '
        f'height="{_HIGH + 12}" fill="currentColor" opacity=".1"/>'
    )
    return (
        f'<svg role="img" aria-label="{escape(summary(pages, at))}" '
        f'viewBox="0 0 {_LEFT + _WIDE + 10} {bottom + 24}" '
        f'style="width:100%;max-width:{_LEFT + _WIDE + 10}px;font-size:11px">{here}'
        f'<g fill="currentColor" stroke="currentColor" stroke-width="1">{ticks}</g>'
        f'{"".join(marks)}<text x="{_LEFT}" y="{bottom + 18}" fill="currentColor">V_τ of each '
        f"task, iterations 1 to {len(pages)}; dots: the world's own, squares: made up</text></svg>"
    )


def tried_html(page: Page) -> str:
    """Return a table of the tasks of an iteration."""
    rows = []
    for t in page.tried:
        outcomes = "".join("●" if r >= 1 else "○" for r in t.rewards)
        wins = f"{sum(r >= 1 for r in t.rewards)} of {len(t.rewards)}"
        origin = f"made up, from: {t.written_from}" if t.written_from else "the world's own"
        teaches = "teaches" if t.value > 0 else "all agree: nothing"
        told = (t.task, outcomes, wins, f"{t.value:.3f}", teaches, origin)
        rows.append(told)
    head = ("Task", "Tries", "Success", "V_τ", "", "Where from")
    return _table("The tasks of this iteration (● success, ○ failure)", head, rows)


def candidates_html(page: Page, show: str = EVERYTHING) -> str:
    """Return a table of what was written after an iteration.

    Args:
        page: The iteration.
        show: One of `SHOWN`.
    """
    if not page.candidates:
        return "<p>Nothing was written after this iteration.</p>"
    joined = show == JOINED
    kept = [c for c in page.candidates if show == EVERYTHING or (c.why is None) == joined]
    rows = [(c.text or "(unreadable)", c.verdict, c.written_from) for c in kept]
    caption = f"Written after it: {len(kept)} of {len(page.candidates)} shown"
    return _table(caption, ("Written task", "What became of it", "Varies"), rows)


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in head)
    body = "".join(
        '<tr style="background:transparent">'
        + "".join(f'<td style="{_CELL}">{escape(value)}</td>' for value in row)
        + "</tr>"
        for row in rows
    )
    return (
        f'<table style="{_TABLE}"><caption style="text-align:left;caption-side:top;color:inherit">'
        f"{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    )


def board_html(pages: Sequence[Page], at: int, show: str = EVERYTHING) -> str:
    """Return a page as HTML: where it lies in the run, its tasks, and what was written after it.

    Args:
        pages: Of one run, in order.
        at: Which, from 0.
        show: Which candidates, one of `SHOWN`.

    Raises:
        UserError: The run has no such page.
    """
    if not 0 <= at < len(pages):
        raise UserError(f"This run has {len(pages)} iterations: there is no number {at + 1}.")
    page = pages[at]
    return spread_svg(pages, at) + tried_html(page) + candidates_html(page, show)


# ---- the widget -------------------------------------------------------------------------------


class CurriculumBoard(Slideshow[Page]):
    """Goes through the iterations of one run or another.

    Args:
        runs: What a run is called, to its pages.

    Attributes:
        show_only: Which candidates are shown; the others are those of `Slideshow`.

    Raises:
        UserError: There is no run, or one without iterations.
    """

    def __init__(self, runs: Mapping[str, Sequence[Page]]) -> None:
        self.show_only = ipywidgets.Dropdown(options=list(SHOWN), description="Written")
        super().__init__(runs, [self.show_only])

    def told(self, iterations: list[Page], at: int) -> tuple[str, str]:
        """The line and the board of an iteration."""
        return summary(iterations, at), board_html(iterations, at, self.show_only.value)
