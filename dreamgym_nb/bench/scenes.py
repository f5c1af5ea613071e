"""What the sections measure on: a world, its log, its backbone, and recorded questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from dreamgym_nb.agent import imitate
from dreamgym_nb.backbone import load_backbone
from dreamgym_nb.dream import DreamWorld, start_from
from dreamgym_nb.experience import Trajectory, Transition, transitions_of
from dreamgym_nb.experience_model import ExperienceModel, Imagined, Question
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.loop import PREPARATIONS
from dreamgym_nb.prompts import Format
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.rollout import rollout
from dreamgym_nb.worlds import World, collect_log, make_world

SEED = 0


@dataclass(frozen=True)
class Scene:
    """One world made ready for measuring; the backbone plays both roles.

    Attributes:
        world: the real world.
        log: its offline log.
        transitions: the log's steps.
        buffer: the replay buffer on them; nothing may add to it.
        backbone: the shipped model; copy it before training.
    """

    world: World
    log: list[Trajectory]
    transitions: list[Transition]
    buffer: ReplayBuffer
    backbone: LanguageModel

    def lm(self) -> LanguageModel:
        """The backbone's weights with no text tokenised yet."""
        return LanguageModel(self.backbone.model, self.backbone.tokenizer)

    def dream(self, model: Any, rows: int) -> DreamWorld:
        """A dreamed vector world of that model."""
        world = self.world
        start, limit = start_from(self.log), world.max_steps
        return DreamWorld(
            model,
            world.fold,
            start,
            rows,
            limit,
            generator=torch.Generator().manual_seed(SEED),
            hidden=world.hidden,
        )


@lru_cache(maxsize=4)
def scene(name: str, episodes: int) -> Scene:
    """The world `name` with a log of so many episodes; made once for each pair."""
    world = make_world(name, seed=SEED)
    log = collect_log(world, world.tasks("train"), episodes, seed=SEED)
    transitions = transitions_of(log)
    return Scene(world, log, transitions, ReplayBuffer(transitions), load_backbone(name))


class _Recorder:
    """An experience model that keeps what it was asked, turn by turn."""

    def __init__(self, model: ExperienceModel) -> None:
        self.model, self.turns = model, []

    def imagine(self, questions: Sequence[Question], *args, **options) -> list[Imagined]:
        self.turns.append(list(questions))
        return self.model.imagine(questions, *args, **options)


@lru_cache(maxsize=4)
def beginner(name: str, episodes: int, steps: int) -> LanguageModel:
    """The agent's start in a run: the backbone after some updates of imitation."""
    of = scene(name, episodes)
    agent = of.backbone.copy()
    if steps:
        rate = PREPARATIONS[name].agent_rate
        imitate(agent, of.log, steps=steps, learning_rate=rate, seed=SEED)
    return agent


def recorded_questions(
    of: Scene, agent: LanguageModel, groups: int, group_size: int
) -> list[list[Question]]:
    """What a rollout of GRPO groups asks the dream, turn by turn.

    The agent acts at temperature 1 on the first training tasks, on each as often
    as a group is large.
    """
    model = ExperienceModel(of.lm(), of.buffer, Format())
    recorder = _Recorder(model)
    tasks = of.world.tasks("train")[:groups]
    rollout(
        agent,
        lambda n: of.dream(recorder, n),
        [task for task in tasks for _ in range(group_size)],
        generator=torch.Generator().manual_seed(SEED),
    )
    return recorder.turns
