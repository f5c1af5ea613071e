"""How much better than expected each token was: GAE (Eq. 2), and how good the expectation is.

What is a step of the MDP, a turn or a token?  Here a token: the policy chooses
tokens, so each has its own probability, ratio and advantage, and the state
before it is all the text so far.  The world's tokens are chosen by nobody: they
are part of the next state, and no step.  So the state after an action's last
token is the one before the next action's first, with the observation read.
"""

from __future__ import annotations

import torch


def gae(
    rewards: torch.Tensor,
    values: torch.Tensor,
    last: torch.Tensor,
    agent: torch.Tensor,
    gamma: float = 1.0,
    lam: float = 0.95,
) -> torch.Tensor:
    """``Â_t = Σ_l (γλ)^l δ_{t+l}`` with ``δ_t = r_t + γ V(s_{t+1}) − V(s_t)``, over agent tokens.

    From the end to the start, ``Â_t = δ_t + γλ Â_{t+1}``, where t + 1 is the
    agent's next token, however many of the world's lie between.

    Args:
        rewards: r_t, (episodes, tokens), paid after the token.
        values: V(s_t), (episodes, tokens), of the text before the token.
        last: (episodes,), worth of the state after the last token: 0 where the
            episode terminated, V of that state where it was only cut short.
        agent: (episodes, tokens), true for the agent's tokens.
        gamma: γ for each token; 1 because words take no time.
        lam: λ of GAE; 1 trusts what happened, 0 what V says of the next state.

    Returns:
        (episodes, tokens); 0 at the world's tokens and padding.
    """
    advantages = torch.zeros_like(rewards)
    coming, after = torch.zeros_like(last), last  # Â_{t+1} and V(s_{t+1}) of each episode
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * after - values[:, t]
        coming = torch.where(agent[:, t], delta + gamma * lam * coming, coming)
        after = torch.where(agent[:, t], values[:, t], after)
        advantages[:, t] = torch.where(agent[:, t], coming, 0.0)
    return advantages


def explained_variance(predicted: torch.Tensor, actual: torch.Tensor) -> float:
    """Share of the variance of `actual` that the prediction takes away, at most 1.

    0 is what a constant does, below 0 is worse than that.  NaN where `actual` does not vary.
    """
    spread = actual.var(correction=0)
    if spread == 0:
        return float("nan")
    return float(1 - (actual - predicted).var(correction=0) / spread)
