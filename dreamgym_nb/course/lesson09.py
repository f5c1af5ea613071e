"""Lesson 09: the switches of the experience model, and the exercises on telling results apart.

The exercises: sort what a dream wrote, a guess, a difference that may be none, the best seed, and
the verdict on a claim.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..prompts import Format
from .exercises import Exercise, Prediction, Wrong
from .lesson09_luck import DIFFERS, GAIN, VERDICT

SWITCHES: Mapping[str, Format] = {
    "full": Format(),
    "no memories": Format(memories=0),
    "no history": Format(history=0),
    "no task": Format(task=False),
    "no reasoning": Format(reasoning=False),
}
"""The parts of Eq. 4 that can be left out, one at a time."""

# ---- 1: what a dream wrote ----

Count = tuple[int, int, int]


def sort_lines(said: str, truth: str, prompt: str) -> Count:
    """The reference: lines that are true, that were borrowed from the prompt, that were made up."""
    true = set(truth.split("\n"))
    wrong = [line for line in said.split("\n") if line not in true]
    borrowed = sum(line in prompt for line in wrong)
    return len(said.split("\n")) - len(wrong), borrowed, len(wrong) - borrowed


def _wrong_is_made_up(said: str, truth: str, prompt: str) -> Count:
    true, borrowed, made_up = sort_lines(said, truth, prompt)
    return true, 0, borrowed + made_up


def _prompt_first(said: str, truth: str, prompt: str) -> Count:
    lines = said.split("\n")
    rest = [line for line in lines if line not in prompt]
    true = sum(line in truth.split("\n") for line in rest)
    return true, len(lines) - len(rest), len(rest) - true


def _counts_what_is_missing(said: str, truth: str, prompt: str) -> Count:
    true, borrowed, made_up = sort_lines(said, truth, prompt)
    missing = [line for line in truth.split("\n") if line not in said.split("\n")]
    return true, borrowed, made_up + len(missing)


def _whole_pages(said: str, truth: str, prompt: str) -> Count:
    n = len(said.split("\n"))
    return (n, 0, 0) if said == truth else (0, n, 0) if said in prompt else (0, 0, n)


def _letters_of_the_truth(said: str, truth: str, prompt: str) -> Count:
    lines = said.split("\n")
    wrong = [line for line in lines if line not in truth]
    borrowed = sum(line in prompt for line in wrong)
    return len(lines) - len(wrong), borrowed, len(wrong) - borrowed


def _whole_lines_of_the_prompt(said: str, truth: str, prompt: str) -> Count:
    wrong = [line for line in said.split("\n") if line not in truth.split("\n")]
    borrowed = sum(line in prompt.split("\n") for line in wrong)
    return len(said.split("\n")) - len(wrong), borrowed, len(wrong) - borrowed


def _line_against_line(said: str, truth: str, prompt: str) -> Count:
    pairs = list(zip(said.split("\n"), truth.split("\n"), strict=False))
    wrong = [line for line, real in pairs if line != real]
    borrowed = sum(line in prompt for line in wrong)
    return len(pairs) - len(wrong), borrowed, len(wrong) - borrowed


SORT_LINES = Exercise(
    name="sort_lines",
    title="sort what a dream wrote: true, borrowed, made up",
    solution=sort_lines,
    cases=lambda: [
        ("mug $5", "mug $5", "search[mug]"),
        ("mug $9", "mug $5", "search[mug]"),
        ("mug $9", "mug $5", "gave mug $9"),
        ("mug $5", "mug $5", "gave mug $5"),
        ("mug $5", "mug $5\nrug $7", ""),
        ("mug $5", "mug $50", ""),
        ("mug $9", "mug $5", "search[mug]\nmug $9"),
        ("rug $7\nmug $5", "mug $5\nrug $7", ""),
        ("mug $5\nrug $7\nhat $1", "mug $5\nrug $8", "gave rug $7"),
    ],
    describe=lambda said, truth, prompt: f"said {said!r}, truth {truth!r}, prompt {prompt!r}",
    wrong=(
        Wrong(
            "all that is wrong is made up",
            _wrong_is_made_up,
            "A line that stands in the prompt was read, from the wrong memory. That is cured by "
            "better memories; what was made up is not.",
        ),
        Wrong(
            "asks the prompt first",
            _prompt_first,
            "To copy what is true is what a memory is for. Ask the truth first: only a line that "
            "is wrong can be borrowed.",
        ),
        Wrong(
            "counts what is missing",
            _counts_what_is_missing,
            "What was left out was not invented. It is an error too, and the exact page counts "
            "it; here only what was written is sorted.",
        ),
        Wrong(
            "whole pages",
            _whole_pages,
            "A page can be half right. Sort line by line, or one wrong price makes everything "
            "on the page an invention.",
        ),
        Wrong(
            "letters of the truth",
            _letters_of_the_truth,
            "`in` on a text finds letters anywhere: *mug $5* stands in *mug $50*. A line is true "
            "if it is one of the lines of the real page.",
        ),
        Wrong(
            "whole lines of the prompt",
            _whole_lines_of_the_prompt,
            "In the prompt the first line of a remembered page stands behind a marker, such as "
            "*gives*, on one line with it. Ask whether the prompt contains the text.",
        ),
        Wrong(
            "line against line",
            _line_against_line,
            "A line is true wherever the real page has it. Compared place by place, a page of true "
            "lines in another order would be all wrong, and a line too many would not be seen.",
        ),
    ),
)

# ---- 2: predict, then run ----

GUESS = Prediction(
    name="guess",
    title="predict: which part does the dream miss most?",
    options=("memories", "history", "task", "reasoning"),
    solution="memories",
    wrong=(
        Wrong(
            "it needs the past",
            "history",
            "In the shop the abstract state already tells what was done: the page behind, the "
            "options chosen. History matters where the state forgets.",
        ),
        Wrong(
            "it needs the goal",
            "task",
            "The task decides what a purchase is worth, and nothing else: pages are the same for "
            "everybody. Few steps are purchases.",
        ),
        Wrong(
            "it needs to think",
            "reasoning",
            "Thinking helps with what must be weighed: purchases, and what cannot work. Most "
            "pages only have to be looked up.",
        ),
    ),
)

# ---- 3 to 5: differences, gains and claims: in lesson09_luck.py ----

EXERCISES = (SORT_LINES, GUESS, DIFFERS, GAIN, VERDICT)
"""In the order of the lesson."""
