"""GRPO on whole episodes, through TRL's trainer (Eq. 3).

TRL computes the group advantages ``Â = (r − mean_G r) / std_G r``, the clipped
objective and the update; the rollout is ours.  One TRL step is one iteration
of the loop: tasks, n rollouts of each, one update (or a few).  The world's
tokens are masked: they carry no gradient.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.experience import Task
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.rollout import Episode, rollout, success_rate
from dreamgym_nb.trl_trainer import common_arguments, own_forward, quiet, without_printers
from dreamgym_nb.worlds.vector import VectorWorld

WARM_UP = 5  # updates until the full learning rate


@dataclass(frozen=True)
class GRPOSettings:
    """How GRPO is run.

    Attributes:
        iterations: updates of the rollout policy's data, I.
        groups: tasks in an iteration.
        group_size: rollouts of each task, n.
        learning_rate: constant after a short warm-up.
        minibatches: optimiser steps on each iteration's data.
        clip: ε of the clipped objective.
        temperature: of the rollout policy.
        microbatch: sequences in one forward pass; bounds memory only.
        seed: of tasks, rollouts and batches.

    Raises:
        UserError: no iterations or groups, groups of fewer than two, in which no rollout is
            better than another, a number that must be above 0, or episodes that the
            minibatches and their passes do not divide.
    """

    iterations: int = 20
    groups: int = 16
    group_size: int = 8
    learning_rate: float = 3e-4
    minibatches: int = 1
    clip: float = 0.2
    temperature: float = 1.0
    microbatch: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.iterations, self.groups, self.minibatches, self.microbatch) < 1:
            raise UserError(f"GRPO needs at least one of everything; these are {self}.")
        if self.group_size < 2:
            raise UserError(
                "GRPO compares rollouts of the same task, so a group needs two or more of them; "
                f"group_size is {self.group_size}."
            )
        for name in ("learning_rate", "clip", "temperature"):
            if not getattr(self, name) > 0:
                raise UserError(f"GRPO needs a {name} above 0, not {getattr(self, name)}.")
        episodes, each = self.groups * self.group_size, self.microbatch * self.minibatches
        if episodes % each:
            raise UserError(
                f"groups × group_size = {episodes} must be a multiple of microbatch × minibatches "
                f"= {self.microbatch} × {self.minibatches}."
            )


@dataclass
class IterationRecord:
    """What one iteration of RL did.

    Attributes:
        iteration: from 1.
        success: share of the rollouts that succeeded in the world trained in.
        turns: mean length of an episode.
        failed_actions: share of the actions that failed.
        mixed_groups: share of groups with both success and failure; only
            these teach GRPO anything.
        value_spread: mean over groups of V_τ = (1/n) Σ (r_i − r̄)².
        transitions: cumulative, in the world trained in.
        entropy, clip_fraction, grad_norm: TRL's, mean over the minibatches; of GRPO the first
            two are those of the passes that teach, see `grpo_trainer`.
        seconds: of the clock since the start of training, without what the caller does after
            an iteration (evaluation; in the dream also the growth of buffer and curriculum).
        extra: whatever the caller's callback adds (evaluations, …).
    """

    iteration: int
    success: float
    turns: float
    failed_actions: float
    mixed_groups: float
    value_spread: float
    transitions: int
    entropy: float = float("nan")
    clip_fraction: float = float("nan")
    grad_norm: float = float("nan")
    seconds: float = 0.0
    extra: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a record."""
        return asdict(self)


@dataclass
class RLHistory:
    """All iterations; `interrupted` when training was stopped by hand."""

    iterations: list[IterationRecord] = field(default_factory=list)
    interrupted: bool = False

    def column(self, name: str) -> list[Any]:
        """One field (or `extra` entry) of every iteration that has it."""
        rows = ({**r.extra, **asdict(r)} for r in self.iterations)
        return [row[name] for row in rows if name in row]


