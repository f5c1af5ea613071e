"""What every world is: a Gymnasium environment of text in and text out.

Real, dreamed and corrupted worlds obey this one contract, so that every
agent, rollout and plot works on each.  A world adds to Gymnasium

* tasks with disjoint splits, ``tasks("train")`` and ``tasks("test")``;
* ``fold``, the pure rule that turns raw observations into the abstract state
  (the paper's meta-representation, Section 2); the dream uses the same rule;
* ``teacher``, which writes the reasoning trace R*, and ``act``, the
  behaviours (an expert and worse ones) from which offline logs are made;
* ``real_steps``, because every real transition is counted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Text

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task, Trajectory, Transition, Turn

SPLITS = ("train", "test")
PRINTABLE = "".join(chr(c) for c in range(32, 127)) + "\n"
MAX_ACTION_CHARS = 200  # longer actions are refused by the world, not cut

# The first words of every failure; what follows says why.
FAILURE = "nothing happens:"

# The first word of each line in which a teacher compares what the task wants with what was got.
WANTED = "wanted"


class World(gymnasium.Env[str, str]):
    """A text world with tasks, a teacher and a step counter.

    A subclass sets `name` and `max_steps` and writes the abstract methods.
    Its `_begin` and `_apply` hold the world itself; `reset` and `step` keep
    the books, the same for all worlds.

    Attributes:
        name: the world's name, as in ``Task.world``.
        max_steps: the step limit; reaching it truncates.
        failing_ends: whether a step that is judged ends the episode also where it
            fails, as buying the wrong thing does.
        real_steps: real transitions taken since this object was made.
        task: the present task.
        state: the present abstract state.
        raw: what the environment itself showed last (HTML, the simulator's
            own text), before it was made short; empty where that is the same.
        history: the turns so far.
    """

    name: str
    max_steps: int
    failing_ends = True
    metadata = {"render_modes": ["ansi"]}

    def __init__(self) -> None:
        self.action_space = Text(max_length=MAX_ACTION_CHARS, min_length=0, charset=PRINTABLE)
        self.observation_space = Text(max_length=8000, min_length=1, charset=PRINTABLE)
        self.render_mode = "ansi"
        self.real_steps = 0
        self.task: Task | None = None
        self.state = self.observation = self.raw = ""
        self.history: tuple[Turn, ...] = ()
        self._over = True

    # ---- what a world must say -------------------------------------------------

    @abstractmethod
    def tasks(self, split: str) -> Sequence[Task]:
        """The tasks of a split, ``"train"`` or ``"test"``; no task is in both."""

    @abstractmethod
    def _begin(self, task: Task) -> str:
        """Start an episode of `task`; returns the first observation."""

    @abstractmethod
    def _apply(self, action: str) -> tuple[str, float, bool, dict[str, Any]]:
        """Do `action`; returns (observation, reward, terminated, info)."""

    @abstractmethod
    def admissible_actions(self) -> list[str]:
        """The actions that would work now; one may have a blank such as ``[text]`` to be filled."""

    @abstractmethod
    def fold(self, state: str, action: str, observation: str) -> str:
        """The abstract state after `action` in `state` was answered by `observation`.

        Pure: the same for real and for dreamed observations.  At the start
        `state` and `action` are empty.
        """

    def hidden(self, state: str, action: str) -> bool:
        """Whether the answer to `action` shows what nothing before could tell.

        The inside of a cabinet that was never opened is such a thing.  The
        dream samples these answers and takes the likeliest of all others; what
        it made up is in the abstract state from then on and stays.
        """
        return False

    @abstractmethod
    def teacher(self, task: Task, state: str, action: str) -> str:
        """The reasoning trace R*: why `action` in `state` has the effect it has.

        Pure in its arguments, so that a stored log can be annotated; a large
        language model can take its place.
        """

    def verdict(self, task: Task, state: str, action: str) -> bool | None:
        """The teacher's verdict: whether the step is a success; None where it weighs nothing.

        Where it weighs, from the first line of wanted against got on, no line
        of its trace may end in "no".
        """
        lines = self.teacher(task, state, action).split("\n")
        first = next((i for i, line in enumerate(lines) if line.startswith(WANTED)), None)
        if first is None:
            return None
        return not any(line.endswith(" no") for line in lines[first:])

    @abstractmethod
    def act(self, behaviour: str, rng: np.random.Generator) -> str:
        """The next action of `behaviour` in the present episode."""

    def forget(self) -> None:
        """Let go of what earlier episodes left behind; a log begins with it.

        Nothing, in most worlds: one whose behaviours remember has it.
        """

    @property
    @abstractmethod
    def behaviours(self) -> Mapping[str, float]:
        """The behaviours of the offline log and their usual shares."""

    # ---- the books -------------------------------------------------------------

    def task_by_id(self, id: str) -> Task:
        """The task of that id.

        Raises:
            UserError: no split has it.
        """
        for split in SPLITS:
            for task in self.tasks(split):
                if task.id == id:
                    return task
        example = self.tasks("train")[0].id
        raise UserError(f"The {self.name} has no task {id!r}; an id looks like {example!r}.")

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: for the choice of a task where `options` names none.
            options: ``{"task": Task or id}``; without it a random training task.

        Returns:
            The first observation and ``info``.

        Raises:
            UserError: unknown task id, or a task of another world.
        """
        super().reset(seed=seed)
        task = (options or {}).get("task")
        if task is None:
            choices = self.tasks("train")
            task = choices[int(self.np_random.integers(len(choices)))]
        elif isinstance(task, str):
            task = self.task_by_id(task)
        elif not isinstance(task, Task):
            raise UserError(f"A task is a Task or the id of one, not {task!r}.")
        if task.world != self.name:
            raise UserError(
                f"Task {task.id!r} belongs to the world {task.world!r}, not to {self.name!r}."
            )
        self.task, self.history, self._over = task, (), False
        self.observation = self._begin(task)
        self.state = self.fold("", "", self.observation)
        return self.observation, self._info(success=False, failed=False)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one real step; it is counted in `real_steps`.

        An unknown or impossible action never raises: nothing happens, the
        reward is 0 and the observation says why.

        Raises:
            RuntimeError: the episode is over or none was started.
        """
        if self._over:
            raise RuntimeError("The episode is over (or none was started): call reset first.")
        self.real_steps += 1
        action, before = str(action), self.observation
        observation, reward, terminated, info = self._apply(action)
        self.state = self.fold(self.state, action, observation)
        self.history = (*self.history, (before, action))
        self.observation = observation
        truncated = not terminated and len(self.history) >= self.max_steps
        self._over = terminated or truncated
        failed = observation.startswith(FAILURE)
        return (
            observation,
            reward,
            terminated,
            truncated,
            {**self._info(success=reward >= 1.0, failed=failed), **info},
        )

    def _info(self, *, success: bool, failed: bool) -> dict[str, Any]:
        return {
            "task": self.task,
            "state": self.state,
            "raw": self.raw or self.observation,
            "admissible_actions": [] if self._over else self.admissible_actions(),
            "success": success,
            "failed": failed,
        }

    def render(self) -> str:
        """The present abstract state as text."""
        return self.state


def check_splits(tasks: Mapping[str, Sequence[Task]]) -> None:
    """Hold a world's tasks to the splits: both are there, and no task is in both.

    Raises:
        UserError: they are not.
    """
    if set(tasks) != set(SPLITS):
        raise UserError(f"Give tasks for both splits, {SPLITS}; these are for {sorted(tasks)}.")
    both = {t.id for t in tasks["train"]} & {t.id for t in tasks["test"]}
    if both:
        raise UserError(f"Task {min(both)!r} is in both splits; a test task is never trained on.")


def collect_log(
    world: World,
    tasks: Sequence[Task],
    episodes: int,
    seed: int,
    mix: Mapping[str, float] | None = None,
) -> list[Trajectory]:
    """Let the behaviours of a world act and write down what happens (step A of the loop).

    Args:
        world: the real world; its `real_steps` grow by the length of the log.
        tasks: the tasks to act on, drawn with replacement.
        episodes: number of trajectories.
        seed: fixes tasks, behaviours and actions.
        mix: share of each behaviour; ``world.behaviours`` when omitted.

    Returns:
        The trajectories, each step annotated with the teacher's trace R*; the same,
        whatever was played in this world before.

    Raises:
        UserError: a behaviour that the world does not have, no task, or no share above 0.
    """
    if episodes < 0 or not tasks:
        raise UserError(
            f"A log needs tasks and a number of episodes; these are {len(tasks)} and {episodes}."
        )
    mix = dict(mix or world.behaviours)
    unknown = set(mix) - set(world.behaviours)
    if unknown:
        raise UserError(
            f"The {world.name} has no behaviour {sorted(unknown)}; it has {list(world.behaviours)}."
        )
    if min(mix.values()) < 0 or not any(mix.values()):
        raise UserError(f"Shares of behaviours are not negative, nor all of them 0: {mix}.")
    world.forget()
    rng = np.random.default_rng(seed)
    names, shares = list(mix), np.array(list(mix.values()), float)
    drawn = rng.choice(len(names), size=episodes, p=shares / shares.sum())
    return [
        play(
            world,
            tasks[int(rng.integers(len(tasks)))],
            lambda w, b=names[b]: w.act(b, rng),
            id=f"log{seed}/{i:05d}",
            behaviour=names[b],
        )
        for i, b in enumerate(drawn)
    ]


def play(world: World, task: Task, policy: Any, *, id: str, behaviour: str) -> Trajectory:
    """Play one episode of `task` with ``policy(world) -> action`` and record it.

    A policy that has nothing more to do returns None; the episode is then
    neither terminated nor truncated.
    """
    first, _ = world.reset(options={"task": task})
    start, transitions, truncated, terminated = world.state, [], False, False
    while not (terminated or truncated):
        state, history = world.state, world.history
        action = policy(world)
        if action is None:
            break
        reasoning = world.teacher(task, state, action)
        observation, reward, terminated, truncated, info = world.step(action)
        transitions.append(
            Transition(
                task=task,
                history=history,
                state=state,
                action=action,
                reasoning=reasoning,
                observation=observation,
                next_state=world.state,
                reward=reward,
                terminated=terminated,
                source="real",
                trajectory=id,
                failed=info["failed"],
            )
        )
    return Trajectory(id, task, first, start, tuple(transitions), truncated, behaviour)
