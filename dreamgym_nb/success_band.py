"""Another curriculum, to compare with: tasks of medium difficulty, a target band of success."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamgym_nb.curriculum import judge_tasks
from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.grpo import uniform_tasks
from dreamgym_nb.rollout import Episode


class BandTasks:
    """Tasks of medium difficulty: a target band of success; a `grpo.PickTasks`.

    The rule of "goals of intermediate difficulty" (Florensa et al. 2018, Automatic Goal
    Generation for Reinforcement Learning Agents, arXiv 1705.06366, who take success between 0.1
    and 0.9); Bae et al. 2025 (Online Difficulty Filtering for Reasoning Oriented Reinforcement
    Learning, arXiv 2504.03380) filter the problems of language models by it.  It only picks
    among the tasks there are, those that were in the band when last tried and new ones;
    nothing is written.

    Left out of both: goals made by a GAN (2018), and rollouts made and thrown away until a
    batch is full (2025), which would cost more transitions than the other rules.

    Args:
        tasks: the training tasks.
        low, high: the band, both ends in it.
        new: share of an iteration's tasks kept for tasks never tried.
        rate: how far the running success of a task moves to the newest, in (0, 1].

    Attributes:
        success: running success of each task that was tried, by id.

    Raises:
        UserError: no band, or shares that are none.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        low: float = 0.2,
        high: float = 0.8,
        new: float = 0.5,
        rate: float = 0.5,
    ) -> None:
        if not 0 <= low <= high <= 1:
            raise UserError(f"A band of success is 0 <= low <= high <= 1, not {low} to {high}.")
        if not (0 <= new <= 1 and 0 < rate <= 1):
            raise UserError(f"new is a share and rate is above 0 up to 1, not {new} and {rate}.")
        self.tasks, self.low, self.high, self.new, self.rate = tasks, low, high, new, rate
        self.success: dict[str, float] = {}
        self._used: list[float] = []  # share of tasks of the band, each iteration

    def __call__(self, n: int, rng: np.random.Generator) -> list[Task]:
        """The n tasks of an iteration: of the band first, then new ones, then any.

        None comes twice as long as there are enough tasks.
        """
        band = [t for t in self.tasks if self._in_band(t)]
        new = [t for t in self.tasks if t.id not in self.success]
        chosen: dict[str, Task] = {}
        reserved = int(self.new * n + 1e-9)
        for some, most in ((band, n - reserved), (new, n), (band, n), (self.tasks, n)):
            left = [t for t in some if t.id not in chosen]
            many = min(most, n - len(chosen), len(left))
            drawn = rng.choice(len(left), many, replace=False) if many else []
            chosen |= {left[i].id: left[i] for i in drawn}
        self._used.append(sum(map(self._in_band, chosen.values())) / n)
        return [*chosen.values(), *uniform_tasks(self.tasks)(n - len(chosen), rng)]

    def observe(self, episodes: Sequence[Episode], group_size: int) -> list[Task]:
        """Note how often each task of an iteration succeeded; nothing is written.

        Args:
            episodes: of the iteration.
            group_size: rollouts of each task; with 1, a task is noted with the success of
                its cluster of similar tasks, see `judge_tasks`.
        """
        for j in judge_tasks(episodes, group_size):
            old = self.success.get(j.task.id, j.success)
            self.success[j.task.id] = old + self.rate * (j.success - old)
        return []

    def summary(self) -> dict[str, Any]:
        """What was tried and used, in plain values for a record."""
        return {
            "low": self.low,
            "high": self.high,
            "iterations": len(self._used),
            "tried": len(self.success),
            "in_band": sum(map(self._in_band, self.tasks)),
            "share_used": float(np.mean(self._used)) if self._used else None,
        }

    def _in_band(self, task: Task) -> bool:
        return self.low <= self.success.get(task.id, -1.0) <= self.high
