"""Exercises whose checks know the usual mistakes.

Most exercises are a function to write, or to mend. `check` runs it on small cases, the smallest
first, beside the reference solution:

* an untouched stub (it raises `NotImplementedError`, or still does what the planted bug does) is
  *to do*: the reference is used instead, and it is said so, hence "Run all" always works;
* a wrong answer is *not yet*: the smallest counter-example is shown, and if the answer does what a
  known wrong answer does on every case, the misconception behind it is named; again the reference
  is used in what follows;
* a right answer is used itself.

A `Prediction` is a guess that is made before a cell is run. A wrong one is *surprised*, which is
worth as much: it is told what the guess takes for granted.

The exercises of a lesson stand in `lessonNN.EXERCISES`; a test proves for each of them that its
notebook runs untouched, that the solution passes, and that every wrong answer is recognised.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Answer = Callable[..., Any]
Status = Literal["to do", "not yet", "surprised", "right"]

SIGNS: dict[Status, str] = {"to do": "○", "not yet": "△", "surprised": "◆", "right": "●"}
_TOLERANCE = 1e-6
_GOES_ON = "the lesson goes on with the reference solution"


@dataclass(frozen=True)
class Wrong:
    """A wrong answer that learners give, and what they then believe.

    Attributes:
        name: A few words for it.
        answer: The function; of a prediction the option.
        misconception: What is not so, in a sentence or two.
    """

    name: str
    answer: Any
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
        bug: In an exercise to mend, the function as the notebook has it.
    """

    name: str
    title: str
    solution: Answer
    cases: Callable[[], Sequence[tuple[Any, ...]]]
    wrong: tuple[Wrong, ...] = ()
    describe: Callable[..., str] = lambda *args: ", ".join(map(repr, args))
    pure: bool = True
    bug: Answer | None = None


@dataclass(frozen=True)
class Prediction:
    """A guess to make before a cell is run.

    Attributes:
        name: Of the variable in the notebook, which holds None until somebody guesses.
        title: What is guessed, in a few words.
        options: The answers to choose from.
        solution: The one that came out at lesson size.
        wrong: The other ones, with what speaks for each and why it is not so.
    """

    name: str
    title: str
    options: tuple[str, ...]
    solution: str
    wrong: tuple[Wrong, ...] = ()


AnyExercise = Exercise | Prediction


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
        return self.error or repr(_plain(self.value))

    def in_full(self) -> str:
        """With all digits, for a difference that the rounded ones do not show."""
        return self.error or repr(self.value)


def judge(exercise: AnyExercise, answer: Any, outcome: str | None = None) -> Verdict:
    """Compare an answer with the solution, and recognise what is wrong with it.

    Args:
        exercise: The exercise.
        answer: The learner's function; of a prediction the guess.
        outcome: Of a prediction, what came out in this run; the solution when omitted.
    """
    if isinstance(exercise, Prediction):
        return _judge_guess(exercise, answer, exercise.solution if outcome is None else outcome)
    try:
        got = _run(exercise, answer)
    except NotImplementedError:
        return Verdict("to do", f"To do. Until you have written it, {_GOES_ON}.")
    wanted = _run(exercise, exercise.solution)
    at = next((i for i, pair in enumerate(zip(got, wanted, strict=True)) if _differ(*pair)), None)
    if at is None:
        return Verdict("right", f"Right, on all {len(wanted)} cases.")
    example = [f"For {exercise.describe(*exercise.cases()[at])}"]
    if got[at].changed and not _differ(_Result(got[at].value, got[at].error), wanted[at]):
        example.append("  the result is right, but your function changed its argument.")
    else:
        alike = str(wanted[at]) == str(got[at])
        shown = [r.in_full() if alike else str(r) for r in (wanted[at], got[at])]
        example.append("  wanted {}\n  got    {}".format(*shown))
    if exercise.bug is not None and not any(map(_differ, got, _run(exercise, exercise.bug))):
        head = f"To do. The bug is still there; until you have found it, {_GOES_ON}."
        return Verdict("to do", "\n".join([head, *example]))
    example[0] = f"Not yet. {example[0]}"
    for wrong in exercise.wrong:
        if not any(map(_differ, got, _run(exercise, wrong.answer))):
            example.append(f"({wrong.name}) {wrong.misconception}")
            break
    last = f"{_GOES_ON[0].upper()}{_GOES_ON[1:]}; change your cell and run it again."
    return Verdict("not yet", "\n".join([*example, last]))


def _judge_guess(exercise: Prediction, guess: Any, outcome: str) -> Verdict:
    """Compare a guess with what came out."""
    options = ", ".join(map(repr, exercise.options))
    if guess is None:
        text = f"To do. It came out as {outcome!r}; next time, guess before you run ({options})."
        return Verdict("to do", text)
    if guess not in exercise.options:
        return Verdict("not yet", f"Not yet. {guess!r} is none of the options: take {options}.")
    if guess == outcome:
        return Verdict("right", f"Right: you guessed {guess!r}, and so it came.")
    text = f"A surprise. You guessed {guess!r}, and it came out as {outcome!r}."
    if outcome == exercise.solution:
        [wrong] = [w for w in exercise.wrong if w.answer == guess]
        text += f"\n({wrong.name}) {wrong.misconception}"
    return Verdict("surprised", text)


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
        changed = exercise.pure and not same(arguments, before)
        results.append(_Result(value, error, changed))
    return results


def _differ(a: _Result, b: _Result) -> bool:
    return (a.error, a.changed) != (b.error, b.changed) or not same(a.value, b.value)


def _plain(value: Any) -> Any:
    """`value` as a reader wants to see it: Python's own numbers, six digits of each."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {key: _plain(held) for key, held in value.items()}
    return value


def same(a: Any, b: Any) -> bool:
    """Tell whether two answers are the same, as a teacher would see it.

    Numbers may differ by rounding, NaN is NaN, and it does not matter whether a row of values is
    a list, a tuple, an array or a tensor. Everything else is compared with `==`.
    """
    a, b = (x.tolist() if hasattr(x, "tolist") else x for x in (a, b))
    if isinstance(a, float) and isinstance(b, (int, float)) or isinstance(b, float):
        if not isinstance(a, (int, float)):
            return False
        close = math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
        return close or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


# ---- what a notebook calls -----------------------------------------------------------------

_board: dict[str, tuple[str, Status]] = {}


def check(exercise: AnyExercise, answer: Any, outcome: str | None = None) -> Any:
    """Print what is to be said of an answer, note it on the board, and return what to go on with.

    Args:
        exercise: The exercise.
        answer: The learner's function, or the untouched stub; of a prediction the guess or None.
        outcome: Of a prediction, what came out in this run.

    Returns:
        The answer if it is right, otherwise the solution; of a prediction what came out.
    """
    verdict = judge(exercise, answer, outcome)
    _board[exercise.name] = (exercise.title, verdict.status)
    print(f"{SIGNS[verdict.status]} {exercise.name}: {verdict.text}")
    if isinstance(exercise, Prediction):
        return exercise.solution if outcome is None else outcome
    return answer if verdict.status == "right" else exercise.solution


def board_html() -> str:
    """Return the progress board of this notebook as HTML, see `boards`."""
    from . import boards

    return boards.Board.now().html()


def board(name: str = "") -> None:
    """Show the progress board, and save it as a small file that can be handed in.

    Args:
        name: Whose it is, for a class that hands boards in.
    """
    from . import boards

    boards.show(name)
