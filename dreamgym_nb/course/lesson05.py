"""The exercises of lesson 05: whose tokens, whose advantage, and what an end is worth.

Each has its reference, its cases from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev, stdev
from typing import TYPE_CHECKING

from .exercises import Exercise, Prediction, Wrong
from .lesson05_values import GAE, TD_TARGETS

if TYPE_CHECKING:
    from ..language_model import LanguageModel

SMALL = 1e-4  # what TRL adds to a group's standard deviation


def agent_start(seed: int, size: str) -> tuple[LanguageModel, int]:
    """The agent that lesson 04 would start from: the shop's, found in the stock or made now.

    It is the agent of `stock.prepared`, without the experience model, which no agent that
    practises in the real world needs.

    Args:
        seed: Of the shop, its log and the imitation.
        size: One of `sizes.SIZES`.

    Returns:
        The agent, and the real steps of the log that it imitated.
    """
    from ..agent import imitate
    from ..backbone import load_backbone
    from ..worlds import collect_log, make_world
    from . import stock
    from .widgets import progress

    world, recipe = make_world("shop", seed=seed), stock.preparation("shop", seed, size)
    log = collect_log(world, world.tasks("train"), recipe.log_episodes, seed=seed)
    agent = load_backbone("shop").copy()
    stock.once(
        "agent start",
        agent,
        stock.agent_key(log, recipe),
        lambda: imitate(
            agent,
            log,
            steps=recipe.agent_steps,
            learning_rate=recipe.agent_rate,
            seed=seed,
            progress=progress("agent start"),
        ),
    )
    return agent, world.real_steps


# ---- 1: whose tokens -------------------------------------------------------------------------


def episode_loss(logprobs: Sequence[float], mask: Sequence[int], advantage: float) -> float:
    """The reference: minus the advantage times the mean log-probability of the agent's tokens."""
    own = [logprob for logprob, mine in zip(logprobs, mask, strict=True) if mine]
    return -advantage * sum(own) / len(own)


def _all_tokens(logprobs: Sequence[float], mask: Sequence[int], advantage: float) -> float:
    return episode_loss(logprobs, [1] * len(mask), advantage)


def _wrong_side(logprobs: Sequence[float], mask: Sequence[int], advantage: float) -> float:
    return episode_loss(logprobs, [1 - mine for mine in mask], advantage)


def _over_all(logprobs: Sequence[float], mask: Sequence[int], advantage: float) -> float:
    return episode_loss(logprobs, mask, advantage) * sum(mask) / len(mask)


def _uphill(logprobs: Sequence[float], mask: Sequence[int], advantage: float) -> float:
    return -episode_loss(logprobs, mask, advantage)


def _a_sum(logprobs: Sequence[float], mask: Sequence[int], advantage: float) -> float:
    return episode_loss(logprobs, mask, advantage) * sum(mask)


def _as_positions(logprobs: Sequence[float], mask: Sequence[int], advantage: float) -> float:
    return -advantage * fmean(logprobs[place] for place in mask)


EPISODE_LOSS = Exercise(
    name="episode_loss",
    title="leave the world's tokens out of the loss",
    solution=episode_loss,
    cases=lambda: [
        ([-1.0, -2.0], [0, 1], 1.0),
        ([-4.0, -1.0, -4.0, -3.0], [0, 1, 0, 1], 0.5),
        ([-4.0, -1.0, -2.0, -6.0, -3.0], [0, 1, 1, 0, 1], -1.5),
    ],
    describe=lambda logprobs, mask, advantage: (
        f"log-probabilities {list(logprobs)}, mask {list(mask)}, advantage {advantage}"
    ),
    wrong=(
        Wrong(
            "no mask",
            _all_tokens,
            "The world's tokens were nobody's choice. Trained on, they teach the agent to predict "
            "pages, and to unlearn pages that it saw in episodes that failed.",
        ),
        Wrong(
            "the wrong side of the mask",
            _wrong_side,
            "The mask is 1 where the token is the agent's. This trains on everything but the "
            "agent's actions, and still runs without an error.",
        ),
        Wrong(
            "a mean over all tokens",
            _over_all,
            "The sum is right, but divided by all tokens. An episode in which the world talks "
            "much would count less, for no reason of the agent's.",
        ),
        Wrong(
            "uphill",
            _uphill,
            "An optimiser goes downhill. What should become likelier needs a minus in the loss.",
        ),
        Wrong(
            "a sum",
            _a_sum,
            "Divide by the number of the agent's own tokens: a mean is asked for. As a sum, an "
            "episode in which the agent writes much pushes harder than one in which it writes "
            "little.",
        ),
        Wrong(
            "the mask as places",
            _as_positions,
            "The mask says yes or no for each token. As indices, its zeros and ones pick the first "
            "two tokens again and again; in numpy, make it boolean first.",
        ),
    ),
)