def record_of(iteration: int, episodes: Sequence[Episode], group_size: int) -> IterationRecord:
    """What the episodes of one iteration say; `transitions` counts theirs alone.

    Args:
        iteration: from 1.
        episodes: of whole groups, those of a group side by side.
        group_size: rollouts of a task.
    """
    rewards = np.array([e.trajectory.reward for e in episodes]).reshape(-1, group_size)
    steps = [t for e in episodes for t in e.trajectory.transitions]
    return IterationRecord(
        iteration=iteration,
        success=success_rate(episodes),
        turns=len(steps) / len(episodes),
        failed_actions=sum(t.failed for t in steps) / len(steps),
        mixed_groups=float((rewards.std(axis=1) > 0).mean()),
        value_spread=float(rewards.var(axis=1).mean()),
        transitions=len(steps),
    )


OnIteration = Callable[[IterationRecord, list[Episode]], None]
PickTasks = Callable[[int, np.random.Generator], Sequence[Task]]


def uniform_tasks(tasks: Sequence[Task]) -> PickTasks:
    """Tasks drawn uniformly without repetition within an iteration.

    Raises:
        UserError: there is no task.
    """
    if not tasks:
        raise UserError("There is no task to practise: give at least one.")

    def pick(n: int, rng: np.random.Generator) -> Sequence[Task]:
        return [tasks[i] for i in rng.choice(len(tasks), n, replace=n > len(tasks))]

    return pick


def is_spent(budget: int | None, history: RLHistory) -> bool:
    """Whether one more iteration, as long as the longest so far, would go beyond the budget.

    The first iteration is always run: nothing tells before how long it will be.  And the last
    may go beyond the budget by what it is longer than all before it.

    Args:
        budget: transitions; None for no limit.
        history: the iterations so far, at least one.
    """
    so_far = [0, *history.column("transitions")]
    longest = max(b - a for a, b in zip(so_far, so_far[1:], strict=False))
    return budget is not None and so_far[-1] + longest > budget


def train_grpo(
    lm: LanguageModel,
    make_worlds: Callable[[int], VectorWorld],
    pick_tasks: PickTasks,
    settings: GRPOSettings,
    on_iteration: OnIteration | None = None,
    budget: int | None = None,
) -> RLHistory:
    """Improve the policy `lm` in place by GRPO on rollouts in `make_worlds`.

    Interrupting it ends training early; the weights and the history so far
    are kept.

    Args:
        lm: the policy.
        make_worlds: gives a vector world of so many rows, real or dreamed.
        pick_tasks: the tasks of an iteration.
        settings: see `GRPOSettings`.
        on_iteration: called after each update with its record and episodes;
            it may add to ``record.extra``.
        budget: of transitions, which the last iteration may pass a little, see `is_spent`.

    Returns:
        The history, one record for each iteration.
    """
    history = RLHistory()
    glue = _Glue(lm, make_worlds, pick_tasks, settings, history, on_iteration)
    glue.budget = budget
    try:
        with quiet(), own_forward(lm.model):
            _trainer(lm, glue, settings).train()
    except KeyboardInterrupt:
        history.interrupted = True
        done = len(history.iterations)
        print(f"Stopped after {done} of {settings.iterations} iterations; the agent keeps them.")
    lm.model.eval()
    return history


