"""Lesson 10: a world as a table, and the exercises on bounds and on what an error costs.

The exercises: a policy's values, the two errors of Lemma 1, the charge of one error, what practice
in a wrong dream brings, and the promise of Theorem 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .exercises import Exercise, Prediction, Wrong
from .lesson10_bounds import PROMISE, WORST_ERRORS

Rows = Sequence[Sequence[Any]]

# ---- 1: what a policy is worth ----


def evaluate(goes: Rows, pays: Rows, policy: Rows, gamma: float, sweeps: int) -> list[float]:
    """The reference: sweeps of Bellman's equation from zeros, each on the values before it."""
    values = [0.0] * len(goes)
    for _ in range(sweeps):
        values = [
            sum(
                p * (r + gamma * values[s])
                for p, r, s in zip(policy[i], pays[i], goes[i], strict=True)
            )
            for i in range(len(goes))
        ]
    return values


def _best(goes: Rows, pays: Rows, policy: Rows, gamma: float, sweeps: int) -> list[float]:
    values = [0.0] * len(goes)
    for _ in range(sweeps):
        values = [
            max(r + gamma * values[s] for r, s in zip(pays[i], goes[i], strict=True))
            for i in range(len(goes))
        ]
    return values


def _in_place(goes: Rows, pays: Rows, policy: Rows, gamma: float, sweeps: int) -> list[float]:
    values = [0.0] * len(goes)
    for _ in range(sweeps):
        for i in range(len(goes)):
            values[i] = sum(
                p * (r + gamma * values[s])
                for p, r, s in zip(policy[i], pays[i], goes[i], strict=True)
            )
    return values


def _discounts_the_reward(*case: Any) -> list[float]:
    return [case[3] * value for value in evaluate(*case)]


def _no_discount(goes: Rows, pays: Rows, policy: Rows, gamma: float, sweeps: int) -> list[float]:
    return evaluate(goes, pays, policy, 1.0, sweeps)


def _no_policy(goes: Rows, pays: Rows, policy: Rows, gamma: float, sweeps: int) -> list[float]:
    even = [[1 / len(row)] * len(row) for row in policy]
    return evaluate(goes, pays, even, gamma, sweeps)


