"""PPO on whole episodes, written out: a value head, GAE, the clipped objective (Eq. 1, 2).

Against GRPO only the advantage differs.  GRPO asks how much better an episode
was than others of its task, and all its tokens share the answer; PPO learns
what to expect from each state, and asks of each token how much better things
stand after it (`advantages`).  So PPO needs no groups, but a value head
(`value`).  The rollouts, the records and the clipped objective are the same.

Left out of the full algorithm: a value network of its own, and a schedule of
the learning rate after its warm-up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from dreamgym_nb.errors import UserError
from dreamgym_nb.grpo import WARM_UP, OnIteration, PickTasks, RLHistory, is_spent, record_of
from dreamgym_nb.grpo_loss import clipped_gain
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.ppo_batch import Batch, gather
from dreamgym_nb.rollout import rollout
from dreamgym_nb.value import Look, ValueHead, look
from dreamgym_nb.worlds.vector import VectorWorld


@dataclass(frozen=True)
class PPOSettings:
    """How PPO is run.

    Attributes:
        iterations: rollouts and updates, in turn.
        groups: tasks in an iteration.
        group_size: rollouts of each task; PPO is content with one.
        learning_rate: of the policy, constant after a short warm-up.
        value_rate: learning rate of the value head, divided by the size of a
            hidden state: V is a sum over it, so this is about how far V moves
            in one update, whatever the model.
        epochs: times that an iteration's data is gone through.
        minibatches: optimiser steps in an epoch.
        clip: ε of the clipped objective.
        value_clip: how far V may move from its old value before that stops
            paying; None for no limit.
        value_weight: weight of the value loss, which counts for the policy's
            layers (the head has a learning rate of its own).
        shared: whether the value loss shapes the policy's layers too, or the
            head only reads them.
        entropy_weight: weight of the entropy bonus.
        gamma, lam: γ and λ of GAE, for each token of the agent (an episode has dozens,
            so λ is nearer to 1 than where a step is an action: 0.95^40 is 0.13).
        bootstrap: whether an episode cut by the step limit is worth V(s_T)
            there, as it might have gone on; otherwise 0, as if it had failed.  Where only
            success within the limit is paid, it has: V would be taught its own hope for
            each of them, and foresees less than a constant does after a few iterations.
        normalise: whether the advantages of an iteration get mean 0 and deviation 1.
        target_kl: an iteration's updates stop when the policy is this far
            from the one that acted, nats for each token; None for never.
        max_grad_norm: longer gradients are cut to this length.
        temperature: of the rollout policy.
        microbatch: sequences in one forward pass; bounds memory only.
        seed: of tasks, rollouts and batches.

    Raises:
        UserError: a number that PPO cannot work with.
    """

    iterations: int = 20
    groups: int = 16
    group_size: int = 8
    learning_rate: float = 3e-4
    value_rate: float = 0.1
    epochs: int = 2
    minibatches: int = 2
    clip: float = 0.2
    value_clip: float | None = None
    value_weight: float = 0.5
    shared: bool = True
    entropy_weight: float = 0.0
    gamma: float = 1.0
    lam: float = 0.99
    bootstrap: bool = False
    normalise: bool = True
    target_kl: float | None = 0.03
    max_grad_norm: float = 1.0
    temperature: float = 1.0
    microbatch: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        least = (self.iterations, self.groups, self.group_size, self.epochs)
        if min(*least, self.minibatches, self.microbatch) < 1:
            raise UserError(f"PPO needs at least one of everything; these are {self}.")
        if self.minibatches > self.groups * self.group_size:
            raise UserError(
                f"{self.groups * self.group_size} episodes cannot fill {self.minibatches} "
                "minibatches: take fewer minibatches, or more groups."
            )
        if not (0 <= self.gamma <= 1 and 0 <= self.lam <= 1):
            raise UserError(f"γ and λ lie between 0 and 1; these are {self.gamma} and {self.lam}.")
        for name in ("learning_rate", "value_rate", "clip", "max_grad_norm", "temperature"):
            if not getattr(self, name) > 0:
                raise UserError(f"PPO needs a {name} above 0, not {getattr(self, name)}.")
        for name in ("value_clip", "target_kl"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise UserError(f"{name} must be above 0, or None to do without it.")
        if min(self.value_weight, self.entropy_weight) < 0:
            raise UserError("The weights of value loss and entropy cannot be negative.")


# ---- the loss -------------------------------------------------------------------------------


def ppo_loss(
    new: Look,
    old: Look,
    advantages: torch.Tensor,
    returns: torch.Tensor,
    settings: PPOSettings,
    tokens: int | None = None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """``−E[min(ρÂ, clip(ρ)Â)] + c_V E[½ (V − R)²] − c_H E[H]``, and what to log.

    Args:
        new: what policy and value head say now about n tokens of the agent.
        old: what they said when these were written; constants.
        advantages: Â, (n,).
        returns: R, what V is to become, (n,).
        settings: clip, weights.
        tokens: what the sums are divided by; n when omitted.  For a part of a
            batch it is the whole's number, so that the parts add up.

    Returns:
        The loss, a scalar, and means over the tokens: ``policy_loss``,
        ``value_loss``, ``entropy``, ``clip_fraction`` and ``approx_kl``.
    """
    tokens = tokens or len(advantages)
    log_ratio = new.logprobs - old.logprobs
    ratio = log_ratio.exp()
    policy = -clipped_gain(ratio, advantages, settings.clip).sum() / tokens
    error = (new.values - returns) ** 2
    if settings.value_clip is not None:
        near = (new.values - old.values).clamp(-settings.value_clip, settings.value_clip)
        error = torch.max(error, (old.values + near - returns) ** 2)
    value = 0.5 * error.sum() / tokens
    entropy = new.entropy.sum() / tokens
    loss = policy + settings.value_weight * value - settings.entropy_weight * entropy
    with torch.no_grad():
        # Of KL(old‖new): never negative, and with less noise than the mean of −log ρ.
        kl = (ratio - 1 - log_ratio).sum() / tokens
        # As TRL counts them: tokens whose gain no longer grows, so without gradient.
        beyond = torch.where(advantages > 0, ratio > 1 + settings.clip, ratio < 1 - settings.clip)
        clipped = (beyond & (advantages != 0)).sum() / tokens
    return loss, {
        "policy_loss": policy.item(),
        "value_loss": value.item(),
        "entropy": entropy.item(),
        "clip_fraction": clipped.item(),
        "approx_kl": kl.item(),
    }


# ---- the update -----------------------------------------------------------------------------


def backward(
    lm: LanguageModel, head: ValueHead, batch: Batch, settings: PPOSettings
) -> dict[str, float]:
    """Add the gradient of `ppo_loss` on a batch, a part at a time; returns its means."""
    tokens = int(batch.agent.sum())
    means: dict[str, float] = {}
    for rows in batch.parts(settings.microbatch):
        part = batch.take(rows)
        here = part.agent
        new = look(
            lm, head, part.ids, here, temperature=settings.temperature, shared=settings.shared
        )
        old = Look(part.logprobs[here], part.values[here], part.entropy[here])
        loss, said = ppo_loss(new, old, part.advantages[here], part.returns[here], settings, tokens)
        loss.backward()
        means = {name: means.get(name, 0.0) + value for name, value in said.items()}
    return means


class _Updates:
    """The optimiser and its warm-up, which last from iteration to iteration."""

    def __init__(self, lm: LanguageModel, head: ValueHead, settings: PPOSettings) -> None:
        self.lm, self.head, self.settings = lm, head, settings
        self.rng = np.random.default_rng([settings.seed, 12])
        groups = [
            {"params": list(lm.model.parameters()), "lr": settings.learning_rate},
            {"params": list(head.parameters()), "lr": settings.value_rate / head.in_features},
        ]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0)
        self.warm_up = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda k: min(1.0, (k + 1) / WARM_UP)
        )

    def make(self, batch: Batch) -> dict[str, float]:
        """Improve policy and value head on a batch; returns means over the updates."""
        s, told, updates = self.settings, [], 0
        for rows in self._minibatches(len(batch.ids)):
            self.optimizer.zero_grad(set_to_none=True)
            told.append(backward(self.lm, self.head, batch.take(rows), s))
            if s.target_kl is not None and told[-1]["approx_kl"] > s.target_kl:
                break
            # Each its own limit: a head that is far off must not shorten the policy's step.
            norm = torch.nn.utils.clip_grad_norm_(self.lm.model.parameters(), s.max_grad_norm)
            torch.nn.utils.clip_grad_norm_(self.head.parameters(), s.max_grad_norm)
            told[-1]["grad_norm"] = float(norm)
            self.optimizer.step()
            self.warm_up.step()
            updates += 1
        self.optimizer.zero_grad(set_to_none=True)
        means = {n: float(np.mean([t[n] for t in told if n in t])) for n in told[0]}
        return {**means, "updates": updates}

    def _minibatches(self, episodes: int) -> Iterator[np.ndarray]:
        """Rows for each update, in random order: by length, failures would come together."""
        for _ in range(self.settings.epochs):
            yield from np.array_split(self.rng.permutation(episodes), self.settings.minibatches)


# ---- the loop -------------------------------------------------------------------------------


def train_ppo(
    lm: LanguageModel,
    make_worlds: Callable[[int], VectorWorld],
    pick_tasks: PickTasks,
    settings: PPOSettings,
    on_iteration: OnIteration | None = None,
    value_head: ValueHead | None = None,
    budget: int | None = None,
) -> RLHistory:
    """Improve the policy `lm` in place by PPO on rollouts in `make_worlds`.

    Interrupting it ends training early; the weights and the history so far
    are kept.

    Args:
        lm: the policy.
        make_worlds: gives a vector world of so many rows, real or dreamed.
        pick_tasks: the tasks of an iteration.
        settings: see `PPOSettings`.
        on_iteration: called after each update with its record and episodes;
            it may add to ``record.extra``.
        value_head: trained in place; pass the same one again to go on with what it
            learned, as from the dream to the real world.  A new one when omitted.
        budget: of transitions, see `grpo.is_spent`.

    Returns:
        The history, one record for each iteration.  Its ``extra`` holds
        ``policy_loss``, ``value_loss``, ``approx_kl``, ``explained_variance``
        (before the update) and the number of ``updates``.

    Raises:
        UserError: the value head does not fit the policy.
    """
    head = ValueHead.on(lm) if value_head is None else value_head.check(lm)
    history, updates = RLHistory(), _Updates(lm, head, settings)
    rng = np.random.default_rng([settings.seed, 11])
    generator = torch.Generator(device=lm.device).manual_seed(settings.seed)
    transitions, aside, start = 0, 0.0, time.perf_counter()
    lm.model.eval()  # throughout: what acted, dropout off, is what is trained
    try:
        for iteration in range(1, settings.iterations + 1):
            tasks = pick_tasks(settings.groups, rng)
            episodes = rollout(
                lm,
                make_worlds,
                [task for task in tasks for _ in range(settings.group_size)],
                temperature=settings.temperature,
                generator=generator,
            )
            batch = Batch.of(lm, episodes, settings.bootstrap)
            head.begin(batch.earned(settings.gamma))
            foreseen = gather(lm, head, batch, settings)
            told = {**updates.make(batch), "explained_variance": foreseen}
            record = record_of(iteration, episodes, settings.group_size)
            transitions += record.transitions
            now = time.perf_counter()
            record = replace(
                record,
                transitions=transitions,
                entropy=told.pop("entropy"),
                clip_fraction=told.pop("clip_fraction"),
                grad_norm=told.pop("grad_norm", float("nan")),
                seconds=now - start - aside,
                extra=told,
            )
            history.iterations.append(record)
            if on_iteration is not None:
                on_iteration(record, episodes)
                aside += time.perf_counter() - now
            if is_spent(budget, history):
                break
    except KeyboardInterrupt:
        history.interrupted = True
        done = len(history.iterations)
        print(f"Stopped after {done} of {settings.iterations} iterations; the agent keeps them.")
    return history
