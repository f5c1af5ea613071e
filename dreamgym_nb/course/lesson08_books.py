"""Exercises 1 and 2 of lesson 08: the books of a run, and a budget that is kept.

Each has its reference, its cases from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from .exercises import Exercise, Wrong

# ---- 1: the books ----

Entry = tuple[str, str, str, int]  # batch, "real" or "dream", "log", "training" or "exam", steps


def bill(book: Sequence[Entry]) -> dict[str, int]:
    """The reference: each batch once, exams left out; the log apart from the steps of RL."""
    batches = {batch: (world, use, n) for batch, world, use, n in book}
    paid = {"offline": 0, "real": 0, "dreamed": 0}
    for world, use, n in batches.values():
        if use != "exam":
            kind = "dreamed" if world == "dream" else "offline" if use == "log" else "real"
            paid[kind] += n
    return paid


def _dreams_are_real(book: Sequence[Entry]) -> dict[str, int]:
    paid = bill(book)
    return {**paid, "real": paid["real"] + paid["dreamed"]}


def _exams_are_paid(book: Sequence[Entry]) -> dict[str, int]:
    return bill([(b, w, "training" if use == "exam" else use, n) for b, w, use, n in book])


def _forgets_the_log(book: Sequence[Entry]) -> dict[str, int]:
    return {**bill(book), "offline": 0}


def _pays_twice(book: Sequence[Entry]) -> dict[str, int]:
    return bill([(f"{i}", w, use, n) for i, (_, w, use, n) in enumerate(book)])


def _only_the_last(book: Sequence[Entry]) -> dict[str, int]:
    last = {(w, use): row for row in book for w, use in [row[1:3]]}
    return bill(list(last.values()))


def _looks_are_dreamed(book: Sequence[Entry]) -> dict[str, int]:
    looks = [(b, w, "training" if w == "dream" else use, n) for b, w, use, n in book]
    return bill(looks)


def _log_is_practice_too(book: Sequence[Entry]) -> dict[str, int]:
    paid = bill(book)
    return {**paid, "real": paid["real"] + paid["offline"]}


def _leaves_zeros_out(book: Sequence[Entry]) -> dict[str, int]:
    return {kind: n for kind, n in bill(book).items() if n}


BILL = Exercise(
    name="bill",
    title="the books of a run: what counts as a real step",
    solution=bill,
    cases=lambda: [
        ([("log", "real", "log", 900)],),
        ([("nights", "dream", "training", 700)],),
        ([("mornings", "real", "training", 80), ("marks", "real", "exam", 300)],),
        ([("log", "real", "log", 900), ("log", "real", "log", 900)],),
        (
            [
                ("log", "real", "log", 900),
                ("log", "real", "log", 900),
                ("nights", "dream", "training", 700),
                ("look", "dream", "exam", 50),
                ("mornings", "real", "training", 80),
                ("more", "real", "training", 40),
                ("marks", "real", "exam", 300),
            ],
        ),
    ],
    describe=lambda book: f"the book {list(book)}",
    wrong=(
        Wrong(
            "dreamed steps are real",
            _dreams_are_real,
            "A dreamed step costs a computation and nothing else: nobody had to reset a shop for "
            "it. It is counted, but apart.",
        ),
        Wrong(
            "exams are paid",
            _exams_are_paid,
            "Nothing was learned from an exam, and every method sits the same one, so it is left "
            "out of what learning cost. (Choose an agent by it, and it becomes training.)",
        ),
        Wrong(
            "forgets the log",
            _forgets_the_log,
            "The log is experience of the real world that somebody paid for, before RL began. A "
            "dream without real steps in RL is not a dream without real steps.",
        ),
        Wrong(
            "pays twice",
            _pays_twice,
            "The same batch stands in the book each time that somebody reads it: the experience "
            "model and the agent's start learn from one log. It was taken once.",
        ),
        Wrong(
            "only the last of a kind",
            _only_the_last,
            "A run may practise several times. Each batch of real practice was paid for, not only "
            "the one that ended well.",
        ),
        Wrong(
            "looks into the dream are dreamed",
            _looks_are_dreamed,
            "An exam is left out in either world: from a look into the dream nothing was learned.",
        ),
        Wrong(
            "the log is practice, too",
            _log_is_practice_too,
            "The log's steps are real, but they stand under offline. Under real is the practice of "
            "RL alone; counted in both, the log would be paid twice.",
        ),
        Wrong(
            "leaves out what is 0",
            _leaves_zeros_out,
            "A bill names all three kinds, those without a step as well: begin with three zeros.",
        ),
    ),
)

# ---- 2: fix the bug: a budget that is kept ----


def may_start(lengths: Sequence[int], budget: int) -> bool:
    """The reference: whether an iteration as long as the longest so far still fits."""
    return not lengths or sum(lengths) + max(lengths) <= budget


def _looks_back_only(lengths: Sequence[int], budget: int) -> bool:
    """What stands in the notebook: it starts as long as anything is left."""
    return sum(lengths) < budget


def _expects_the_usual(lengths: Sequence[int], budget: int) -> bool:
    return not lengths or sum(lengths) + fmean(lengths) <= budget


def _expects_the_last(lengths: Sequence[int], budget: int) -> bool:
    return not lengths or sum(lengths) + lengths[-1] <= budget


def _never_begins(lengths: Sequence[int], budget: int) -> bool:
    return bool(lengths) and may_start(lengths, budget)


def _wastes_the_rest(lengths: Sequence[int], budget: int) -> bool:
    return not lengths or sum(lengths) + max(lengths) < budget


def _longest_of_none(lengths: Sequence[int], budget: int) -> bool:
    return sum(lengths) + max(lengths) <= budget


MAY_START = Exercise(
    name="may_start",
    title="fix the bug: a budget that is really kept",
    solution=may_start,
    cases=lambda: [
        ([], 100),
        ([60], 100),
        ([50], 100),
        ([120], 100),
        ([40, 80], 190),
        ([80, 40], 190),
        ([30, 30, 30], 121),
    ],
    describe=lambda lengths, budget: f"iterations of {list(lengths)} steps, budget {budget}",
    bug=_looks_back_only,
    wrong=(
        Wrong(
            "expects the usual",
            _expects_the_usual,
            "About half of all iterations are longer than the mean one, and each of these would "
            "go beyond the budget. A promise needs the longest.",
        ),
        Wrong(
            "expects the last",
            _expects_the_last,
            "The last one may have been short by luck. An agent that fails again wanders to the "
            "step limit, and the next iteration is long.",
        ),
        Wrong(
            "never begins",
            _never_begins,
            "Before the first iteration nothing tells how long it will be. It is always run, or "
            "nothing would ever be.",
        ),
        Wrong(
            "wastes the rest",
            _wastes_the_rest,
            "An iteration that fits exactly is within the budget: at most means ≤.",
        ),
        Wrong(
            "the longest of none",
            _longest_of_none,
            "Before the first iteration there is no longest one, and `max` of an empty list is an "
            "error. The first iteration is always run.",
        ),
    ),
)
