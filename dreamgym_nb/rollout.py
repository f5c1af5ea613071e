"""Agents × worlds → trajectories, many at once.

The agent's language model keeps one key-value cache for the whole batch:
each turn reads only the new observation and writes only the new action.
Episodes that end leave the batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from dreamgym_nb.agent import MAX_ACTION_TOKENS, action_of
from dreamgym_nb.experience import Task, Trajectory, Transition
from dreamgym_nb.heap import hand_back
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import first_turn, next_turn
from dreamgym_nb.team import Team
from dreamgym_nb.worlds.vector import VectorWorld

_counter = itertools.count()


@dataclass
class Episode:
    """A trajectory and its tokens, for training on it.

    Attributes:
        trajectory: what happened, as records.
        tokens: the transcript, without the last observation.
        mask: 1 where the token is the agent's, 0 where it is the world's.
        logprobs: log π(token) for the agent's tokens, 0.0 elsewhere.
    """

    trajectory: Trajectory
    tokens: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def world_says(self, tokens: Sequence[int]) -> None:
        """Append the world's tokens."""
        self.tokens += tokens
        self.mask += [0] * len(tokens)
        self.logprobs += [0.0] * len(tokens)

    def agent_says(self, tokens: Sequence[int], logprobs: Sequence[float]) -> None:
        """Append the agent's tokens."""
        self.tokens += tokens
        self.mask += [1] * len(tokens)
        self.logprobs += logprobs


def rollout(
    lm: LanguageModel,
    make_worlds: Callable[[int], VectorWorld],
    tasks: Sequence[Task],
    *,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    batch_size: int = 128,
) -> list[Episode]:
    """Let the agent act once on each task.

    Args:
        lm: the policy.
        make_worlds: gives a vector world of so many rows, real or dreamed.
        tasks: one for each episode; repeat a task for a group.
        temperature: of the policy; 0 for greedy.
        generator: source of randomness.
        batch_size: episodes at once.

    Returns:
        One episode for each task, in order.  One whose next turn would be more than the model
        reads is cut there, as at the world's step limit.

    Raises:
        UserError: a first observation alone is more than the model reads.
    """
    episodes: list[Episode] = []
    for start in range(0, len(tasks), batch_size):
        hand_back()  # what an update before it has left
        part = tasks[start : start + batch_size]
        episodes += _roll(lm, make_worlds(len(part)), part, temperature, generator)
    return episodes


def _roll(
    lm: LanguageModel,
    world: VectorWorld,
    tasks: Sequence[Task],
    temperature: float,
    generator: torch.Generator | None,
) -> list[Episode]:
    observations, info = world.reset(options={"tasks": list(tasks)})
    states = info["state"]
    ids = [f"{world.source}{next(_counter):07d}" for _ in tasks]
    first = list(zip(observations, states, strict=True))
    episodes = [
        Episode(Trajectory(id, task, *begin, (), False))
        for id, task, begin in zip(ids, tasks, first, strict=True)
    ]
    seen, histories = list(observations), [()] * len(tasks)
    steps: list[list[Transition]] = [[] for _ in tasks]
    truncated = np.zeros(len(tasks), bool)
    # Actions are short and drawn at random: guessing them costs more than it saves.
    session, live = Team(lm, len(tasks), draft=0), list(range(len(tasks)))
    says = [first_turn(t.instruction, o) for t, o in zip(tasks, observations, strict=True)]
    lm.check_length(
        max(len(lm.encode(s)) for s in says) + MAX_ACTION_TOKENS,
        "The longest first observation, with an action,",
        "shorten what the world says, or take a model with a longer context.",
    )
    while live:
        chunks = [lm.encode(says[i]) for i in live]
        session.read(chunks)
        written = session.write(MAX_ACTION_TOKENS, temperature, generator)
        actions: list[str | None] = [None] * len(tasks)
        for i, chunk, g in zip(live, chunks, written, strict=True):
            episodes[i].world_says(chunk)
            episodes[i].agent_says(g.tokens, g.logprobs)
            actions[i] = action_of(lm.decode(g.tokens))
        answers, rewards, terminated, truncated, info = world.step(actions)
        for i in live:
            steps[i].append(
                Transition(
                    task=tasks[i],
                    history=histories[i],
                    state=states[i],
                    action=actions[i],
                    reasoning=info["reasoning"][i],
                    observation=answers[i],
                    next_state=info["state"][i],
                    reward=float(rewards[i]),
                    terminated=bool(terminated[i]),
                    source=world.source,
                    trajectory=ids[i],
                    failed=info["failed"][i],
                    confidence=info["confidence"][i],
                )
            )
            histories[i] = (*histories[i], (seen[i], actions[i]))
            seen[i] = answers[i]
        states = info["state"]
        says = {i: next_turn(seen[i]) for i in live}
        going = [r for r, i in enumerate(live) if not (terminated[i] or truncated[i])]
        if lm.context is not None:
            room = lm.context - MAX_ACTION_TOKENS
            full = [
                i
                for i in (live[r] for r in going)
                if len(episodes[i].tokens) + len(lm.encode(says[i])) > room
            ]
            if full:  # a dream written by hand, as in lesson 06, need not know how to cut
                world.cut(full)
                truncated[full] = True
            going = [r for r in going if live[r] not in full]
        live = [live[r] for r in going]
        if live:
            session.keep(going)
    for i, episode in enumerate(episodes):
        episode.trajectory = Trajectory(
            ids[i], tasks[i], *first[i], tuple(steps[i]), bool(truncated[i])
        )
    return episodes


def success_rate(episodes: Sequence[Episode]) -> float:
    """Share of episodes that ended in success."""
    return sum(e.trajectory.success for e in episodes) / len(episodes)
