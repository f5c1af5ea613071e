"""The dream: the experience model as a vector environment (step B of the loop).

An agent cannot tell it from the real worlds: the same tasks, the same text,
the same step limit, the same rule from observations to abstract states.  A
batch of actions is one batched generation; no real transition is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Source, Task, Trajectory, Turn
from dreamgym_nb.experience_model import ExperienceModel, Question
from dreamgym_nb.worlds.base import FAILURE, MAX_ACTION_CHARS, World
from dreamgym_nb.worlds.vector import Row, VectorWorld

Fold = Callable[[str, str, str], str]
Hidden = Callable[[str, str], bool]


def start_from(log: Sequence[Trajectory]) -> Callable[[Task], str]:
    """How episodes begin, read off the log: by task, or as all do where all begin alike.

    Raises:
        UserError: the log is empty.  What is returned raises it for a task that the log has not
            begun, where its tasks begin apart.
    """
    if not log:
        raise UserError("A dream begins as the log's episodes did, and this log is empty.")
    known = {t.task.id: t.observation for t in log}
    first, *others = set(known.values())

    def start(task: Task) -> str:
        if task.id not in known and others:
            raise UserError(
                f"How {task.id!r} begins stands nowhere in the log, so it cannot be dreamed: take "
                "tasks of begun_in(log, tasks), or, for an exam only, start=start_as(world)."
            )
        return known.get(task.id, first)

    return start


def begun_in(log: Sequence[Trajectory], tasks: Sequence[Task]) -> list[Task]:
    """The tasks whose beginning the log tells: all, where all its episodes begin alike.

    Raises:
        UserError: the log has begun none of them.
    """
    if len({t.observation for t in log}) == 1:
        return list(tasks)
    known = {t.task.id for t in log}
    found = [task for task in tasks if task.id in known]
    if not found:
        raise UserError("The log has begun none of these tasks, so no dream knows how they begin.")
    return found


def start_as(world: World) -> Callable[[Task], str]:
    """How episodes begin, asked of the real world: for a look at tasks that the log lacks.

    A reset is no step, but it is a visit: nothing that is trained may use this.
    """
    other = copy.copy(world)

    def start(task: Task) -> str:
        return other.reset(options={"task": task})[0]

    return start


class DreamWorld(VectorWorld):
    """M_exp as a world.

    Args:
        model: the experience model, with its replay buffer.
        fold: the real world's rule from observation to abstract state.
        start: first observation of a task (see `start_from`).
        num_envs: number of rows.
        max_steps: step limit, as in the real world.
        temperature: 0 for the likeliest outcome, above it sampled ones.
        generator: source of randomness when sampling.
        hidden: the world's rule for what is to be sampled even at temperature 0
            (`World.hidden`); nothing when omitted.
    """

    source: Source = "dream"

    def __init__(
        self,
        model: ExperienceModel,
        fold: Fold,
        start: Callable[[Task], str],
        num_envs: int,
        max_steps: int = 10,
        temperature: float = 0.0,
        generator: torch.Generator | None = None,
        hidden: Hidden | None = None,
    ) -> None:
        super().__init__(num_envs)
        self.hidden = hidden or (lambda state, action: False)
        self.model, self.fold, self.start = model, fold, start
        self.max_steps, self.temperature, self.generator = max_steps, temperature, generator

    def _begin(self, tasks: Sequence[Task]) -> list[tuple[str, str]]:
        self._tasks = list(tasks)
        self._seen = [self.start(task) for task in tasks]
        self._states = [self.fold("", "", o) for o in self._seen]
        self._histories: list[tuple[Turn, ...]] = [() for _ in tasks]
        return list(zip(self._seen, self._states, strict=True))

    def _advance(self, rows: Sequence[int], actions: Sequence[str]) -> list[Row]:
        # Real worlds refuse longer actions; here the start of one is enough to refuse it by.
        actions = [action[:MAX_ACTION_CHARS] for action in actions]
        questions = [
            Question(
                self._tasks[i].instruction,
                self._histories[i],
                self._states[i],
                action,
                self.hidden(self._states[i], action),
            )
            for i, action in zip(rows, actions, strict=True)
        ]
        answers = self.model.imagine(questions, self.temperature, generator=self.generator)
        done = []
        for i, action, answer in zip(rows, actions, answers, strict=True):
            said = answer.outcome
            self._histories[i] = (*self._histories[i], (self._seen[i], action))
            self._states[i] = self.fold(self._states[i], action, said.observation)
            self._seen[i] = said.observation
            limit = len(self._histories[i]) >= self.max_steps
            done.append(
                Row(
                    observation=said.observation,
                    state=self._states[i],
                    # Rewards are outcome only: what is not the end pays nothing.
                    reward=said.reward if said.terminated else 0.0,
                    terminated=said.terminated,
                    truncated=limit and not said.terminated,
                    failed=said.observation.startswith(FAILURE),
                    reasoning=said.reasoning,
                    confidence=answer.confidence,
                )
            )
        return done
