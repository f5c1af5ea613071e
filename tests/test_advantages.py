"""GAE against the double sum of the textbook; explained variance against its definition."""

import pytest
import torch

from dreamgym_nb.advantages import explained_variance, gae


def textbook(rewards, values, last, agent, gamma, lam):
    """``Â_t = Σ_l (γλ)^l δ_{t+l}``, term by term, for one episode in plain numbers."""
    own = [t for t, is_agent in enumerate(agent) if is_agent]
    worth = [values[t] for t in own] + [last]
    out = [0.0] * len(agent)
    for i, t in enumerate(own):
        for j in range(i, len(own)):
            delta = rewards[own[j]] + gamma * worth[j + 1] - worth[j]
            out[t] += (gamma * lam) ** (j - i) * delta
    return out


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("lam", [0.0, 0.95, 1.0])
def test_gae_is_the_double_sum_over_the_agent_s_tokens(gamma, lam):
    """Random episodes: any mask, rewards in between, half terminated and half truncated."""
    random = torch.Generator().manual_seed(7)
    agent = torch.rand(20, 23, generator=random) < 0.4
    rewards = torch.randn(20, 23, generator=random, dtype=torch.float64) * agent
    values = torch.randn(20, 23, generator=random, dtype=torch.float64)
    truncated = torch.arange(20) % 2 == 0
    last = torch.randn(20, generator=random, dtype=torch.float64) * truncated
    got = gae(rewards, values, last, agent, gamma, lam)
    table = zip(*(x.tolist() for x in (rewards, values, last, agent)), strict=True)
    expected = torch.tensor([textbook(*row, gamma, lam) for row in table], dtype=torch.float64)
    assert torch.allclose(got, expected, rtol=0, atol=1e-12)
    assert expected[agent].abs().min() > 0 and not got[~agent].any()


# Two actions of two tokens and one, an observation of two tokens between them, padding at the end.
AGENT = torch.tensor([[False, True, True, False, False, True, False]])
VALUES = torch.tensor([[9.0, 0.2, 0.4, 9.0, 9.0, 0.5, 9.0]])
PAID = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]])


@pytest.mark.parametrize(
    ("paid", "last", "expected"),
    [
        # δ = 0.4 − 0.2, 0.5 − 0.4, 1 − 0.5 = 0.2, 0.1, 0.5; Â = 0.2 + 0.35/2, 0.1 + 0.5/2, 0.5
        (PAID, 0.0, [0, 0.375, 0.35, 0, 0, 0.5, 0]),  # terminated, a success
        # the last δ = 0 − 0.5; Â = 0.2 − 0.15/2, 0.1 − 0.5/2, −0.5
        (0 * PAID, 0.0, [0, 0.125, -0.15, 0, 0, -0.5, 0]),  # terminated, a failure
        # the last δ = 0 + 0.7 − 0.5; Â = 0.2 + 0.2/2, 0.1 + 0.2/2, 0.2
        (0 * PAID, 0.7, [0, 0.3, 0.2, 0, 0, 0.2, 0]),  # truncated where V = 0.7
    ],
)
def test_gae_by_hand(paid, last, expected):
    """γ = 1, λ = ½; what V says of the world's tokens (9) plays no part."""
    got = gae(paid, VALUES, torch.tensor([last]), AGENT, gamma=1.0, lam=0.5)
    assert got[0].tolist() == pytest.approx(expected)


def test_with_lambda_one_only_the_outcome_counts():
    """Â + V is the return, whatever V says on the way."""
    random = torch.Generator().manual_seed(1)
    values = torch.randn(1, 7, generator=random)
    got = gae(PAID, values, torch.zeros(1), AGENT, gamma=1.0, lam=1.0)
    assert (got + values)[AGENT].tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_explained_variance():
    came = torch.tensor([0.0, 1.0, 0.0, 1.0])  # variance 1/4
    assert explained_variance(came, came) == 1
    assert explained_variance(torch.full((4,), 0.3), came) == pytest.approx(0)
    assert explained_variance(came + 5, came) == 1, "a shift is no variance"
    # errors ∓½, ±½ about 0: variance 1/16 of what is left at half the height
    assert explained_variance(came / 2, came) == pytest.approx(0.75)
    assert explained_variance(1 - came, came) == pytest.approx(-3)
    nothing = explained_variance(came, torch.ones(4))
    assert nothing != nothing, "what never varies cannot be explained"
