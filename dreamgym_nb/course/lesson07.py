"""Lesson 07: the exercises, and the push of a group.

Each exercise has its reference, its cases from small to large, and the wrong answers that people
give: what a group teaches, what a cluster hides, whose words may not be trained on, what λ bounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import pstdev, variance
from typing import TYPE_CHECKING

from .exercises import Exercise, Prediction, Wrong

if TYPE_CHECKING:
    from ..language_model import LanguageModel
    from ..rollout import Episode

# ---- 1: V_τ -----------------------------------------------------------------------------------


def value_spread(rewards: Sequence[float]) -> float:
    """The reference: the mean squared distance of the rewards from their mean (Eq. 7)."""
    mean = sum(rewards) / len(rewards)
    return sum((r - mean) ** 2 for r in rewards) / len(rewards)


def _success(rewards: Sequence[float]) -> float:
    return sum(rewards) / len(rewards)


def _counted(rewards: Sequence[float]) -> float:
    p = sum(r > 0 for r in rewards) / len(rewards)
    return p * (1 - p)


def _sample(rewards: Sequence[float]) -> float:
    return variance(rewards)


def _deviation(rewards: Sequence[float]) -> float:
    return pstdev(rewards)


def _summed(rewards: Sequence[float]) -> float:
    return value_spread(rewards) * len(rewards)


def _of_the_mean(rewards: Sequence[float]) -> float:
    mean = _success(rewards)
    return mean * (1 - mean)


def _without_squares(rewards: Sequence[float]) -> float:
    mean = _success(rewards)
    return sum(abs(r - mean) for r in rewards) / len(rewards)


def _shannon(rewards: Sequence[float]) -> float:
    mean = _success(rewards)
    return -sum(p * math.log(p) for p in (mean, 1 - mean) if p > 0)


VALUE_SPREAD = Exercise(
    name="value_spread",
    title="V_τ: how much a group disagrees",
    solution=value_spread,
    cases=lambda: [
        ([1.0, 0.0],),
        ([0.0, 0.0],),
        ([1.0, 1.0, 1.0],),
        ([1.0, 0.0, 0.0, 0.0],),
        ([0.0, 0.5, 0.5, 1.0],),
    ],
    describe=lambda rewards: f"rewards {list(rewards)}",
    wrong=(
        Wrong(
            "the mean",
            _success,
            "That is the success of the task. A task that always succeeds would get the highest "
            "value, and there is nothing left to learn from it.",
        ),
        Wrong(
            "p (1 − p)",
            _counted,
            "For rewards of 0 and 1 this is the same number. But the equation holds for any "
            "rewards, and half a reward is not a whole one.",
        ),
        Wrong(
            "the sample's variance",
            _sample,
            "Eq. 7 divides by n, not by n − 1. With n − 1, small groups would count for more, and "
            "1/4 would not be the most.",
        ),
        Wrong(
            "the deviation",
            _deviation,
            "V_τ is the variance: the squares are averaged, and no root is taken. (GRPO divides "
            "by the root; that is another step.)",
        ),
        Wrong(
            "the sum",
            _summed,
            "A mean, not a sum: a larger group would otherwise be worth more for its size alone.",
        ),
        Wrong(
            "r̄ (1 − r̄)",
            _of_the_mean,
            "For rewards of 0 and 1 this is the same number. But the equation holds for any "
            "rewards: two halves agree, and have no spread.",
        ),
        Wrong(
            "distances without squares",
            _without_squares,
            "Eq. 7 squares each distance before it takes the mean. The squares are what makes it "
            "p (1 − p), and the push of section 2.",
        ),
        Wrong(
            "an entropy",
            _shannon,
            "The paper says reward entropy and means a variance: there is no logarithm in Eq. 7. "
            "Both are 0 where all agree, but the numbers differ.",
        ),
    ),
)

# ---- 2: predict, then run: a cluster ----------------------------------------------------------

CLUSTER_GUESS = Prediction(
    name="cluster_guess",
    title="predict: V_τ of a cluster of tasks that each teach nothing",
    options=("0", "0.125", "0.25"),
    solution="0.25",
    wrong=(
        Wrong(
            "nothing and nothing is nothing",
            "0",
            "The variance of a mixture has two parts: the spread within the tasks, here 0, and "
            "the spread between them. The second one is all there is, and it is not small.",
        ),
        Wrong(
            "half of it",
            "0.125",
            "The cluster sees four successes and four failures, and does not know whose they "
            "are. It is the same even odds as one task that succeeds half of the time.",
        ),
    ),
)

# ---- 3: whose words may not be trained on -----------------------------------------------------


def same_words(written: str, test: str) -> bool:
    """The reference: the same words in any order, capitals aside, each as often."""
    return sorted(written.lower().split()) == sorted(test.lower().split())


def _to_the_letter(written: str, test: str) -> bool:
    return written == test


def _in_order(written: str, test: str) -> bool:
    return written.lower().split() == test.lower().split()


def _as_sets(written: str, test: str) -> bool:
    return set(written.lower().split()) == set(test.lower().split())


def _all_found(written: str, test: str) -> bool:
    return set(test.lower().split()) <= set(written.lower().split())


def _letters(written: str, test: str) -> bool:
    return sorted(written.lower().replace(" ", "")) == sorted(test.lower().replace(" ", ""))


def _capitals_count(written: str, test: str) -> bool:
    return sorted(written.split()) == sorted(test.split())


def _sorts_in_place(written: str, test: str) -> bool:
    return written.lower().split().sort() == test.lower().split().sort()


SAME_WORDS = Exercise(
    name="same_words",
    title="keep the test tasks out",
    solution=same_words,
    cases=lambda: [
        ("find a red mug", "find a red mug"),
        ("find a Red mug", "find a red mug"),
        ("find a red steel mug", "find a steel red mug"),
        ("find a red steel mug", "find a red mug"),
        ("find a red mug or a red rug", "find a red mug or a rug"),
        ("find a red gum", "find a red mug"),
    ],
    describe=lambda written, test: f"written {written!r}, test task {test!r}",
    wrong=(
        Wrong(
            "to the letter",
            _to_the_letter,
            "A capital or a blank is no new task. Compare words, in lower case.",
        ),
        Wrong(
            "in the same order",
            _in_order,
            "A red steel mug is a steel red mug. The agent would train on a test task, and its "
            "exam would no longer measure what it can do with new ones.",
        ),
        Wrong(
            "as sets",
            _as_sets,
            "A set forgets how often a word stands there. Two different tasks would be taken for "
            "one, and a good one thrown out.",
        ),
        Wrong(
            "all words of the test task occur",
            _all_found,
            "A task that asks for more than a test task is another task: a red steel mug is not "
            "any red mug. Variations of this kind are what M_task is for.",
        ),
        Wrong(
            "the same letters",
            _letters,
            "Sort words, not letters: gum and mug have the same letters.",
        ),
        Wrong(
            "capitals count",
            _capitals_count,
            "A capital makes no new task: bring both texts to lower case first.",
        ),
        Wrong(
            "always the same",
            _sorts_in_place,
            "This finds every task in the exam. If you called `list.sort()`: it sorts in place and "
            "returns None, and None equals None. `sorted(…)` returns the list.",
        ),
    ),
)

# ---- 4: fix the bug: what λ bounds ------------------------------------------------------------


def split_tasks(n: int, share: float, pool: int) -> tuple[int, int]:
    """The reference: at most λn of n tasks are written ones, the rest is the world's own."""
    written = min(math.floor(share * n + 1e-9), pool)
    return written, n - written