class _Glue:
    """What TRL calls: the rollout, the reward, and the end of a step."""

    def __init__(self, lm, make_worlds, pick_tasks, settings, history, on_iteration) -> None:
        self.lm, self.make_worlds, self.pick_tasks = lm, make_worlds, pick_tasks
        self.settings, self.history, self.on_iteration = settings, history, on_iteration
        self.rng = np.random.default_rng([settings.seed, 11])
        self.generator = torch.Generator(device=lm.device).manual_seed(settings.seed)
        self.episodes: list[Episode] = []
        self.budget: int | None = None
        self.transitions, self.aside, self.start = 0, 0.0, time.perf_counter()

    def rollout(self, prompts: list[str], trainer: Any) -> dict[str, list[Any]]:
        """TRL's rollout_func; its prompts only count the rows, the tasks are ours."""
        n = self.settings.group_size
        tasks = self.pick_tasks(len(prompts) // n, self.rng)
        self.lm.model.eval()
        self.episodes = rollout(
            self.lm,
            self.make_worlds,
            [task for task in tasks for _ in range(n)],
            temperature=self.settings.temperature,
            generator=self.generator,
        )
        self.lm.model.train()
        # What comes before the agent's first token is the prompt, the rest,
        # observations included, the completion; the mask tells them apart.
        first = [e.mask.index(1) for e in self.episodes]
        rows = list(zip(self.episodes, first, strict=True))
        return {
            "prompt_ids": [e.tokens[:f] for e, f in rows],
            "completion_ids": [e.tokens[f:] for e, f in rows],
            "env_mask": [e.mask[f:] for e, f in rows],
            "logprobs": None,
            "outcome": [e.trajectory.reward for e in self.episodes],
        }

    def end_of_step(self, logs: dict[str, float]) -> None:
        """Write the iteration's record from its episodes and TRL's logs."""
        iteration = len(self.history.iterations) + 1
        record = record_of(iteration, self.episodes, self.settings.group_size)
        self.transitions += record.transitions
        now = time.perf_counter()
        record = dataclasses.replace(
            record,
            transitions=self.transitions,
            entropy=logs.get("entropy", float("nan")),
            clip_fraction=logs.get("clip_ratio/region_mean", float("nan")),
            grad_norm=logs.get("grad_norm", float("nan")),
            seconds=now - self.start - self.aside,
        )
        self.history.iterations.append(record)
        if self.on_iteration is not None:
            self.on_iteration(record, self.episodes)
            self.aside += time.perf_counter() - now


def _outcome_reward(outcome: list[float], **_: Any) -> list[float]:
    return outcome


def _trainer(lm: LanguageModel, glue: _Glue, s: GRPOSettings) -> Any:
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig

    from dreamgym_nb.grpo_trainer import TrimmedTrainer

    chunks = s.groups * s.group_size // s.microbatch  # forward passes for one iteration's data

    class EndOfIteration(TrainerCallback):
        """Collects TRL's logs and closes the iteration after its last minibatch."""

        logs: dict[str, list[float]] = {}

        def on_log(self, args, state, control, logs=None, **_):
            for name, value in (logs or {}).items():
                self.logs.setdefault(name, []).append(value)
            if state.global_step and state.global_step % s.minibatches == 0 and "loss" in logs:
                glue.end_of_step({k: float(np.mean(v)) for k, v in self.logs.items()})
                self.logs.clear()
                control.should_training_stop |= is_spent(glue.budget, glue.history)

    args = GRPOConfig(
        **common_arguments(lm, s.learning_rate, s.microbatch, s.seed),
        max_steps=s.iterations * s.minibatches,
        gradient_accumulation_steps=chunks // s.minibatches,
        steps_per_generation=chunks,
        num_generations=s.group_size,
        max_completion_length=2048,
        temperature=s.temperature,
        epsilon=s.clip,
        beta=0.0,
        loss_type="dapo",
        scale_rewards="group",
        shuffle_dataset=False,
    )
    # The library's warm-up begins at a rate of 0, which would waste the first rollouts.
    optimizer = torch.optim.AdamW(
        lm.model.parameters(), lr=s.learning_rate, betas=(0.9, 0.95), weight_decay=0.0
    )
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, (k + 1) / WARM_UP))
    # TRL wants a dataset; ours only says how many groups an iteration has.
    rows = Dataset.from_dict({"prompt": [f"group {i}" for i in range(s.groups)]})
    trainer = TrimmedTrainer(
        model=lm.model,
        reward_funcs=_outcome_reward,
        args=args,
        train_dataset=rows,
        processing_class=lm.tokenizer,
        rollout_func=glue.rollout,
        callbacks=[EndOfIteration()],
        optimizers=(optimizer, warm_up),
    )
    return without_printers(trainer)
