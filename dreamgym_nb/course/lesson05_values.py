"""Exercises 4 and 5 of lesson 05: what to expect of a state, and what an end is worth.

GAE, and the targets for V after an end and after a cut, with their wrong answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .exercises import Exercise, Wrong

# ---- 4: GAE ------------------------------------------------------------------------------------


def advantages_by_gae(
    rewards: Sequence[float], values: Sequence[float], last: float, gamma: float, lam: float
) -> list[float]:
    """The reference: from the end to the start, Â_t = δ_t + γλ Â_{t+1}."""
    found, coming, after = [], 0.0, last
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        coming = reward + gamma * after - value + gamma * lam * coming
        after = value
        found.append(coming)
    return found[::-1]


def _one_step(rewards, values, last, gamma, lam):
    return advantages_by_gae(rewards, values, last, gamma, 0.0)


def _all_that_came(rewards, values, last, gamma, lam):
    return advantages_by_gae(rewards, values, last, gamma, 1.0)


def _end_is_worth_nothing(rewards, values, last, gamma, lam):
    return advantages_by_gae(rewards, values, 0.0, gamma, lam)


def _forgets_gamma(rewards, values, last, gamma, lam):
    """Discounts the tail by λ alone."""
    found, coming, after = [], 0.0, last
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        coming = reward + gamma * after - value + lam * coming
        after = value
        found.append(coming)
    return found[::-1]


def _forwards(rewards, values, last, gamma, lam):
    """Carries the past along instead of the future."""
    found, coming = [], 0.0
    for reward, value, after in zip(rewards, values, [*values[1:], last], strict=True):
        coming = reward + gamma * after - value + gamma * lam * coming
        found.append(coming)
    return found


def _from_the_end(rewards, values, last, gamma, lam):
    """Right numbers, the last step first."""
    return advantages_by_gae(rewards, values, last, gamma, lam)[::-1]


def _next_at_full_worth(rewards, values, last, gamma, lam):
    """γ only in the tail, not in δ."""
    found, coming, after = [], 0.0, last
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        coming = reward + after - value + gamma * lam * coming
        after = value
        found.append(coming)
    return found[::-1]


def _targets_of_v(rewards, values, last, gamma, lam):
    advantages = advantages_by_gae(rewards, values, last, gamma, lam)
    return [a + v for a, v in zip(advantages, values, strict=True)]


GAE = Exercise(
    name="advantages_by_gae",
    title="GAE: how much better than expected, step by step",
    solution=advantages_by_gae,
    cases=lambda: [
        ([1.0], [0.5], 0.0, 1.0, 0.5),
        ([0.0], [0.5], 0.25, 1.0, 0.5),
        ([0.0, 1.0], [0.25, 0.5], 0.0, 1.0, 0.5),
        ([0.0, 0.0, 1.0], [0.5, 0.25, 0.75], 0.0, 0.5, 0.5),
        ([0.0, 0.0, 0.0], [0.5, 0.25, 0.5], 0.75, 0.5, 0.5),
    ],
    describe=lambda rewards, values, last, gamma, lam: (
        f"rewards {list(rewards)}, values {list(values)}, last {last}, γ {gamma}, λ {lam}"
    ),
    wrong=(
        Wrong(
            "one step only",
            _one_step,
            "This is λ = 0: δ alone. A reward at the end then reaches the last step and no other, "
            "until V has learned to pass it on.",
        ),
        Wrong(
            "all that came",
            _all_that_came,
            "This is λ = 1: what happened minus what was expected. It is unbiased and noisy; "
            "λ below 1 leaves distant luck out.",
        ),
        Wrong(
            "the end is worth nothing",
            _end_is_worth_nothing,
            "`last` is not always 0: an episode that was only cut might have gone on, and what V "
            "says of its last state belongs into the last δ.",
        ),
        Wrong(
            "forgets γ in the tail",
            _forgets_gamma,
            "What comes one step later is discounted by γ as well as by λ: γλ.",
        ),
        Wrong(
            "forwards",
            _forwards,
            "An advantage says what came after a step. Summed forwards, a step is praised for "
            "what went well before it.",
        ),
        Wrong(
            "the last step first",
            _from_the_end,
            "The numbers are right, but a loop from the end finds the last advantage first. Turn "
            "the list round before you return it.",
        ),
        Wrong(
            "forgets γ in δ",
            _next_at_full_worth,
            "V of the next state speaks of one step later: γ stands before it in δ, as well as in "
            "γλ.",
        ),
        Wrong(
            "targets for V",
            _targets_of_v,
            "This is the advantage plus V: what V should have said. It is the target of the value "
            "head; the advantage is what remains when V is subtracted.",
        ),
    ),
)

# ---- 5: fix the bug --------------------------------------------------------------------------

Step = tuple[float, float, bool, bool]  # reward, V of the next state, terminated, truncated


def td_targets(steps: Sequence[Step], gamma: float) -> list[float]:
    """The reference: r + γ V(next state), without V where the episode ended by itself."""
    return [r + gamma * (0.0 if terminated else v) for r, v, terminated, _ in steps]


def td_targets_with_bug(steps: Sequence[Step], gamma: float) -> list[float]:
    """What stands in the notebook: a cut is taken for an end."""
    targets = []
    for reward, value, terminated, truncated in steps:
        done = terminated or truncated
        targets.append(reward if done else reward + gamma * value)
    return targets


def _never_ends(steps: Sequence[Step], gamma: float) -> list[float]:
    return [r + gamma * v for r, v, _, _ in steps]


def _the_other_way_round(steps: Sequence[Step], gamma: float) -> list[float]:
    return [r + gamma * (0.0 if truncated else v) for r, v, _, truncated in steps]


def _no_discount(steps: Sequence[Step], gamma: float) -> list[float]:
    return td_targets(steps, 1.0)


def _cut_is_dropped(steps: Sequence[Step], gamma: float) -> list[float]:
    targets = td_targets(steps, gamma)
    return [math.nan if s[3] else t for s, t in zip(steps, targets, strict=True)]


def _v_only_after_a_cut(steps: Sequence[Step], gamma: float) -> list[float]:
    return [r + gamma * v if truncated else r for r, v, _, truncated in steps]


TD_TARGETS = Exercise(
    name="td_targets",
    title="fix the bug: an end and a cut are not the same",
    solution=td_targets,
    cases=lambda: [
        ([(0.0, 0.5, False, True)], 1.0),
        ([(1.0, 0.5, True, False)], 1.0),
        ([(0.0, 0.5, False, False)], 0.5),
        ([(0.0, 0.25, False, False), (0.0, 0.75, True, False), (0.0, 0.5, False, True)], 0.5),
    ],
    describe=lambda steps, gamma: (
        f"steps (reward, V(next), terminated, truncated) = {list(steps)}, γ {gamma}"
    ),
    bug=td_targets_with_bug,
    wrong=(
        Wrong(
            "nothing ever ends",
            _never_ends,
            "After the end nothing more can be earned, so V of the page after the purchase does "
            "not count. With it, a failed purchase would be worth what the shop's page promises.",
        ),
        Wrong(
            "the other way round",
            _the_other_way_round,
            "Terminated means that the world has ended the episode; truncated, that we stopped "
            "looking. Only the first makes the future worth 0.",
        ),
        Wrong(
            "forgets the discount",
            _no_discount,
            "V speaks of what comes one step later, so it is multiplied by γ.",
        ),
        Wrong(
            "drops the cut step",
            _cut_is_dropped,
            "A cut step is as real as any other: it was paid for, and V of its next state says "
            "what it was worth.",
        ),
        Wrong(
            "V only after a cut",
            _v_only_after_a_cut,
            "Most steps are neither an end nor a cut: the episode goes on, and V of the next state "
            "counts there too. Only a terminated step leaves it out.",
        ),
    ),
)
