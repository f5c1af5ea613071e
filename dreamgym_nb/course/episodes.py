"""A dreamed episode and its real counterpart, side by side.

An experience model is judged by what it answers to the same actions. So the actions of a dream are
played again in the real world (`replay`), and the two episodes are set next to each other, line by
line (`side_by_side_html`). Where they differ stands a sign and a word, not only a colour; the
colours are see-through, so that the table is legible on a white and on a black page; and it is an
ordinary table, so that it stays readable where a page strips every style.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape
from typing import TYPE_CHECKING

from ..errors import UserError
from ..experience import Task, Trajectory, Transition
from ..worlds.base import play
from .views import NO_MATHS

if TYPE_CHECKING:
    from ..worlds.base import World

DIFFERS = "≠ differs here"
SAME = "= same"

# A long line goes on further to the right, so that it is not taken for two lines of the page.
_LINE = "border-left:3px solid {};padding:0 0 0 1.5em;text-indent:-1em;overflow-wrap:anywhere;{}"
_SAME_LINE = _LINE.format("transparent", "")
_OTHER_LINE = _LINE.format("#D55E00", "background:rgba(213,94,0,.16);")
_PAGE = "font-family:ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;line-height:1.45"
_SMALL = "font-size:90%;opacity:.75"
_RULE = "1px solid rgba(128,128,128,.35)"
_TABLE = (
    "table-layout:fixed;width:100%;max-width:64em;border-collapse:collapse;margin:1em 0;"
    "line-height:1.45;color:inherit"
)
_ROW = "background:transparent"
_CELL = (
    "text-align:left;vertical-align:top;padding:.25em .75em .6em .25em;border:0;white-space:normal;"
    "line-height:1.45"
)
_HEAD = (
    "text-align:left;vertical-align:baseline;padding:.5em .75em .25em .25em;border:0;"
    f"font-weight:normal;white-space:normal;line-height:1.45;border-top:{_RULE}"
)


def replay(world: World, task: Task, actions: Sequence[str]) -> Trajectory:
    """Play given actions in a real world and record what it answers, as `worlds.base.play` does.

    It stops where the real episode ends, or where the actions do; in the second case the result
    is neither terminated nor truncated. Each step is a real transition and is counted in
    `world.real_steps`. An episode that `world` was in the middle of is lost.

    Args:
        world: The real world.
        task: What to achieve in it.
        actions: The actions, for example those of a dreamed episode.

    Raises:
        UserError: If the task is not one of this world, or `actions` is a single text.
    """
    if isinstance(actions, str):
        raise UserError(f"replay needs a list of actions: write [{actions!r}] to play just one.")
    left = iter(actions)
    name = f"replay/{task.id}"
    return play(world, task, lambda _: next(left, None), id=name, behaviour="replay")


def first_difference(a: Trajectory, b: Trajectory) -> int | None:
    """Return the index (from 0) of the first step at which two episodes differ, or None.

    A step differs if its observation, its reward or its termination does, or if one of the two
    episodes has already ended there. Reasoning traces are not compared: the model may say the
    same in other words.
    """
    return next((i for i in range(_steps(a, b)) if _differs(_at(a, i), _at(b, i))), None)


def step_summary(dream: Trajectory, real: Trajectory, step: int) -> str:
    """Say in one line of plain text which step this is, and whether the two agree there.

    Args:
        dream: The dreamed episode.
        real: The same actions in the real world.
        step: Index of the step, from 0; the line counts from 1.

    Raises:
        UserError: If the two do not belong together, or there is no such step.
    """
    _check(dream, real, step)
    action = (_at(dream, step) or _at(real, step)).action
    return f"Step {step + 1} of {_steps(dream, real)}, {action}: {_verdict(dream, real, step)}"


def side_by_side_html(dream: Trajectory, real: Trajectory, step: int | None = None) -> str:
    """Return an HTML table of a dreamed episode and of the same actions in the real world.

    Args:
        dream: The dreamed episode.
        real: The same actions in the real world, see `replay`.
        step: Show only the step with this index (from 0), with the abstract states before and
            after it and the teacher's trace R*; the whole episode if None.

    Raises:
        UserError: If the two do not belong together, or there is no such step.
    """
    _check(dream, real, step)
    rows = _episode_rows(dream, real) if step is None else _step_rows(dream, real, step)
    columns = ("In the dream", f"In the real {real.task.world}")
    head = "".join(
        f'<th scope="col" style="{_CELL};font-weight:bold">{escape(c)}</th>' for c in columns
    )
    return (
        f'<table {NO_MATHS} style="{_TABLE}">'
        f'<caption style="text-align:left;padding:.25em;caption-side:top;color:inherit">'
        f'<span style="{_SMALL}">Task:</span> {escape(dream.task.instruction)}</caption>'
        f'<thead style="border:0"><tr style="{_ROW}">{head}</tr></thead>{rows}</table>'
    )


def show_side_by_side(dream: Trajectory, real: Trajectory) -> None:
    """Display `side_by_side_html` of two episodes in the notebook."""
    from IPython.display import HTML, display

    display(HTML(side_by_side_html(dream, real)))


# ---- comparing ---------------------------------------------------------------------


def _steps(a: Trajectory, b: Trajectory) -> int:
    return max(len(a.transitions), len(b.transitions))


def _at(trajectory: Trajectory, step: int) -> Transition | None:
    """Return a step, or None if the episode had ended before it."""
    return trajectory.transitions[step] if step < len(trajectory.transitions) else None


def _differs(a: Transition | None, b: Transition | None) -> bool:
    if a is None or b is None:
        return True
    mine = (a.observation, a.reward, a.terminated)
    return mine != (b.observation, b.reward, b.terminated)


def _verdict(dream: Trajectory, real: Trajectory, step: int) -> str:
    """Say whether the two answers to one step agree; a difference before it may linger."""
    d, r = _at(dream, step), _at(real, step)
    if not _differs(d, r):
        return SAME if d.state == r.state else f"{SAME}, from different states"
    return f"{DIFFERS} for the first time" if step == first_difference(dream, real) else DIFFERS


def _check(dream: Trajectory, real: Trajectory, step: int | None) -> None:
    """Refuse two episodes whose comparison would mean nothing."""
    if any(t.source != "dream" for t in dream.transitions) or any(
        t.source != "real" for t in real.transitions
    ):
        raise UserError(
            "Give the dreamed episode first and the real one second: the sources of the steps "
            "say that it is not so."
        )
    same_task = (dream.task.world, dream.task.id) == (real.task.world, real.task.id)
    pairs = zip(dream.transitions, real.transitions, strict=False)
    if not same_task or any(d.action != r.action for d, r in pairs):
        raise UserError(
            "The two episodes have different tasks or actions, so their answers cannot be "
            "compared. Play the dream's actions in the real world: "
            "replay(world, dream.task, [t.action for t in dream.transitions])."
        )
    if step is not None and not 0 <= step < _steps(dream, real):
        raise UserError(
            f"There is no step {step}: the episode has {_steps(dream, real)}, counted from 0."
        )


def _compared(mine: str, other: str) -> list[tuple[str, bool]]:
    """Split a page into (line, differs); lines that only the other has become a remark."""
    a, b = mine.split("\n"), other.split("\n")
    found: list[tuple[str, bool]] = []
    for tag, i, j, k, m in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        found += [(line, tag != "equal") for line in a[i:j]]
        if tag == "insert":
            found.append((f"({_count(m - k, 'line')} missing here)", True))
    return found


# ---- writing -----------------------------------------------------------------------


def _episode_rows(dream: Trajectory, real: Trajectory) -> str:
    """Write the start, one body per step, and the outcome."""
    rows = _group(
        "Start" if dream.observation == real.observation else f"Start {_badge(DIFFERS)}",
        _page(dream.observation, real.observation),
        _page(real.observation, dream.observation),
    )
    for step in range(_steps(dream, real)):
        d, r = _at(dream, step), _at(real, step)
        why = _titled("Its reasoning, R<sub>t</sub>", _page(d.reasoning)) if d else ""
        rows += _group(
            _title(dream, real, step), _answer(d, r, "dream") + why, _answer(r, d, "real")
        )
    return rows + _outcome(dream, real)


def _step_rows(dream: Trajectory, real: Trajectory, step: int) -> str:
    """Write one step: state, answer, reasoning, next state."""
    d, r = _at(dream, step), _at(real, step)
    rows = _group(_title(dream, real, step), _answer(d, r, "dream"), _answer(r, d, "real"))
    rows += _group(
        "Reasoning: the model's trace R<sub>t</sub>, the teacher's trace R*",
        _page(d.reasoning) if d else _over("dream"),
        _page(r.reasoning) if r else _over("real"),
    )
    for title, name in (
        ("before, s<sub>t</sub>", "state"),
        ("after, s<sub>t+1</sub>", "next_state"),
    ):
        mine, true = (getattr(t, name) if t else None for t in (d, r))
        rows += _group(
            f"Abstract state {title} {_badge(SAME if mine == true else DIFFERS)}",
            _over("dream") if mine is None else _page(mine, mine if true is None else true),
            _over("real") if true is None else _page(true, true if mine is None else mine),
        )
    return rows


def _title(dream: Trajectory, real: Trajectory, step: int) -> str:
    action = (_at(dream, step) or _at(real, step)).action
    return (
        f"Step {step + 1} of {_steps(dream, real)}: "
        f'<strong style="{_PAGE}">{escape(action) or "(no action)"}</strong> '
        f"{_badge(_verdict(dream, real, step))}"
    )


def _answer(mine: Transition | None, other: Transition | None, where: str) -> str:
    """Write what one world answered: its page, the reward, whether the episode ended."""
    if mine is None:
        return _over(where)
    compared = mine if other is None else other
    outcome, reference = _reward(mine), _reward(compared)
    marked = outcome if outcome == reference else f"≠ {outcome}"
    style = _SAME_LINE if outcome == reference else _OTHER_LINE
    return (
        _page(mine.observation, compared.observation)
        + f'<div style="{style}margin-top:.3em">{marked}</div>'
    )


def _reward(step: Transition) -> str:
    return f"reward {step.reward:g}" + (", the episode ends" if step.terminated else "")


def _over(where: str) -> str:
    return f'<div style="{_OTHER_LINE}">≠ the {where} episode was already over</div>'


def _outcome(dream: Trajectory, real: Trajectory) -> str:
    """Write how both ended, what they cost, and what to make of it."""
    first = first_difference(dream, real)
    if first is None:
        remark = "The dream and the real world agree at every step."
    else:
        remark = (
            f"The first difference is at step {first + 1} of {_steps(dream, real)}; "
            "differences after it can follow from it."
        )
    agree = dream.success == real.success
    title = f"Outcome {_badge(SAME if agree else DIFFERS)}"
    body = _group(title, _ending(dream, agree), _ending(real, agree), tag="tfoot")
    note = f'<tr style="{_ROW}"><td colspan="2" style="{_CELL}">{remark}</td></tr>'
    return body.replace("</tfoot>", f"{note}</tfoot>")


def _ending(trajectory: Trajectory, agree: bool) -> str:
    steps = trajectory.transitions
    real = sum(t.source == "real" for t in steps)
    if steps and steps[-1].terminated:
        end = f"ended after {_count(len(steps), 'step')}"
    elif trajectory.truncated:
        end = f"cut by the limit of {_count(len(steps), 'step')}"
    else:
        end = f"not over after {_count(len(steps), 'step')}, when the actions ran out"
    dreamed = f" ({len(steps) - real} dreamed)" if len(steps) > real else ""
    result = "no success" if trajectory.truncated else "failure"  # a cut is no failure
    result = "success" if trajectory.success else result
    return (
        f'<div style="{_SAME_LINE if agree else _OTHER_LINE}">{"" if agree else "≠ "}'
        f"<strong>{result}</strong>, {end}</div>"
        f'<div style="{_SAME_LINE}">cost: {_count(real, "real transition")}{dreamed}</div>'
    )


def _group(title: str, dream: str, real: str, tag: str = "tbody") -> str:
    """Write a title over both columns and the two cells under it."""
    return (
        f'<{tag} style="border:0"><tr style="{_ROW}">'
        f'<th scope="rowgroup" colspan="2" style="{_HEAD}">{title}</th></tr>'
        f'<tr style="{_ROW}"><td style="{_CELL}">{dream}</td><td style="{_CELL}">{real}</td></tr>'
        f"</{tag}>"
    )


def _page(mine: str, other: str | None = None) -> str:
    """Write a text line by line and mark the lines that `other` does not have."""
    empty = "(no text)"
    lines = _compared(mine or empty, mine or empty if other is None else other or empty)
    return (
        f'<div style="{_PAGE}">'
        + "".join(
            f'<div style="{_OTHER_LINE}">≠ {escape(line) or "(empty line)"}</div>'
            if differs
            else f'<div style="{_SAME_LINE}">{escape(line) or "&nbsp;"}</div>'
            for line, differs in lines
        )
        + "</div>"
    )


def _titled(title: str, body: str) -> str:
    return f'<div style="{_SAME_LINE}{_SMALL};margin-top:.5em">{title}</div>{body}'


def _badge(text: str) -> str:
    """Write a verdict: quiet for the same, strong for a difference."""
    if text.startswith(SAME):
        return f'<span style="{_SMALL};margin-left:.5em">{text}</span>'
    return (
        '<span style="background:rgba(213,94,0,.16);border:1px solid #D55E00;border-radius:3px;'
        f'padding:0 .4em;margin-left:.5em;font-weight:bold">{text}</span>'
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