# ---- 2: the group as the yardstick -----------------------------------------------------------

Groups = Sequence[Sequence[float]]


def group_advantages(groups: Groups) -> list[list[float]]:
    """The reference: (r − mean) / (std + 1e-4) in each group, the sample's deviation."""
    found = []
    for rewards in groups:
        mean, spread = fmean(rewards), stdev(rewards)
        found.append([(r - mean) / (spread + SMALL) for r in rewards])
    return found


def _no_guard(groups: Groups) -> list[list[float]]:
    return [[(r - fmean(g)) / stdev(g) for r in g] for g in groups]


def _only_centred(groups: Groups) -> list[list[float]]:
    return [[r - fmean(g) for r in g] for g in groups]


def _population(groups: Groups) -> list[list[float]]:
    return [[(r - fmean(g)) / (pstdev(g) + SMALL) for r in g] for g in groups]


def _one_big_group(groups: Groups) -> list[list[float]]:
    every = [r for g in groups for r in g]
    return [[(r - fmean(every)) / (stdev(every) + SMALL) for r in g] for g in groups]


def _nan_where_all_agree(groups: Groups) -> list[list[float]]:
    return [[(r - fmean(g)) / stdev(g) if stdev(g) else math.nan for r in g] for g in groups]


def _guards_only_zero(groups: Groups) -> list[list[float]]:
    return [[(r - fmean(g)) / stdev(g) if stdev(g) else 0.0 for r in g] for g in groups]


def _by_the_variance(groups: Groups) -> list[list[float]]:
    return [[(r - fmean(g)) / (stdev(g) ** 2 + SMALL) for r in g] for g in groups]


GROUP_ADVANTAGES = Exercise(
    name="group_advantages",
    title="compare each try with its group, also one without spread",
    solution=group_advantages,
    cases=lambda: [
        ([[1.0, 0.0]],),
        ([[0.0, 0.0]],),
        ([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]],),
        ([[1.0, 1.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]],),
    ],
    describe=lambda groups: f"groups {[list(g) for g in groups]}",
    wrong=(
        Wrong(
            "nothing guards the division",
            _no_guard,
            "All tries of a group may agree, and often do: the deviation is 0. Such a group "
            "teaches nothing, and must do so without stopping the training.",
        ),
        Wrong(
            "centred only",
            _only_centred,
            "This is a baseline without the division. A rare success among many failures would "
            "then weigh no more than any other.",
        ),
        Wrong(
            "the population's deviation",
            _population,
            "Both are in use, but TRL and this package divide by n − 1, the sample's deviation "
            "(torch's default, not numpy's).",
        ),
        Wrong(
            "one big group",
            _one_big_group,
            "Each task has its own yardstick. Across tasks, every try at an easy task would look "
            "good and every try at a hard one bad, whatever was done.",
        ),
        Wrong(
            "NaN where all agree",
            _nan_where_all_agree,
            "numpy divides 0 by 0 without stopping, and the result is NaN. One such group makes "
            "every weight NaN at the next update. The 1e-4 keeps the division alive.",
        ),
        Wrong(
            "guards only the zero",
            _guards_only_zero,
            "A group without spread is treated rightly. But the 1e-4 stands beside the deviation "
            "in every group, as the docstring and TRL have it.",
        ),
        Wrong(
            "the variance",
            _by_the_variance,
            "Divide by the deviation, the root of the variance: rewards and their deviation have "
            "the same unit, so that the advantage has none.",
        ),
    ),
)

# ---- 3: predict, then run --------------------------------------------------------------------

GUESS = Prediction(
    name="guess",
    title="predict: which success moves the policy more, a rare one or one of many?",
    options=("one of four", "three of four", "equal"),
    solution="one of four",
    wrong=(
        Wrong(
            "more successes, more push",
            "three of four",
            "A try is compared with its group. Where most succeed, one more success is hardly "
            "better than the mean, and moves little.",
        ),
        Wrong(
            "a success is a success",
            "equal",
            "The reward is the same, the advantage is not: what counts is how far a try lies above "
            "its group, in deviations.",
        ),
    ),
)

# ---- 4 and 5: GAE, and fix the bug: in lesson05_values.py ------------------------------------

EXERCISES = (EPISODE_LOSS, GROUP_ADVANTAGES, GUESS, GAE, TD_TARGETS)
"""In the order of the lesson."""
