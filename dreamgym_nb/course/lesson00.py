"""The exercises of lesson 00: which group teaches, and where a dream went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from .exercises import Exercise, Prediction, Wrong

# ---- 1: predict, which group teaches nothing? --------------------------------------------------

SILENT = Prediction(
    name="silent",
    title="predict: which group teaches nothing?",
    options=("one of four", "two of four", "none of four"),
    solution="none of four",
    wrong=(
        Wrong(
            "one success is too few",
            "one of four",
            "A single success stands out from its group, so it is praised all the more: its "
            "advantage is the largest of all.",
        ),
        Wrong(
            "a draw teaches nothing",
            "two of four",
            "Two against two is no draw: each try is compared with the mean of its group, and "
            "every one of them differs from it.",
        ),
    ),
)

# ---- 2: fix the bug, where did the dream go wrong? ---------------------------------------------

Step = tuple[str, float]  # what was said, and the reward


def first_difference(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    """The reference: the first step, counted from 1, at which two episodes are not the same."""
    for number in range(max(len(dreamed), len(real))):
        if dreamed[number : number + 1] != real[number : number + 1]:
            return number + 1
    return None


def first_difference_with_bug(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    """As the notebook has it: an episode that goes on longer differs in nothing."""
    for number, (a, b) in enumerate(zip(dreamed, real, strict=False), start=1):
        if a != b:
            return number
    return None


def _ignores_rewards(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    return first_difference([(said, 0.0) for said, _ in dreamed], [(said, 0.0) for said, _ in real])


def _counts_from_zero(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    at = first_difference(dreamed, real)
    return None if at is None else at - 1


def _last_difference(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    for number in reversed(range(max(len(dreamed), len(real)))):
        if dreamed[number : number + 1] != real[number : number + 1]:
            return number + 1
    return None


def _ends_with_the_dream(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    return first_difference(dreamed, real[: len(dreamed)])


def _insists_on_one_length(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    for number, (a, b) in enumerate(zip(dreamed, real, strict=True), start=1):
        if a != b:
            return number
    return None


def _stops_before_the_rest(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    both = min(len(dreamed), len(real))
    at = first_difference(dreamed[:both], real[:both])
    return both if at is None and len(dreamed) != len(real) else at


def _always_differs(dreamed: Sequence[Step], real: Sequence[Step]) -> int | None:
    return first_difference(dreamed, real) or max(len(dreamed), len(real))


def _episodes() -> list[tuple[list[Step], list[Step]]]:
    page, item, bought = ("page 1", 0.0), ("item b07", 0.0), ("thank you", 1.0)
    refused = ("thank you", 0.0)
    return [
        ([page], [page]),
        ([bought], [refused]),
        ([page, bought], [page, item, bought]),
        ([page, item], [page]),
        ([page], [page, item]),
        ([page, item, bought], [page, page, refused]),
        ([page, item, bought], [page, item, bought]),
    ]


FIRST_DIFFERENCE = Exercise(
    name="first_difference",
    title="fix the bug: where did the dream go wrong?",
    solution=first_difference,
    cases=_episodes,
    describe=lambda dreamed, real: f"dreamed {list(dreamed)}, real {list(real)}",
    bug=first_difference_with_bug,
    wrong=(
        Wrong(
            "ignores rewards",
            _ignores_rewards,
            "The same page with another reward is the most dangerous difference: the agent is "
            "praised for what fails.",
        ),
        Wrong(
            "counts from zero",
            _counts_from_zero,
            "Steps are counted from 1 here, as in the table below.",
        ),
        Wrong(
            "finds the last one",
            _last_difference,
            "After the first difference the two are in different places, so of course they go on "
            "to differ. The first one is the dream's mistake; later ones may follow from it.",
        ),
        Wrong(
            "ends with the dream",
            _ends_with_the_dream,
            "You notice that reality stops too early, but not that it goes on where the dream has "
            "ended. Either may be the longer one.",
        ),
        Wrong(
            "insists on one length",
            _insists_on_one_length,
            "`strict=True` notices that one episode is longer, but raises an error for it. The "
            "answer is wanted: the first step that only one of them has.",
        ),
        Wrong(
            "stops before the rest",
            _stops_before_the_rest,
            "If one goes on, the first step that only one of them has is where they differ: the "
            "step after the last common one.",
        ),
        Wrong(
            "never agrees",
            _always_differs,
            "Episodes that are the same to the word differ nowhere: the answer is None.",
        ),
    ),
)

EXERCISES = (SILENT, FIRST_DIFFERENCE)
"""In the order of the lesson."""
