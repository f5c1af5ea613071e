"""Exercises whose checks know the usual mistakes.

An exercise of a notebook is a function to write. `check` runs it on small cases, the smallest
first, beside the reference solution:

* an untouched stub (it raises `NotImplementedError`) is *to do*: the reference is used instead, and
  it is said so, hence "Run all" always works;
* a wrong answer is *not yet*: the smallest counter-example is shown, and if the answer does what a
  known wrong answer does on every case, the misconception behind it is named; again the reference
  is used in what follows;
* a right answer is used itself.

Answers of a function are compared with `==`; an error is an answer too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

Answer = Callable[..., Any]
Status = Literal["to do", "not yet", "right"]

_SIGNS: dict[Status, str] = {"to do": "○", "not yet": "△", "right": "●"}


@dataclass(frozen=True)
class Wrong:
    """A wrong answer that learners give, and what they then believe.

    Attributes:
        name: A few words for it.
        answer: The function.
        misconception: What is not so, in a sentence or two.
    """

    name: str
    answer: Answer
    misconception: str


@dataclass(frozen=True)
class Exercise:
    """A function to write, and how it is checked.

    Attributes:
        name: Of the function in the notebook.
        title: What is to be done, in a few words.
        solution: The reference.
        cases: Gives the arguments of each case, the smallest first; made anew for every function
            that is run, so that one that changes its arguments spoils nothing.
        wrong: The known wrong answers.
        describe: Writes the arguments of a case for a reader.
        pure: Whether the arguments must be left as they were.
    """

    name: str
    title: str
    solution: Answer
    cases: Callable[[], Sequence[tuple[Any, ...]]]
    wrong: tuple[Wrong, ...] = ()
    describe: Callable[..., str] = lambda *args: ", ".join(map(repr, args))
    pure: bool = True


@dataclass(frozen=True)
class Verdict:
    """What a check found, and the sentences that say so."""

    status: Status
    text: str


@dataclass(frozen=True)
class _Result:
    """What a function made of a case, and whether it changed its arguments."""

    value: Any = None
    error: str = ""
    changed: bool = False

    def __str__(self) -> str:
        return self.error or repr(self.value)


def judge(exercise: Exercise, answer: Answer) -> Verdict:
    """Compare an answer with the solution on every case, and recognise what is wrong with it.

    Args:
        exercise: The exercise.
        answer: The learner's function.
    """
    try:
        got = _run(exercise, answer)
    except NotImplementedError:
        text = "To do. Until you have written it, the lesson goes on with the reference solution."
        return Verdict("to do", text)
    wanted = _run(exercise, exercise.solution)
    at = next((i for i, pair in enumerate(zip(got, wanted, strict=True)) if _differ(*pair)), None)
    if at is None:
        return Verdict("right", f"Right, on all {len(wanted)} cases.")
    lines = [f"Not yet. For {exercise.describe(*exercise.cases()[at])}"]
    if got[at].changed and not _differ(_Result(got[at].value, got[at].error), wanted[at]):
        lines.append("  the result is right, but your function changed its argument.")
    else:
        lines.append(f"  wanted {wanted[at]}\n  got    {got[at]}")
    for wrong in exercise.wrong:
        if not any(map(_differ, got, _run(exercise, wrong.answer))):
            lines.append(f"({wrong.name}) {wrong.misconception}")
            break
    lines.append(
        "The lesson goes on with the reference solution; change your cell and run it again."
    )
    return Verdict("not yet", "\n".join(lines))


def _run(exercise: Exercise, answer: Answer) -> list[_Result]:
    """Run a function on every case; only a stub's NotImplementedError goes through."""
    results = []
    for arguments in exercise.cases():
        before = copy.deepcopy(arguments) if exercise.pure else None
        try:
            value, error = answer(*arguments), ""
        except NotImplementedError:
            raise
        except Exception as raised:  # whatever a learner's function raises is its answer
            value, error = None, f"{type(raised).__name__}: {raised}"
        results.append(_Result(value, error, exercise.pure and arguments != before))
    return results


def _differ(a: _Result, b: _Result) -> bool:
    return (a.value, a.error, a.changed) != (b.value, b.error, b.changed)


# ---- what a notebook calls -----------------------------------------------------------------

_board: dict[str, tuple[str, Status]] = {}


def check(exercise: Exercise, answer: Answer) -> Answer:
    """Print what is to be said of an answer, note it on the board, and return what to go on with.

    Args:
        exercise: The exercise.
        answer: The learner's function, or the untouched stub.

    Returns:
        The answer if it is right, otherwise the solution.
    """
    verdict = judge(exercise, answer)
    _board[exercise.name] = (exercise.title, verdict.status)
    print(f"{_SIGNS[verdict.status]} {exercise.name}: {verdict.text}")
    return answer if verdict.status == "right" else exercise.solution


def board_html() -> str:
    """Return a list of the exercises that were checked in this notebook, and how each stands."""
    right = sum(status == "right" for _, status in _board.values())
    items = "".join(
        f"<li>{_SIGNS[status]} <strong>{status}</strong>: {escape(title)} "
        f"(<code>{escape(name)}</code>)</li>"
        for name, (title, status) in _board.items()
    )
    return f"<p>{right} of {len(_board)} exercises are right.</p><ul>{items}</ul>"


def board() -> None:
    """Display the progress board, see `board_html`."""
    from IPython.display import HTML, display

    display(HTML(board_html()))
