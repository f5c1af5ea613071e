"""Many episodes at once: the vector form that agents roll out in.

`gymnasium.vector.VectorEnv` with tuples of strings and no autoreset: a row
whose episode is over stays over and takes `None` as its action.  The dream
(dream.py) has the same form, so a rollout cannot tell which one it is in.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Text, Tuple

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Source, Task
from dreamgym_nb.worlds.base import PRINTABLE, World


@dataclass(frozen=True)
class Row:
    """What happened in one row of a step; the vector's arrays are made of these."""

    observation: str
    state: str
    reward: float
    terminated: bool
    truncated: bool
    failed: bool
    reasoning: str = ""
    confidence: float | None = None  # of a dreamed step, see `Transition`


class VectorWorld(gymnasium.vector.VectorEnv[tuple[str, ...], tuple[str, ...], np.ndarray]):
    """The books that real and dreamed vector worlds keep alike.

    Attributes:
        source: where the transitions come from, ``"real"`` or ``"dream"``.
        transitions: steps taken since this object was made, over all rows.
    """

    source: Source
    metadata = {"autoreset_mode": gymnasium.vector.AutoresetMode.DISABLED}

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        text = Text(max_length=8000, min_length=0, charset=PRINTABLE)
        self.single_observation_space = self.single_action_space = text
        self.observation_space = self.action_space = Tuple([text] * num_envs)
        self.transitions = 0
        self._over = np.ones(num_envs, bool)
        self._last: list[Row] = []

    @abstractmethod
    def _begin(self, tasks: Sequence[Task]) -> list[tuple[str, str]]:
        """Start one episode in each row; returns (observation, state) of each."""

    @abstractmethod
    def _advance(self, rows: Sequence[int], actions: Sequence[str]) -> list[Row]:
        """Do `actions` in the given rows, whose episodes are live."""

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Start one episode in each row.

        Args:
            seed: of the vector's own randomness.
            options: ``{"tasks": [Task, …]}``, one for each row.

        Raises:
            UserError: no tasks, or another number of them than rows.
        """
        super().reset(seed=seed)
        tasks = list((options or {}).get("tasks", ()))
        if len(tasks) != self.num_envs:
            raise UserError(
                f"reset needs options={{'tasks': …}} with {self.num_envs} tasks, one for each "
                f"row; it got {len(tasks)}."
            )
        started = self._begin(tasks)
        self._over[:] = False
        self._last = [Row(o, s, 0.0, False, False, False) for o, s in started]
        return tuple(o for o, _ in started), {"state": [s for _, s in started]}

    def step(
        self, actions: Sequence[str | None]
    ) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One action for each live row, None for rows that are over.

        Returns:
            observations, and arrays of shape (num_envs,): rewards (float),
            terminated, truncated (bool); info with ``state``, ``failed``,
            ``reasoning``, ``confidence``, ``success``, one entry for each row.

        Raises:
            UserError: an action for a row that is over, none for a live one, or
                another number of them than rows; or no episode was started.
        """
        if not self._last:
            raise UserError("No episode was started: call reset first.")
        if len(actions) != self.num_envs:
            raise UserError(f"step needs {self.num_envs} actions, one a row, not {len(actions)}.")
        wrong = [i for i, a in enumerate(actions) if (a is None) != bool(self._over[i])]
        if wrong:
            raise UserError(
                "step needs an action for each live row and None for each row that is over; "
                f"that is not so in rows {wrong[:5]}."
            )
        live = [i for i, a in enumerate(actions) if a is not None]
        for i, row in zip(live, self._advance(live, [actions[i] for i in live]), strict=True):
            self._last[i] = row
            self._over[i] = row.terminated or row.truncated
        self.transitions += len(live)
        rows = self._last
        rewards = np.zeros(self.num_envs)
        rewards[live] = [rows[i].reward for i in live]
        return (
            tuple(r.observation for r in rows),
            rewards,
            np.array([r.terminated for r in rows]),
            np.array([r.truncated for r in rows]),
            {
                "state": [r.state for r in rows],
                "failed": [r.failed for r in rows],
                "reasoning": [r.reasoning for r in rows],
                "confidence": [r.confidence for r in rows],
                "success": [r.terminated and r.reward >= 1.0 for r in rows],
            },
        )

    def cut(self, rows: Sequence[int]) -> None:
        """End the episodes of some rows from outside: they count as truncated.

        Args:
            rows: indices of live rows, each below `num_envs`.
        """
        for i in rows:
            self._last[i] = replace(self._last[i], truncated=True)
            self._over[i] = True


class RealWorlds(VectorWorld):
    """Copies of one real world, side by side.

    Args:
        world: the world; its rows share its catalogue but not its episode.
        num_envs: number of rows.
    """

    source: Source = "real"

    def __init__(self, world: World, num_envs: int) -> None:
        super().__init__(num_envs)
        self.world = world
        self.worlds = [copy.copy(world) for _ in range(num_envs)]

    def _begin(self, tasks: Sequence[Task]) -> list[tuple[str, str]]:
        started = []
        for world, task in zip(self.worlds, tasks, strict=True):
            observation, _ = world.reset(options={"task": task})
            started.append((observation, world.state))
        return started

    def _advance(self, rows: Sequence[int], actions: Sequence[str]) -> list[Row]:
        done = []
        self.world.real_steps += len(rows)  # the copies' own counters are not looked at
        for i, action in zip(rows, actions, strict=True):
            world = self.worlds[i]
            observation, reward, terminated, truncated, info = world.step(action)
            done.append(
                Row(observation, world.state, reward, terminated, truncated, info["failed"])
            )
        return done
