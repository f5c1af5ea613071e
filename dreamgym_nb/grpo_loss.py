"""The GRPO loss, written out (Eq. 3): what TRL computes for `grpo`, to be read in a lesson.

| symbol | name | shape | meaning |
|---|---|---|---|
| r | `rewards` | (episodes,) | outcome of each rollout, the group's own side by side |
| Â | `advantages` | (episodes,) | how much better than its group, in standard deviations |
| log π | `logprobs` | (episodes, tokens) | of each token, under the policy that is trained |
| log π_old | `old_logprobs` | (episodes, tokens) | under the policy that wrote them; a constant |
| ρ | `ratio` | (episodes, tokens) | π / π_old |
| ε | `clip` | number | how far ρ may go before it stops paying |
"""

from __future__ import annotations

import torch


def group_advantages(rewards: torch.Tensor, group_size: int) -> torch.Tensor:
    """``Â = (r − mean_G r) / std_G r``, (episodes,); 0 in a group whose rollouts agree.

    The standard deviation is the sample's (n − 1), and 1e-4 keeps the division finite.
    """
    groups = rewards.view(-1, group_size)
    better = groups - groups.mean(dim=1, keepdim=True)
    return (better / (groups.std(dim=1, keepdim=True) + 1e-4)).flatten()


def clipped_gain(ratio: torch.Tensor, advantages: torch.Tensor, clip: float) -> torch.Tensor:
    """``min(ρ Â, clip(ρ, 1−ε, 1+ε) Â)``, for each token: what PPO and GRPO both maximise.

    The minimum is a bound from below: it stops paying for more of what already
    changed by ε, and never hides that a token went too far the wrong way.
    """
    return torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def grpo_loss(
    logprobs: torch.Tensor,
    old_logprobs: torch.Tensor,
    mask: torch.Tensor,
    advantages: torch.Tensor,
    clip: float = 0.2,
    tokens: float | None = None,
) -> torch.Tensor:
    """The loss of GRPO, a scalar: minus the mean gain over the agent's tokens.

    All tokens of an episode share its advantage.  The mean goes over tokens, not
    over episodes (TRL's ``dapo``), so that a long episode's tokens weigh as much
    as a short one's.

    Args:
        logprobs: see the table above.
        old_logprobs: likewise.
        mask: 1 for the agent's tokens, 0 for the world's and padding.
        advantages: one for each episode.
        clip: ε.
        tokens: what the sum is divided by; the agent's tokens when omitted.  Where a batch
            is worked off in parts it is the whole's, so that the parts add up.
    """
    ratio = (logprobs - old_logprobs).exp()
    gain = clipped_gain(ratio, advantages[:, None], clip)
    return -(gain * mask).sum() / (mask.sum() if tokens is None else tokens)
