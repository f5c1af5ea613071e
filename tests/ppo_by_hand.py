"""PPO in the toy world: small settings, episodes, weights."""

import dataclasses
import itertools

import torch
from toy import TASKS, Toy

from dreamgym_nb.ppo import PPOSettings, train_ppo
from dreamgym_nb.rollout import rollout


def by_turns(n):
    """Pays every other episode, whatever is done: there is always something to learn from."""
    paid = itertools.cycle((0.0, 1.0))
    return Toy(n, lambda action: next(paid))


SMALL = PPOSettings(
    iterations=1, groups=2, group_size=4, learning_rate=1e-3, epochs=1, minibatches=1, seed=1
)


def change(**options):
    return dataclasses.replace(SMALL, **options)


def train(agent, settings=SMALL, worlds=Toy, **options):
    return train_ppo(agent, worlds, lambda n, rng: TASKS[:n], settings, **options)


def episodes_of(agent, worlds=Toy, n=4, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return rollout(agent, worlds, [t for t in TASKS for _ in range(n)], generator=generator)


def weights(lm):
    return torch.cat([p.detach().flatten().clone() for p in lm.model.parameters()])
