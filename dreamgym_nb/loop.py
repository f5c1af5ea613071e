"""The closed loop: log → experience model → RL in the dream → the real world (Section 3).

`prepare` is step A: collect an offline log, train M_exp and the agent's start
on it.  `dream_rl` is step B: RL on dreamed rollouts while the buffer grows and the
curriculum writes tasks.  `real_rl` is the same RL in the real world: the baseline
from the agent's start, and step C, sim-to-real (S2R), after the dream.
`evaluation.evaluate` asks the real world, and only counts; nothing is learned from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dreamgym_nb.agent import imitate
from dreamgym_nb.backbone import load_backbone
from dreamgym_nb.curriculum import Curriculum
from dreamgym_nb.dream import DreamWorld, begun_in, start_from
from dreamgym_nb.evaluation import Evaluation, evaluate, summarise
from dreamgym_nb.experience import Task, Trajectory, Transition, transitions_of
from dreamgym_nb.experience_model import UNREADABLE, ExperienceModel
from dreamgym_nb.grpo import (
    GRPOSettings,
    IterationRecord,
    OnIteration,
    PickTasks,
    RLHistory,
    train_grpo,
    uniform_tasks,
)
from dreamgym_nb.hindsight import relabel
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.ppo import PPOSettings, train_ppo
from dreamgym_nb.prompts import Format
from dreamgym_nb.replay_buffer import ReplayBuffer
from dreamgym_nb.rollout import Episode
from dreamgym_nb.seeds import generator_for
from dreamgym_nb.task_writer import begin_as_seed, task_samples
from dreamgym_nb.training import FitHistory
from dreamgym_nb.value import ValueHead
from dreamgym_nb.worlds import World, collect_log
from dreamgym_nb.worlds.vector import RealWorlds, VectorWorld

Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Preparation:
    """Sizes of step A.

    Attributes:
        log_episodes: length of the offline log, episodes.
        model_steps, model_rate, model_easy: training of the experience model; for
            the last see `ExperienceModel.without_easy`.
        hindsight: judged steps under other tasks, for each judged step, see
            `hindsight.relabel`.
        task_samples: how many samples teach the same network to write tasks (M_task); with
            0, no curriculum can use it.
        agent_steps, agent_rate: imitation that gives the agent its start.
        format: which parts of Eq. 4 the experience model uses.
        seed: of log and training.
    """

    log_episodes: int = 2000
    model_steps: int = 350
    model_rate: float = 1.5e-3
    model_easy: float = 0.5
    hindsight: float = 0.0
    task_samples: int = 0
    agent_steps: int = 30
    agent_rate: float = 3e-4
    format: Format = field(default_factory=Format)
    seed: int = 0


PREPARATIONS = {
    "shop": Preparation(),
    "house": Preparation(model_steps=450, model_easy=0.2, hindsight=1.0, agent_steps=15),
    "web": Preparation(model_steps=450, model_easy=1.0, hindsight=1.0, agent_steps=20),
}
"""What each world is prepared with in the recorded runs."""


@dataclass
class Prepared:
    """What step A leaves behind.

    Attributes:
        world: the real world.
        log: the offline log; `offline_transitions` of them were paid for.
        model: the experience model with its buffer.
        agent: the policy's start.
        seconds: wall-clock time of each part.
    """

    world: World
    log: list[Trajectory]
    model: ExperienceModel
    agent: LanguageModel
    seconds: dict[str, float]

    @property
    def offline_transitions(self) -> int:
        """Real transitions in the offline log."""
        return sum(len(t.transitions) for t in self.log)

    def dreams(
        self,
        temperature: float = 0.0,
        seed: int = 0,
        start: Callable[[Task], str] | None = None,
    ) -> Callable[[int], VectorWorld]:
        """A maker of dreamed vector worlds, for `rollout` and RL.

        Args:
            temperature: see `DreamWorld`.
            seed: of what is sampled.
            start: first observation of a task; read off the log when omitted, which knows
                how its own tasks begin, and others only where all begin alike.
        """
        start = begin_as_seed(start or start_from(self.log))
        generator = generator_for("dream", seed, self.model.lm.device)

        def make(n: int) -> VectorWorld:
            return DreamWorld(
                self.model,
                self.world.fold,
                start,
                n,
                max_steps=self.world.max_steps,
                temperature=temperature,
                generator=generator,
                hidden=self.world.hidden,
            )

        return make

    def realities(self) -> Callable[[int], VectorWorld]:
        """A maker of real vector worlds."""
        return lambda n: RealWorlds(self.world, n)


def prepare(
    world: World,
    sizes: Preparation,
    backbone: LanguageModel | None = None,
    progress: Callable[[str], Progress] | None = None,
) -> Prepared:
    """Step A: offline log, experience model, agent start.

    Args:
        world: the real world; only its training tasks are played.
        sizes: how much of everything.
        backbone: both roles start from it; the one shipped for this world when omitted.
        progress: given a part's name, returns a callback for its updates.

    Raises:
        KeyboardInterrupt: a training was stopped: what is half trained is not step A.
    """
    clock, seconds = time.perf_counter(), {}
    tell = progress or (lambda part: None)

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = time.perf_counter() - clock, time.perf_counter()

    log = collect_log(world, world.tasks("train"), sizes.log_episodes, seed=sizes.seed)
    transitions = transitions_of(log)
    buffer = ReplayBuffer(transitions)
    lap("log")
    backbone = backbone or load_backbone(world.name)
    model = ExperienceModel(backbone.copy(), buffer, sizes.format)
    if learn_world(world, log, model, sizes, tell("experience model")).interrupted:
        raise KeyboardInterrupt
    lap("experience model")
    agent = backbone.copy()
    if learn_start(log, agent, sizes, tell("agent start")).interrupted:
        raise KeyboardInterrupt
    lap("agent start")
    return Prepared(world, log, model, agent, seconds)


def learn_world(
    world: World,
    log: Sequence[Trajectory],
    model: ExperienceModel,
    sizes: Preparation,
    progress: Progress | None = None,
) -> FitHistory:
    """Train an experience model on a log, and to write tasks if the sizes say so.

    Args:
        world: where the log comes from.
        log: what is learned.
        model: trained in place.
        sizes: how long and how.
        progress: called with (step, steps, loss) after each update.
    """
    transitions, n = transitions_of(log), sizes.task_samples
    return model.fit(
        transitions + relabel(world, transitions, sizes.hindsight, sizes.seed),
        steps=sizes.model_steps,
        learning_rate=sizes.model_rate,
        easy=sizes.model_easy,
        hidden=world.hidden,
        seed=sizes.seed,
        beside=task_samples(model.lm, log, n, seed=sizes.seed) if n else (),
        progress=progress,
    )


def learn_start(
    log: Sequence[Trajectory],
    agent: LanguageModel,
    sizes: Preparation,
    progress: Progress | None = None,
) -> FitHistory:
    """Give an agent its start by imitation of a log's successes.

    Args:
        log: whose successful episodes are imitated.
        agent: trained in place.
        sizes: how long and how.
        progress: called with (step, steps, loss) after each update.
    """
    return imitate(
        agent,
        log,
        steps=sizes.agent_steps,
        learning_rate=sizes.agent_rate,
        seed=sizes.seed,
        progress=progress,
    )


RLSettings = GRPOSettings | PPOSettings


def train_rl(
    agent: LanguageModel,
    make_worlds: Callable[[int], VectorWorld],
    pick_tasks: PickTasks,
    settings: RLSettings,
    on_iteration: OnIteration | None = None,
    value_head: ValueHead | None = None,
    budget: int | None = None,
) -> RLHistory:
    """RL by the algorithm that the settings are for; see `train_grpo` and `train_ppo`.

    Args:
        agent: the policy, trained in place.
        make_worlds: gives a vector world of so many rows, real or dreamed.
        pick_tasks: the tasks of an iteration.
        settings: `GRPOSettings` or `PPOSettings`.
        on_iteration: called after each update with its record and episodes.
        value_head: PPO's, trained in place; a new one when omitted.
        budget: of transitions, see `grpo.is_spent`; no limit when omitted.
    """
    if isinstance(settings, PPOSettings):
        return train_ppo(agent, make_worlds, pick_tasks, settings, on_iteration, value_head, budget)
    return train_grpo(agent, make_worlds, pick_tasks, settings, on_iteration, budget)


def dream_rl(
    prepared: Prepared,
    agent: LanguageModel,
    settings: RLSettings,
    *,
    grow: bool = True,
    curriculum: Curriculum | PickTasks | None = None,
    value_head: ValueHead | None = None,
    on_iteration: OnIteration | None = None,
) -> RLHistory:
    """Step B: RL on dreamed rollouts; no real transition is taken.

    Args:
        prepared: experience model, log and world (for its fold and tasks).
        agent: the policy, trained in place.
        settings: of GRPO or PPO.
        grow: whether dreamed transitions join the replay buffer; what was
            unreadable, or made up about something hidden, never does.
        curriculum: picks the tasks of each iteration, and is shown its episodes if it has
            a method ``observe``; when omitted, uniform over the training tasks of which the
            log tells how they begin.
        value_head: PPO's, see `train_ppo`.
        on_iteration: see `grpo.train_grpo`.
    """
    hidden, elsewhere = prepared.world.hidden, prepared.model.generated
    observe = getattr(curriculum, "observe", None)

    def sound(t: Transition) -> bool:
        return t.observation != UNREADABLE.observation and not hidden(t.state, t.action)

    def after(record: IterationRecord, episodes: list[Episode]) -> None:
        nonlocal elsewhere
        if grow:
            dreamed = [t for t in transitions_of(e.trajectory for e in episodes) if sound(t)]
            record.extra["new_memories"] = prepared.model.buffer.add(dreamed)
        record.extra["generated"] = prepared.model.generated - elsewhere
        if observe is not None:
            observe(episodes, settings.group_size)
        if on_iteration is not None:
            before = prepared.model.generated
            on_iteration(record, episodes)  # which may dream, too, to look at the agent
            elsewhere += prepared.model.generated - before

    return train_rl(
        agent,
        prepared.dreams(seed=settings.seed),
        curriculum or uniform_tasks(begun_in(prepared.log, prepared.world.tasks("train"))),
        settings,
        after,
        value_head,
    )


def real_rl(
    world: World,
    agent: LanguageModel,
    settings: RLSettings,
    *,
    budget: int | None = None,
    value_head: ValueHead | None = None,
    on_iteration: OnIteration | None = None,
) -> RLHistory:
    """RL in the real world: the baseline, or after the dream step C, sim-to-real.

    Args:
        world: counts each step, `World.real_steps`.
        agent: the policy, trained in place: the agent's start, or what the dream made of it.
        settings: of GRPO or PPO.
        budget: of real transitions, see `grpo.is_spent`; no limit when omitted.
        value_head: PPO's; that of the dream goes on with what it learned there.
        on_iteration: see `grpo.train_grpo`.
    """
    return train_rl(
        agent,
        lambda n: RealWorlds(world, n),
        uniform_tasks(world.tasks("train")),
        settings,
        on_iteration,
        value_head,
        budget,
    )


__all__ = [
    "PREPARATIONS",
    "Evaluation",
    "Preparation",
    "Prepared",
    "RLSettings",
    "dream_rl",
    "evaluate",
    "learn_start",
    "learn_world",
    "prepare",
    "real_rl",
    "summarise",
    "train_rl",
]
