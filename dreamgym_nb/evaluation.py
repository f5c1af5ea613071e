"""How good an agent is: episodes on given tasks, real or dreamed, and their successes counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Trajectory, transitions_of
from dreamgym_nb.intervals import wilson
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.rollout import rollout
from dreamgym_nb.worlds.vector import VectorWorld


@dataclass(frozen=True)
class Evaluation:
    """Success on a set of tasks.

    Attributes:
        success: share of episodes that succeeded.
        low, high: 95% Wilson interval for that share; it takes all episodes as independent,
            so with repeats it is about these tasks, not about tasks at large.
        episodes: number of episodes.
        turns: mean length.
        failed_actions: share of actions that failed.
        transitions: steps taken for this evaluation.
    """

    success: float
    low: float
    high: float
    episodes: int
    turns: float
    failed_actions: float
    transitions: int

    def to_json(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)


def evaluate(
    agent: LanguageModel,
    make_worlds: Callable[[int], VectorWorld],
    tasks: Sequence[Task],
    *,
    repeats: int = 1,
    seed: int = 12345,
    temperature: float = 1.0,
) -> Evaluation:
    """Let the agent act on `tasks`, `repeats` times each, and count successes.

    Args:
        agent: the policy.
        make_worlds: gives a vector world of so many rows, real or dreamed.
        tasks: at least one.
        repeats: episodes of each task.
        seed: of the sampled actions.
        temperature: of the policy; 0 takes the likeliest action.

    Raises:
        UserError: there is no task, or no repeat.
    """
    if not tasks or repeats < 1:
        raise UserError("There is nothing to evaluate: give at least one task and one repeat.")
    episodes = rollout(
        agent,
        make_worlds,
        [task for task in tasks for _ in range(repeats)],
        temperature=temperature,
        generator=torch.Generator(device=agent.device).manual_seed(seed),
    )
    return summarise([e.trajectory for e in episodes])


def summarise(trajectories: Sequence[Trajectory]) -> Evaluation:
    """Success rate, interval and costs of some episodes."""
    n, wins = len(trajectories), sum(t.success for t in trajectories)
    steps = transitions_of(trajectories)
    low, high = wilson(wins, n)
    return Evaluation(
        success=wins / n,
        low=low,
        high=high,
        episodes=n,
        turns=len(steps) / n,
        failed_actions=sum(t.failed for t in steps) / len(steps),
        transitions=len(steps),
    )
