"""The exercises of lesson 05: whose tokens, whose advantage, and what an end is worth.

Each has its reference, its cases from small to large, and the wrong answers that people give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, pstdev, stdev
from typing import TYPE_CHECKING

from .exercises import Exercise, Prediction, Wrong

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
    title="predict: what does an update do where every try failed?",
    options=("down", "up", "nothing"),
    solution="nothing",
    wrong=(
        Wrong(
            "failure is punished",
            "down",
            "A try is compared with its group, not with 0. Where all failed, none was worse than "
            "the others, so there is nothing to move away from.",
        ),
        Wrong(
            "trying is rewarded",
            "up",
            "Only a try that beats its group gets likelier, and here none does.",
        ),
    ),
)

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

EXERCISES = (EPISODE_LOSS, GROUP_ADVANTAGES, GUESS, GAE, TD_TARGETS)
"""In the order of the lesson."""