def split_tasks_with_bug(n: int, share: float, pool: int) -> tuple[int, int]:
    """What stands in the notebook: it rounds up, and forgets that the pool may be small."""
    written = math.ceil(share * n)
    return written, n - written


def _exceeds(n: int, share: float, pool: int) -> tuple[int, int]:
    written = min(math.ceil(share * n), pool)
    return written, n - written


def _takes_what_is_not_there(n: int, share: float, pool: int) -> tuple[int, int]:
    written = math.floor(share * n + 1e-9)
    return written, n - written


def _leaves_a_gap(n: int, share: float, pool: int) -> tuple[int, int]:
    most = math.floor(share * n + 1e-9)
    return min(most, pool), n - most


def _on_top(n: int, share: float, pool: int) -> tuple[int, int]:
    return min(math.floor(share * n + 1e-9), pool), n


def _of_the_pool(n: int, share: float, pool: int) -> tuple[int, int]:
    written = min(math.floor(share * pool + 1e-9), n)
    return written, n - written


SPLIT_TASKS = Exercise(
    name="split_tasks",
    title="fix the bug: λ is a bound",
    solution=split_tasks,
    cases=lambda: [
        (4, 0.25, 0),
        (4, 0.25, 9),
        (6, 0.25, 9),
        (8, 0.5, 3),
        (4, 1.0, 9),
        (10, 0.0, 9),
    ],
    describe=lambda n, share, pool: f"n = {n} tasks, λ = {share}, a pool of {pool}",
    bug=split_tasks_with_bug,
    wrong=(
        Wrong(
            "rounds up",
            _exceeds,
            "λ bounds the share from above. One more than λn breaks it, however little λn is "
            "above a whole number.",
        ),
        Wrong(
            "takes what is not there",
            _takes_what_is_not_there,
            "In the first iterations the pool is empty or small. Written tasks can only be taken "
            "if they exist.",
        ),
        Wrong(
            "leaves a gap",
            _leaves_a_gap,
            "What the pool cannot give, the world's own tasks must: an iteration has n tasks, or "
            "λ would also change how much is trained.",
        ),
        Wrong(
            "on top",
            _on_top,
            "Written tasks take the place of others. Added on top of n they would make the "
            "iteration longer, and the comparison with λ = 0 unfair.",
        ),
        Wrong(
            "a share of the pool",
            _of_the_pool,
            "λ is a share of the iteration's tasks, not of the pool. A pool that grows would soon "
            "fill every iteration.",
        ),
    ),
)

