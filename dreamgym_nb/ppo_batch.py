"""An iteration of PPO as tensors: which tokens are the agent's, what they earned, what V said.

Laying out is `Batch.of`; `gather` asks the acting policy and its value head
about every token of the agent, once, before anything is updated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch

from dreamgym_nb.advantages import explained_variance, gae
from dreamgym_nb.language_model import LanguageModel
from dreamgym_nb.prompts import next_turn
from dreamgym_nb.rollout import Episode
from dreamgym_nb.value import ValueHead, look

if TYPE_CHECKING:
    from dreamgym_nb.ppo import PPOSettings


@dataclass
class Batch:
    """Episodes as tensors, (episodes, tokens): column t is about token t.

    Attributes:
        ids: the tokens, padded on the right.
        agent: the token is the agent's.
        after: no token, but the state before it is the last of an episode that
            was cut short; V is asked there, once in a row at most.
        rewards: paid after the token.
        logprobs, values, entropy: the acting policy's, where `agent` or `after`.
        advantages: Â of the agent's tokens.
        returns: what V is to become.
    """

    ids: torch.Tensor
    agent: torch.Tensor
    after: torch.Tensor
    rewards: torch.Tensor
    logprobs: torch.Tensor
    values: torch.Tensor
    entropy: torch.Tensor
    advantages: torch.Tensor
    returns: torch.Tensor

    @classmethod
    def of(cls, lm: LanguageModel, episodes: Sequence[Episode], bootstrap: bool = False) -> Batch:
        """Lay out episodes; what the policy says about them is filled in by `gather`."""
        texts = [e.tokens + (_last_words(lm, e) if bootstrap else []) for e in episodes]
        shape = len(texts), 1 + max(len(t) for t in texts)
        ids = torch.full(shape, lm.pad)
        agent, after = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        rewards = torch.zeros(shape)
        for i, (e, text) in enumerate(zip(episodes, texts, strict=True)):
            ids[i, : len(text)] = torch.tensor(text)
            mask = torch.tensor([*e.mask, 0])
            agent[i, : len(e.mask)] = mask[:-1].bool()
            after[i, len(text)] = len(text) > len(e.tokens)
            ends = (mask[:-1] > mask[1:]).nonzero()[:, 0]  # the last token of each action
            rewards[i, ends] = torch.tensor([float(t.reward) for t in e.trajectory.transitions])
        empty = [torch.zeros(shape, device=lm.device) for _ in range(5)]
        return cls(*(x.to(lm.device) for x in (ids, agent, after, rewards)), *empty)

    def earned(self, gamma: float = 1.0) -> torch.Tensor:
        """What came after each token of the agent, discounted, without any V; (n,)."""
        nothing = torch.zeros_like(self.rewards)
        return gae(self.rewards, nothing, nothing[:, 0], self.agent, gamma, 1.0)[self.agent]

    def take(self, rows: Sequence[int]) -> Batch:
        """Some episodes, as wide as these need."""
        rows = torch.as_tensor(rows, device=self.ids.device)
        width = int((self.agent | self.after)[rows].any(dim=0).nonzero().max()) + 1
        return Batch(*(getattr(self, f.name)[rows, :width] for f in fields(self)))

    def parts(self, size: int) -> Iterator[np.ndarray]:
        """Rows in parts of `size` and of similar length, for padding costs as much as text."""
        columns = torch.arange(self.ids.shape[1], device=self.ids.device)
        lengths = ((self.agent | self.after) * columns).amax(dim=1)
        order = lengths.argsort(stable=True).cpu().numpy()
        return (order[start : start + size] for start in range(0, len(order), size))


def _last_words(lm: LanguageModel, episode: Episode) -> list[int]:
    """What the world said last, for an episode that might have gone on; else nothing."""
    if not episode.trajectory.truncated:
        return []
    return lm.encode(next_turn(episode.trajectory.transitions[-1].observation))


@torch.no_grad()
def gather(lm: LanguageModel, head: ValueHead, batch: Batch, settings: PPOSettings) -> float:
    """Fill in what the acting policy says about a batch, its advantages and returns.

    V is trained on what came, the return with λ = 1.  The return with a smaller
    λ is in good part V's own guess, and over the many tokens of an episode a V
    that knows nothing would learn little else.

    Returns:
        The explained variance of V: how well it foresaw what came.
    """
    for rows in batch.parts(settings.microbatch):
        part = batch.take(rows)
        asked = part.agent | part.after
        seen = look(lm, head, part.ids, asked, temperature=settings.temperature)
        for name, answers in seen._asdict().items():
            table = torch.zeros(asked.shape, device=asked.device)
            getattr(batch, name)[rows, : asked.shape[1]] = table.masked_scatter(asked, answers)
    last = (batch.values * batch.after).sum(dim=1)  # 0 where the episode terminated
    known = batch.rewards, batch.values, last, batch.agent, settings.gamma
    batch.returns = gae(*known, lam=1.0) + batch.values
    batch.advantages = gae(*known, lam=settings.lam)
    if settings.normalise:
        own = batch.advantages[batch.agent]
        batch.advantages = (batch.advantages - own.mean()) / (own.std() + 1e-8) * batch.agent
    return explained_variance(batch.values[batch.agent], batch.returns[batch.agent])