_CHAIN = ([[1, 0], [2, 0], [2, 2]], [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
_BACK = ([[1], [0]], [[0.0], [1.0]])

EVALUATE = Exercise(
    name="evaluate",
    title="what a policy is worth, state by state",
    solution=evaluate,
    cases=lambda: [
        ([[0]], [[1.0]], [[1.0]], 0.5, 1),
        ([[0]], [[1.0]], [[1.0]], 0.5, 2),
        ([[0]], [[1.0]], [[1.0]], 0.5, 0),
        ([[0, 0]], [[1.0, 0.0]], [[0.25, 0.75]], 0.5, 1),
        (*_BACK, [[1.0], [1.0]], 0.5, 2),
        (*_CHAIN, [[0.5, 0.5], [0.8, 0.2], [1.0, 0.0]], 0.9, 3),
        (*_CHAIN, [[0.5, 0.5], [0.8, 0.2], [1.0, 0.0]], 0.9, 50),
    ],
    describe=lambda goes, pays, policy, gamma, sweeps: (
        f"goes={goes}, pays={pays}, policy={policy}, gamma={gamma}, {sweeps} sweeps"
    ),
    wrong=(
        Wrong(
            "takes the best action",
            _best,
            "A maximum over actions tells what the best policy could earn. Here the policy is "
            "given: weigh each action by how often it takes it.",
        ),
        Wrong(
            "changes values while it reads them",
            _in_place,
            "It converges to the same, but a sweep that reads what it has just written is "
            "another sweep. Make a new list from the old one.",
        ),
        Wrong(
            "discounts the reward at hand",
            _discounts_the_reward,
            "The discount stands before what comes later. The reward of this very step counts "
            "whole.",
        ),
        Wrong(
            "forgets the discount",
            _no_discount,
            "Without gamma a state that pays forever is worth infinitely much, and Lemma 1 with "
            "its 1/(1 − γ) says nothing.",
        ),
        Wrong(
            "forgets the policy",
            _no_policy,
            "All actions equally often is one policy; the one given is another.",
        ),
    ),
)

# ---- 2 and 5, errors and promise: in lesson10_bounds.py ----

# ---- 3: what an error costs ----


def charge(
    visits: float,
    pays: Mapping[str, float],
    goes: Mapping[str, str],
    worth: Mapping[str, Mapping[str, float]],
    gamma: float,
) -> float:
    """The reference: both next states are judged by the dream's values."""
    later = worth["dream"][goes["dream"]] - worth["dream"][goes["real"]]
    return visits * (pays["dream"] - pays["real"] + gamma * later)


def charge_bug(*entry: Any) -> float:
    """The planted bug: each next state is judged in its own world."""
    visits, pays, goes, worth, gamma = entry
    later = worth["dream"][goes["dream"]] - worth["real"][goes["real"]]
    return visits * (pays["dream"] - pays["real"] + gamma * later)


def _real_worth(*entry: Any) -> float:
    visits, pays, goes, worth, gamma = entry
    later = worth["real"][goes["dream"]] - worth["real"][goes["real"]]
    return visits * (pays["dream"] - pays["real"] + gamma * later)


def _only_reward(*entry: Any) -> float:
    visits, pays, _, _, _ = entry
    return visits * (pays["dream"] - pays["real"])


def _turned(*entry: Any) -> float:
    return -charge(*entry)


def _right_is_free(*entry: Any) -> float:
    _, pays, goes, _, _ = entry
    if pays["real"] == pays["dream"] and goes["real"] == goes["dream"]:
        return 0.0
    return charge_bug(*entry)


def _normalised_again(*entry: Any) -> float:
    _, _, _, _, gamma = entry
    return charge(*entry) / (1 - gamma)


def _cases() -> list[Any]:
    worth = {"real": {"a": 0.5, "b": 0.25, "end": 0.0}, "dream": {"a": 0.4, "b": 0.1, "end": 0.0}}

    def case(visits: float, real: tuple[float, str], dream: tuple[float, str]) -> Any:
        pays = {"real": real[0], "dream": dream[0]}
        goes = {"real": real[1], "dream": dream[1]}
        return visits, pays, goes, worth, 0.5

    return [
        case(1.0, (0.0, "a"), (0.0, "a")),
        case(2.0, (1.0, "end"), (0.0, "end")),
        case(1.0, (0.0, "a"), (0.0, "b")),
        case(0.5, (0.0, "b"), (1.0, "end")),
        case(0.0, (0.0, "a"), (1.0, "end")),
    ]


CHARGE = Exercise(
    name="charge",
    title="mend: what one error costs",
    solution=charge,
    bug=charge_bug,
    cases=_cases,
    describe=lambda visits, pays, goes, worth, gamma: (
        f"{visits} visits, pays {pays}, goes {goes}, worth {worth}, gamma {gamma}"
    ),
    wrong=(
        Wrong(
            "both in the real world",
            _real_worth,
            "It is a fair approximation, and it leaves out what errors do together. With the "
            "dream's values for both the charges add up exactly.",
        ),
        Wrong(
            "the reward alone",
            _only_reward,
            "A wrong next state costs what is lost from there on.",
        ),
        Wrong(
            "turned round",
            _turned,
            "A dream that pays too much charges a positive number: dream minus reality.",
        ),
        Wrong(
            "free where it is right",
            _right_is_free,
            "That a right entry costs nothing must follow from the formula, not from an exception: "
            "the same fault is in every wrong entry too.",
        ),
        Wrong(
            "divided by the horizon again",
            _normalised_again,
            "The visits are handed over as they count: their 1/(1 − γ) is in them.",
        ),
    ),
)

# ---- 4: predict, then run ----

GUESS = Prediction(
    name="guess",
    title="predict: what does practice in a dream that is so far off bring in reality?",
    options=("better", "the same", "worse"),
    solution="better",
    wrong=(
        Wrong(
            "its errors undo what it learns",
            "the same",
            "Most mistakes lie where a better policy does not go. Practice moves the policy to "
            "what is paid, and what this dream pays for is paid in reality too.",
        ),
        Wrong(
            "a wrong dream teaches wrong things",
            "worse",
            "It depends on which way it is wrong. To refuse what works takes a way from the agent; "
            "to pay for what does not work leads it astray.",
        ),
    ),
)

EXERCISES = (EVALUATE, WORST_ERRORS, CHARGE, GUESS, PROMISE)
"""In the order of the lesson."""