EXERCISES = (VALUE_SPREAD, CLUSTER_GUESS, SAME_WORDS, SPLIT_TASKS)
"""In the order of the lesson."""


# ---- the push of a group ----------------------------------------------------------------------


def push(lm: LanguageModel, group: Sequence[Episode]) -> tuple[float, float]:
    """How long the gradient of one group is: that of its centred rewards, and GRPO's.

    The gradient is that of ``Σ_i a_i log π(episode i)``, divided by the group's own tokens, at
    ratio 1; ``a = r − r̄`` for the first, GRPO's advantage for the second. They differ by the
    deviation alone, so one backward pass gives both.

    Args:
        lm: The policy; its gradients are overwritten.
        group: The tries of one task, two or more.

    Returns:
        Both lengths, over all weights; 0 where all tries agree.
    """
    import torch

    from ..grpo_loss import group_advantages

    rewards = torch.tensor([e.trajectory.reward for e in group])
    if rewards.var() == 0:
        return 0.0, 0.0
    wide = max(len(e.tokens) for e in group)
    ids = torch.full((len(group), wide), lm.pad)
    mask = torch.zeros(len(group), wide)
    for i, e in enumerate(group):
        ids[i, : len(e.tokens)] = torch.tensor(e.tokens)
        mask[i, : len(e.tokens)] = torch.tensor(e.mask, dtype=torch.float)
    scores = lm.model(input_ids=ids[:, :-1]).logits.log_softmax(-1)
    own = scores.gather(-1, ids[:, 1:, None])[..., 0] * mask[:, 1:]
    lm.model.zero_grad()
    centred = rewards - rewards.mean()
    (-(centred[:, None] * own).sum() / mask.sum()).backward()
    parts = [w.grad.norm() for w in lm.model.parameters() if w.grad is not None]
    length = torch.stack(parts).norm().item()
    lm.model.zero_grad()
    # r − r̄ over the deviation is GRPO's advantage, and the gradient is linear in it.
    divided = group_advantages(rewards, len(group)).abs().max() / centred.abs().max()
    return length, length * divided.item()
